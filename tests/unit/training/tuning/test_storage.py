"""A search in a database of the user's: errors name the remedy, and no password."""

import json
import socket
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import optuna
import pytest
from sqlalchemy.engine import make_url
from sqlalchemy.exc import IntegrityError

from imgclf_dagster.doctor.examine import _tuning_storage
from imgclf_dagster.settings.root import Settings
from training import tune
from training.errors import PermanentFailure
from training.tuning import storage
from training.tuning.space import SearchSpace
from training.tuning.storage import STORAGE, open_storage, shown_url
from training.tuning.study import STUDY, Limits, Report, Search

pytestmark = pytest.mark.unit

SPACE = SearchSpace(augmentations=("photo",), weight_decay=(0.01, 0.01))
SECRET = "p%40ss%2Fword"


def rate(values: Mapping[str, Any], folder: Path, report: Report) -> float:
    return float(values["learning_rate"])


def search(folder: Path, name: str) -> Search:
    return Search(folder, SPACE, 7, lambda text: None, name)


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    url = f"sqlite:///{tmp_path / 'shared.db'}"
    monkeypatch.setenv(STORAGE, url)
    return url


@pytest.mark.usefixtures("database")
def test_each_job_has_a_study_of_its_own(tmp_path: Path) -> None:
    first, second = (search(tmp_path / name, name) for name in ("train-a", "train-b"))
    first.run(Limits(trials=3, seconds=1e6), rate)
    assert second.ended() == []
    second.run(Limits(trials=2, seconds=1e6), rate)
    assert (len(first.ended()), len(second.ended())) == (3, 2)
    assert not (tmp_path / "train-a" / STUDY).exists()


@pytest.mark.usefixtures("database")
def test_the_same_job_of_another_project_has_a_study_of_its_own(tmp_path: Path) -> None:
    ours = search(tmp_path / "ours", "train-a")
    ours.run(Limits(trials=2, seconds=1e6), rate)
    assert search(tmp_path / "theirs", "train-a").ended() == []
    assert len(search(tmp_path / "ours", "train-a").ended()) == 2
    assert ours.study.study_name.startswith("train-a-")


def test_an_earlier_attempt_elsewhere_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def told(folder: str) -> str:
        said: list[str] = []
        Search(tmp_path / folder, SPACE, 7, said.append, "train-a")
        return " ".join(said)

    monkeypatch.delenv(STORAGE, raising=False)
    assert told("file") == ""
    monkeypatch.setenv(STORAGE, f"sqlite:///{tmp_path / 'shared.db'}")
    assert f"unset {STORAGE} to go on" in told("file")
    assert told("database") == ""
    monkeypatch.delenv(STORAGE)
    assert f"set {STORAGE} as it was" in told("database")


@pytest.mark.usefixtures("database")
def test_the_copy_is_the_study(tmp_path: Path) -> None:
    found = search(tmp_path / "checkpoints", "train-a")
    found.run(Limits(trials=3, seconds=1e6), rate)
    found.copy_to(tmp_path / "copied.db")
    copied = optuna.load_study(
        study_name="hyperparameters", storage=f"sqlite:///{tmp_path / 'copied.db'}"
    )
    assert [trial.params for trial in copied.trials] == [trial.params for trial in found.ended()]
    assert copied.best_value == found.best.value


def test_without_the_variable_it_is_a_file_that_older_jobs_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(STORAGE, raising=False)
    older = Search(tmp_path, SPACE, 7, lambda text: None)
    older.run(Limits(trials=2, seconds=1e6), rate)
    assert len(search(tmp_path, "train-a").ended()) == 2


def _refused(url: str) -> str:
    with pytest.raises(PermanentFailure) as raised:
        open_storage(url)
    text = str(raised.value)
    assert SECRET not in text
    assert "p@ss/word" not in text
    assert STORAGE in text
    return text


def test_what_is_no_url_is_said_with_an_example() -> None:
    assert "postgresql://USER:PASSWORD@HOST" in _refused(f"dbserver {SECRET}")
    assert "postgresql://USER:PASSWORD@HOST" in _refused(f"postgresql://me:{SECRET}@host:port/db")


def test_a_missing_driver_is_named() -> None:
    text = _refused(f"oracle+oracledb://me:{SECRET}@host/db")
    assert "oracledb" in text
    assert "install the driver" in text
    assert "nodialect" in _refused(f"nodialect://me:{SECRET}@host/db")


def test_a_server_that_does_not_answer_is_named_without_the_password() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, and nobody listens
        port = taken.getsockname()[1]
        text = _refused(f"postgresql://me:{SECRET}@127.0.0.1:{port}/db")
    assert f"me:***@127.0.0.1:{port}/db cannot be used" in text
    assert "unset it" in text


@pytest.mark.parametrize(("refusals", "opened"), [(2, True), (99, False)])
def test_tables_that_another_job_creates_are_waited_for(
    monkeypatch: pytest.MonkeyPatch, refusals: int, opened: bool
) -> None:
    exists = IntegrityError("CREATE TABLE studies", None, ValueError("duplicate key"))
    answers = MagicMock(side_effect=[*[exists] * refusals, MagicMock()])
    monkeypatch.setattr(optuna.storages, "RDBStorage", answers)
    monkeypatch.setattr(storage, "_WAITS_S", (0.0,) * 4)
    if opened:
        open_storage("sqlite:///shared.db")
    else:
        with pytest.raises(PermanentFailure, match="duplicate key"):
            open_storage("sqlite:///shared.db")
    assert answers.call_count == min(refusals + 1, 5)


def test_a_password_among_the_options_is_not_shown() -> None:
    url = f"postgresql://127.0.0.1:1/db?user=me&password={SECRET}"
    assert shown_url(url).endswith("://127.0.0.1:1/db")
    _refused(url)
    # A driver that repeats what it was given, as it is and as it is in a URL.
    text = str(storage._unusable(make_url(url), f"bad dsn p@ss/word {SECRET}"))
    assert "p@ss/word" not in text
    assert SECRET not in text


def test_a_wrong_database_is_known_before_anything_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(STORAGE, "sqlite:////nowhere/at/all.db")
    job = SimpleNamespace(method="trials")
    monkeypatch.setattr(tune.SearchJob, "from_container", lambda container: job)
    monkeypatch.setattr(tune, "without_collection", lambda name: pytest.fail("loaded"))
    monkeypatch.setattr(tune, "Phases", lambda pipes, container: MagicMock())
    with pytest.raises(PermanentFailure, match="cannot be used"):
        tune.tune(MagicMock(), MagicMock())


@pytest.mark.parametrize(
    ("installed", "driver"),
    [
        ({"psycopg2"}, "postgresql+psycopg2"),
        ({"psycopg", "psycopg2"}, "postgresql"),
        ({"psycopg"}, "postgresql"),
    ],
)
def test_plain_postgresql_is_the_driver_that_is_installed(
    monkeypatch: pytest.MonkeyPatch, installed: set[str], driver: str
) -> None:
    monkeypatch.setattr(storage, "find_spec", lambda name: name in installed or None)
    assert shown_url(f"postgresql://me:{SECRET}@host/db") == f"{driver}://me:***@host/db"


def test_the_doctor_tries_the_connection(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    local = Settings(profile="local")
    (found,) = _tuning_storage(local)
    assert (found.health, found.detail) == ("ok", f"imgclf tune keeps its trials in {database}")
    monkeypatch.setenv(STORAGE, "sqlite:////nowhere/at/all.db")
    (found,) = _tuning_storage(local)
    assert found.health == "failed"
    assert "/nowhere/at/all.db cannot be used" in found.detail
    (found,) = _tuning_storage(local.model_copy(update={"profile": "aws"}))
    assert (found.health, found.remedy) == ("warning", f"unset {STORAGE}")
    monkeypatch.delenv(STORAGE)
    assert list(_tuning_storage(local)) == []
    assert json.dumps(found.detail)
