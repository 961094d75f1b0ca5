"""Fixtures of the test bed; tests/conftest.py imports them."""

from collections.abc import Iterator

import pytest

from tests.testbed.bed import TestBed, start_bed


@pytest.fixture(scope="session")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestBed]:
    """A test bed for the session; with xdist each worker has its own."""
    started = start_bed(tmp_path_factory.mktemp("bed"))
    try:
        yield started
    finally:
        started.stop()


@pytest.fixture
def aws_environment(bed: TestBed, monkeypatch: pytest.MonkeyPatch) -> TestBed:
    """Leads this process's AWS clients to the bed; ask for process B before, if it is needed."""
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_DEFAULT_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in bed.environ.items():
        monkeypatch.setenv(name, value)
    return bed


@pytest.fixture(autouse=True)
def _faults_end_with_the_test(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    if "bed" in request.fixturenames:
        request.getfixturevalue("bed").clear_faults()


@pytest.fixture
def aws_with_stacks(bed: TestBed, request: pytest.FixtureRequest) -> TestBed:
    """Like ``aws_environment``, with CloudFormation."""
    bed.with_cloudformation()
    environment: TestBed = request.getfixturevalue("aws_environment")
    return environment
