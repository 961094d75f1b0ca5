"""Installing Label Studio: once, whole or not at all, and a clear word without a network."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from imgclf_dagster.label_studio import install as label_studio_environment
from imgclf_dagster.label_studio.install import (
    VERSION,
    Installation,
    LabelStudioNotInstalled,
    find_installation,
    install,
)
from tests.patience import WAIT_S, wait_for

pytestmark = pytest.mark.contract

INSTALL = (sys.executable, "-m", "imgclf_dagster.cli.entry", "label-studio", "install")


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


def test_a_killed_install_is_begun_again_by_two_at_once_and_a_third_is_nothing(cache: Path) -> None:
    environment = cache / f"label-studio-{VERSION}"
    # An interpreter that went away, say with an upgrade of Python: all of it is made again.
    (environment / "lib").mkdir(parents=True)
    (environment / "lib" / "of before").touch()
    (environment / "bin").mkdir()
    (environment / "bin" / "python").symlink_to(environment / "gone")
    process = subprocess.Popen(INSTALL, env=dict(os.environ), start_new_session=True)

    def begun() -> list[Path]:
        assert process.poll() is None, "it was quicker than this test"
        return list(cache.glob(f"label-studio-{VERSION}.part-*/bin"))

    parts = wait_for(begun, every_s=0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert find_installation() is None

    both = [
        subprocess.Popen(INSTALL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    answers = [process.communicate(timeout=WAIT_S) for process in both]
    if any("package index" in text for _, text in answers):
        pytest.skip("the package index is out of reach: give this machine a network")
    assert [process.returncode for process in both] == [0, 0], answers
    installation = find_installation()
    assert installation is not None
    assert installation.python == environment / "bin" / "python"
    assert not (environment / "lib" / "of before").exists()
    assert [out for out, _ in answers] == [f"Label Studio {VERSION} at {environment}\n"] * 2
    assert not parts[0].exists()
    assert list(cache.glob("*.part-*")) == []
    # It was made elsewhere and renamed, and finds its packages all the same.
    found = [installation.python, "-I", "-c", "import label_studio; print(label_studio.__file__)"]
    answer = subprocess.run(found, capture_output=True, text=True, check=False, timeout=WAIT_S)
    assert answer.stdout.startswith(str(environment)), answer.stderr

    before = installation.python.stat()
    assert install() == installation
    assert installation.python.stat() == before


def test_without_a_network_the_ways_out_are_named(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_OFFLINE", "1")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "nothing downloaded"))
    messages = []
    with pytest.raises(LabelStudioNotInstalled) as error:
        install(lambda what, share: messages.append((what, share)))
    text = str(error.value)
    assert "see that the package index is within reach" in text
    assert "IMGCLF_LABEL_STUDIO_ENV" in text
    assert "[label_studio]" in text
    assert messages
    assert find_installation() is None
    assert [path.name for path in cache.iterdir() if path.is_dir()] == []


def test_an_environment_that_is_broken_is_reported_and_leaves_no_database(
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
    assert "cannot create its database" in str(error.value)
    assert "label_studio" in str(error.value)
    assert find_installation() is None
    assert list((tmp_path / "imgclf").glob("*.sqlite3*")) == []


PLAYED = """#!{python}
import os, pathlib, sqlite3, sys, time
assert sys.argv[1:] == ["-I", "-m", "label_studio.server", "version"]
folder = pathlib.Path(os.environ["LABEL_STUDIO_BASE_DATA_DIR"])
database = sqlite3.connect(folder / "label_studio.sqlite3")
database.execute("CREATE TABLE django_migrations (id INTEGER PRIMARY KEY)")
for count in {counts}:
    while database.execute("SELECT count(*) FROM django_migrations").fetchone()[0] < count:
        database.execute("INSERT INTO django_migrations DEFAULT VALUES")
    database.commit()
    while not (pathlib.Path({told!r}) / str(count)).exists():  # until it was told
        time.sleep(0.01)
"""
"""An environment's ``python`` that migrates step by step; the real one takes half a minute, and
makes the database of ``label_studio_installation``, from which every server of the tests begins."""


def test_migrating_shows_how_far_it_is(
    tmp_path: Path, label_studio_installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    migrations = label_studio_environment.MIGRATIONS
    assert label_studio_environment._migrated(label_studio_installation.database) == migrations
    counts = [migrations // 4, migrations // 2, migrations]
    python = tmp_path / "environment" / "bin" / "python"
    reported = tmp_path / "told"
    for folder in (python.parent, reported, tmp_path / "cache"):
        folder.mkdir(parents=True)
    python.write_text(PLAYED.format(python=sys.executable, counts=counts, told=str(reported)))
    python.chmod(0o755)
    database = tmp_path / "cache" / "made.sqlite3"
    shares: list[float] = []

    def tell(what: str, share: float) -> None:
        shares.append(share)
        done = (share - 0.6) / 0.4 * migrations
        for count in counts:
            if done > count - 0.5:
                (reported / str(count)).touch()

    monkeypatch.setattr(label_studio_environment, "_POLL_S", 0.02)
    label_studio_environment._make_database(python, database, tell)
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1.0)
    assert {0.7, 0.8} <= {round(share, 2) for share in shares}
    assert label_studio_environment._migrated(database) == migrations
    assert [path.name for path in database.parent.iterdir()] == ["made.sqlite3"]
