"""Accounts for the doctor, seen through a session of their orchestrator's role.

Process A holds the session to the role's policies.
"""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from imgclf_dagster.doctor import aws as doctor_aws
from tests.contract.imgclf_dagster.doctor.world import World
from tests.testbed.bed import TestBed
from tests.testbed.foundation import Foundation

_NUMBERS = itertools.count(1)

Look = Callable[[Foundation], World]


@pytest.fixture
def look(
    aws_environment: TestBed, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Look]:
    """Makes somebody look at an account through its orchestrator's role."""

    def looking(account: Foundation) -> World:
        for name, value in account.session.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("IMGCLF_HOME", str(tmp_path / "home"))
        monkeypatch.setattr(doctor_aws, "LIMIT_S", 60.0)  # a busy machine is not what is tested
        return World(aws_environment, monkeypatch, account, account.section())

    yield looking
    aws_environment.admin("quotas", clear=True)


@pytest.fixture(scope="session")
def healthy(bed: TestBed) -> Foundation:
    """An account that no test changes."""
    return Foundation(bed, "doctor", KeyPrefix="line/")


@pytest.fixture
def world(healthy: Foundation, look: Look) -> World:
    return look(healthy)


@pytest.fixture
def own_world(bed: TestBed, look: Look) -> World:
    """With an account that the test may change."""
    return look(Foundation(bed, f"doctor{next(_NUMBERS)}", KeyPrefix="line/"))
