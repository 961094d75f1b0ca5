"""Installing Label Studio: once, whole or not at all, and a clear word without a network."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from imgclf_dagster import label_studio_environment
from imgclf_dagster.label_studio_environment import (
    VERSION,
    Installation,
    LabelStudioNotInstalled,
    find_installation,
    install,
)

pytestmark = [pytest.mark.contract, pytest.mark.timeout(600)]

INSTALL = (sys.executable, "-m", "imgclf_dagster.cli.main", "label-studio", "install")


@pytest.fixture
def cache(
    tmp_path: Path, label_studio_installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """An empty cache, as of a user who has never installed it; the database is there (26 s)."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("UV_CACHE_DIR", _uv_cache())
    monkeypatch.delenv("IMGCLF_LABEL_STUDIO_ENV", raising=False)
    folder = tmp_path / "imgclf"
    folder.mkdir()
    database = label_studio_installation.database
    shutil.copyfile(database, folder / f"label-studio-{VERSION}.sqlite3")
    return folder


def _uv_cache() -> str:
    """Where uv keeps what it has downloaded before, whatever the variable says below."""
    from uv import find_uv_bin

    asked = [find_uv_bin(), "cache", "dir"]
    return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()


def test_a_killed_install_is_begun_anew_and_a_second_is_nothing(cache: Path) -> None:
    process = subprocess.Popen(INSTALL, env=dict(os.environ), start_new_session=True)
    deadline = time.monotonic() + 60
    while not (parts := list(cache.glob(f"label-studio-{VERSION}.part-*/bin"))):
        assert process.poll() is None, "it was quicker than this test"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert find_installation() is None

    try:
        installation = install()
    except LabelStudioNotInstalled as error:
        pytest.skip(f"the package index is out of reach, so it cannot be installed anew: {error}")
    assert installation == find_installation()
    assert not parts[0].exists()
    answer = subprocess.run(
        [*installation.command, "--help"], capture_output=True, text=True, check=False, timeout=120
    )
    assert "Label studio" in answer.stdout, answer.stderr

    before = installation.python.stat()
    began = time.monotonic()
    again = subprocess.run(INSTALL, capture_output=True, text=True, check=True, timeout=120)
    assert time.monotonic() - began < 60
    assert again.stdout == f"Label Studio {VERSION} at {installation.python.parents[1]}\n"
    assert installation.python.stat() == before
    # Its interpreter goes away, say with an upgrade of Python: it is made anew.
    installation.python.unlink()
    assert find_installation() is None
    assert install() == installation


def test_two_at_once_install_one(cache: Path) -> None:
    both = [
        subprocess.Popen(INSTALL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    answers = [process.communicate(timeout=300) for process in both]
    if any("package index" in said for _, said in answers):
        pytest.skip("the package index is out of reach: give this machine a network")
    assert [process.returncode for process in both] == [0, 0], answers
    assert len({out for out, _ in answers}) == 1
    assert list(cache.glob("*.part-*")) == []


def test_without_a_network_the_ways_out_are_named(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_OFFLINE", "1")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "nothing downloaded"))
    told = []
    with pytest.raises(LabelStudioNotInstalled) as error:
        install(lambda what, share: told.append((what, share)))
    said = str(error.value)
    assert "Is the package index within reach?" in said
    assert "IMGCLF_LABEL_STUDIO_ENV" in said
    assert "[label_studio]" in said
    assert told
    assert find_installation() is None
    assert [path.name for path in cache.iterdir() if path.is_dir()] == []


def test_an_environment_that_is_broken_is_said_and_leaves_no_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    environment = tmp_path / "ready"
    monkeypatch.setenv("IMGCLF_LABEL_STUDIO_ENV", str(environment))
    (environment / "bin").mkdir(parents=True)
    (environment / "bin" / "python").symlink_to(sys.executable)
    packages = environment / "lib" / "python3.11" / "site-packages"
    (packages / "label_studio-1.99.0.dist-info").mkdir(parents=True)
    with pytest.raises(LabelStudioNotInstalled) as error:
        install()
    assert "cannot make its database" in str(error.value)
    assert "label_studio" in str(error.value)
    assert find_installation() is None
    assert list((tmp_path / "imgclf").glob("*.sqlite3*")) == []


def test_migrating_shows_how_far_it_is(
    tmp_path: Path, label_studio_installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = tmp_path / "made.sqlite3"
    told: list[tuple[str, float]] = []
    label_studio_environment._make_database(
        label_studio_installation.python, database, lambda what, share: told.append((what, share))
    )
    shares = [share for _, share in told]
    assert shares == sorted(shares)
    assert shares[-1] > 0.9
    assert label_studio_environment._migrated(database) == label_studio_environment.MIGRATIONS
    assert [path.name for path in tmp_path.iterdir()] == ["made.sqlite3"]
