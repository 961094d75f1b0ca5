"""Label Studio is set up once it answers, again when labels or model change, and left in time."""

import sys
import threading
import time
from pathlib import Path

import pytest

from imgclf_dagster.label_studio import background_setup
from imgclf_dagster.label_studio import setup as label_studio_setup
from imgclf_dagster.label_studio.background_setup import BackgroundSetup
from imgclf_dagster.label_studio.setup import Wanted
from imgclf_dagster.processes.supervisor import Notice, ProcessSpec, Supervisor
from imgclf_dagster.settings.root import Settings, load_settings
from tests.patience import FOREVER_S, SOON_S, wait_for

pytestmark = pytest.mark.contract

# Answers as `imgclf label-studio setup --json` does, and counts how often it is asked.
PROGRAM = """
import json, pathlib, sys, time
folder = pathlib.Path({folder!r})
with (folder / "asked").open("a") as file:
    file.write("x")
time.sleep({seconds})
print((folder / "answer").read_text())
"""
DONE = '{"link": "http://ls/projects/1/data", "labels": ["a"], "problems": []}'


class Yard:
    """A keeper whose setting up is played by a small program."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.wanted = Wanted(("a",), "")
        self.said: list[tuple[str, str]] = []
        self.settings: Settings = load_settings()
        self._monkeypatch = monkeypatch
        self.settings.logs_dir.mkdir(parents=True)
        self.settings.run_dir.mkdir(parents=True)
        monkeypatch.setattr(label_studio_setup, "wanted", lambda *_: self.wanted)
        monkeypatch.setattr(background_setup, "CHECK_S", 0.05)
        self.answers(DONE)

    def answers(self, text: str, seconds: float = 0.0) -> None:
        part = self.folder / "answer.part"
        part.write_text(text)
        part.replace(self.folder / "answer")
        code = PROGRAM.format(folder=str(self.folder), seconds=seconds)
        self._monkeypatch.setattr(background_setup, "_COMMAND", (sys.executable, "-c", code))

    @property
    def asked(self) -> int:
        path = self.folder / "asked"
        return len(path.read_text()) if path.exists() else 0

    def keeper(self, after: tuple[str, ...] = ("one",)) -> BackgroundSetup:
        def say(kind: str, name: str, text: str, *, url: str = "") -> None:
            self.said.append((kind, f"{url} {text}".strip()))

        return BackgroundSetup(self.settings, own=False, after=after, say=say)

    def tell_healthy(self, keeper: BackgroundSetup, name: str) -> None:
        spec = ProcessSpec(name, ("x",), self.folder / "log")
        keeper.passing_on(lambda notice: None)(Notice("healthy", spec, ""))


@pytest.fixture
def yard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Yard:
    monkeypatch.setenv("IMGCLF_HOME", str(tmp_path / "home"))
    return Yard(tmp_path, monkeypatch)


def test_it_waits_for_both_and_sets_up_once(yard: Yard) -> None:
    with yard.keeper(after=("one", "two")) as keeper:
        yard.tell_healthy(keeper, "one")
        time.sleep(0.3)
        assert yard.asked == 0
        yard.tell_healthy(keeper, "two")
        wait_for(lambda: yard.said)
        time.sleep(0.3)
    assert yard.asked == 1
    assert yard.said == [("done", "http://ls/projects/1/data labels a")]


def test_again_when_labels_or_the_model_change(yard: Yard) -> None:
    with yard.keeper() as keeper:
        yard.tell_healthy(keeper, "one")
        wait_for(lambda: yard.asked == 1)
        yard.wanted = Wanted(("a", "b"), "")
        wait_for(lambda: yard.asked == 2)
        yard.wanted = Wanted(("a", "b"), "train-1")
        wait_for(lambda: yard.asked == 3)


def test_without_labels_it_says_so_once_and_goes_on(yard: Yard) -> None:
    yard.wanted = Wanted((), "")
    with yard.keeper() as keeper:
        yard.tell_healthy(keeper, "one")
        wait_for(lambda: yard.said)
        time.sleep(0.3)
        assert len(yard.said) == 1
        assert "waits for labels: name them (names under [labels] in" in yard.said[0][1]
        assert yard.asked == 0  # no project is made without labels
        yard.wanted = Wanted(("a",), "")
        wait_for(lambda: len(yard.said) == 2)
    assert yard.said[1][0] == "done"


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ('{"problems": ["Label Studio is down"]}', "Label Studio is down"),
        ("Killed", "setting up failed"),
    ],
)
def test_trouble_is_told_once_and_tried_again(yard: Yard, answer: str, says: str) -> None:
    yard.answers(answer)
    with yard.keeper() as keeper:
        yard.tell_healthy(keeper, "one")
        wait_for(lambda: yard.asked >= 2)
        assert [kind for kind, _ in yard.said] == ["trouble"]
        assert says in yard.said[0][1]
        yard.answers(DONE)
        wait_for(lambda: len(yard.said) == 2)
    assert yard.said[1][0] == "done"


def test_it_leaves_in_time_while_setting_up(yard: Yard) -> None:
    yard.answers(DONE, seconds=FOREVER_S)
    with yard.keeper() as keeper:
        yard.tell_healthy(keeper, "one")
        wait_for(lambda: yard.asked == 1)
        began = time.monotonic()
    assert time.monotonic() - began < SOON_S
    assert yard.said == []
    assert "label-studio" not in {thread.name for thread in threading.enumerate()}


def test_our_own_server_is_announced_only_by_the_one_that_holds_the_home(yard: Yard) -> None:
    note = yard.settings.run_dir / "label-studio.json"
    seen = []
    keeper = BackgroundSetup(yard.settings, own=True, after=("one",), say=lambda *_, url="": None)
    supervisor = Supervisor([], run_dir=yard.settings.run_dir, say=lambda _: None, meanwhile=keeper)
    stopper = threading.Timer(0.5, lambda: (seen.append(note.exists()), supervisor.stop()))
    stopper.start()
    supervisor.run()
    assert seen == [True]
    assert not note.exists()
