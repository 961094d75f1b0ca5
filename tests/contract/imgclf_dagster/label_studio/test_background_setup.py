"""The setup runs once Label Studio answers, again when labels or model change, and ends in time."""

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


class Harness:
    """A background setup whose program is a small script."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.wanted = Wanted(("a",), "")
        self.messages: list[tuple[str, str]] = []
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

    def background(self, after: tuple[str, ...] = ("one",)) -> BackgroundSetup:
        def notify(kind: str, name: str, text: str, *, url: str = "") -> None:
            self.messages.append((kind, f"{url} {text}".strip()))

        return BackgroundSetup(self.settings, own=False, after=after, notify=notify)

    def report_healthy(self, background: BackgroundSetup, name: str) -> None:
        spec = ProcessSpec(name, ("x",), self.folder / "log")
        background.watch_health(lambda notice: None)(Notice("healthy", spec, ""))


@pytest.fixture
def harness(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Harness:
    monkeypatch.setenv("IMGCLF_HOME", str(tmp_path / "home"))
    return Harness(tmp_path, monkeypatch)


def test_it_waits_for_both_and_sets_up_once(harness: Harness) -> None:
    with harness.background(after=("one", "two")) as background:
        harness.report_healthy(background, "one")
        time.sleep(0.3)
        assert harness.asked == 0
        harness.report_healthy(background, "two")
        wait_for(lambda: harness.messages)
        time.sleep(0.3)
    assert harness.asked == 1
    assert harness.messages == [("done", "http://ls/projects/1/data labels a")]


def test_again_when_labels_or_the_model_change(harness: Harness) -> None:
    with harness.background() as background:
        harness.report_healthy(background, "one")
        wait_for(lambda: harness.asked == 1)
        harness.wanted = Wanted(("a", "b"), "")
        wait_for(lambda: harness.asked == 2)
        harness.wanted = Wanted(("a", "b"), "train-1")
        wait_for(lambda: harness.asked == 3)


def test_missing_labels_are_reported_once_and_it_goes_on(harness: Harness) -> None:
    harness.wanted = Wanted((), "")
    with harness.background() as background:
        harness.report_healthy(background, "one")
        wait_for(lambda: harness.messages)
        time.sleep(0.3)
        assert len(harness.messages) == 1
        assert "waits for labels: name them (names under [labels] in" in harness.messages[0][1]
        assert harness.asked == 0  # no project is made without labels
        harness.wanted = Wanted(("a",), "")
        wait_for(lambda: len(harness.messages) == 2)
    assert harness.messages[1][0] == "done"


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ('{"problems": ["Label Studio is down"]}', "Label Studio is down"),
        ("Killed", "setting up failed"),
    ],
)
def test_a_problem_is_reported_once_and_the_setup_is_tried_again(
    harness: Harness, answer: str, expected: str
) -> None:
    harness.answers(answer)
    with harness.background() as background:
        harness.report_healthy(background, "one")
        wait_for(lambda: harness.asked >= 2)
        assert [kind for kind, _ in harness.messages] == ["trouble"]
        assert expected in harness.messages[0][1]
        harness.answers(DONE)
        wait_for(lambda: len(harness.messages) == 2)
    assert harness.messages[1][0] == "done"


def test_it_leaves_in_time_while_setting_up(harness: Harness) -> None:
    harness.answers(DONE, seconds=FOREVER_S)
    with harness.background() as background:
        harness.report_healthy(background, "one")
        wait_for(lambda: harness.asked == 1)
        began = time.monotonic()
    assert time.monotonic() - began < SOON_S
    assert harness.messages == []
    assert "label-studio" not in {thread.name for thread in threading.enumerate()}


def test_our_own_server_is_announced_only_by_the_one_that_holds_the_home(harness: Harness) -> None:
    note = harness.settings.run_dir / "label-studio.json"
    seen = []
    background = BackgroundSetup(
        harness.settings, own=True, after=("one",), notify=lambda *_, url="": None
    )
    supervisor = Supervisor(
        [], run_dir=harness.settings.run_dir, say=lambda _: None, meanwhile=background
    )

    def stop_once_announced() -> None:
        try:
            seen.append(wait_for(note.exists))
        finally:
            supervisor.stop()

    stopper = threading.Thread(target=stop_once_announced)
    stopper.start()
    supervisor.run()
    stopper.join()
    assert seen == [True]
    assert not note.exists()
