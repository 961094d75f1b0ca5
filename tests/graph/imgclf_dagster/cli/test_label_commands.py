"""``imgclf labels``: it says what it will do, asks, and writes an event that counts."""

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from assets.annotations.label_changes import write_event
from assets.annotations.label_index import labelled_view
from assets.annotations.label_overview import words_of
from imgclf_dagster.cli.main import app
from imgclf_dagster.status.status import gather_status
from labelling.labels.events import EVENTS_PREFIX, Withdrawal

pytestmark = pytest.mark.graph

IMAGES = [f"{number:064x}" for number in range(6)]


@pytest.fixture
def command(world: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Result]]:
    """``command("rename", …)`` in the home of ``world``, in this process."""
    before = dict(os.environ)
    monkeypatch.setenv("IMGCLF_HOME", str(world.home))
    monkeypatch.setenv("COLUMNS", "200")
    yield lambda *args: CliRunner().invoke(app, ["labels", *args])
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture
def fed(world: Any) -> Any:
    """Two images of each of three classes, of which two look alike; from two sources."""
    for number, label in enumerate(("cat", "cat", "dog", "dog", "Dog", "Dog")):
        source = "old" if number % 2 else "new"
        world.label(IMAGES[number], label, annotation_id=f"raw/{source}/{number}.png")
    return world


def words(result: Result) -> str:
    return " ".join(f"{result.stdout} {result.stderr}".split())


def labels(world: Any) -> list[str]:
    world.run("annotations")
    found = labelled_view(world.store, world.line.labels).labels
    return ["|".join(found.get(image, ["-"])) for image in IMAGES]


def events(world: Any) -> list[str]:
    return [info.key for info in world.store.list(EVENTS_PREFIX)]


def test_a_list_shows_classes_look_alikes_and_the_command_that_merges_them(
    fed: Any, command: Callable[..., Result]
) -> None:
    fed.label(IMAGES[0], "fox", at=fed.later())
    output = words(command())
    assert "imgclf labels merge Dog --into dog" in output
    assert "upper and lower case" in output
    found = json.loads(command("--json").stdout)
    counts = {one["label"]: (one["images"], one["superseded"]) for one in found["classes"]}
    assert counts == {"Dog": (2, 0), "cat": (1, 1), "dog": (2, 0), "fox": (1, 0)}
    assert found["sources"] == {"new": 3, "old": 3}  # the fox came without a file


def test_a_rare_label_one_letter_from_another_comes_with_the_command_that_merges_them(
    world: Any, command: Callable[..., Result]
) -> None:
    for image, label in zip(IMAGES, ("square", "square", "square", "sqaure"), strict=False):
        world.label(image, label)
    output = words(command())
    assert "sqaure (1 image) is one letter from square" in output
    assert "imgclf labels merge sqaure --into square" in output
    found = json.loads(command("--json").stdout)
    assert found["typos"] == [{"label": "sqaure", "meant": "square"}]


def test_a_rename_says_what_it_does_and_is_done_when_it_is_allowed(
    fed: Any, command: Callable[..., Result]
) -> None:
    stopped = command("rename", "dog", "hound")
    assert stopped.exit_code == 1
    assert "images that change: 2 (2 to another label, 0 to none)" in words(stopped)
    assert "--yes" in words(stopped)
    assert command("rename", "dog", "hound", "--dry-run").exit_code == 0
    assert events(fed) == []
    done = command("rename", "dog", "hound", "--yes")
    assert done.exit_code == 0, words(done)
    assert "raw/new/2.png: dog → hound" in words(done)
    (key,) = events(fed)
    assert f"imgclf labels restore {key[-13:-5]}" in words(done)
    assert labels(fed) == ["cat", "cat", "hound", "hound", "Dog", "Dog"]
    assert "dog counts as hound" in words(command())
    again = command("rename", "dog", "hound", "--yes")
    assert again.exit_code == 1
    assert "it is called 'hound' now" in words(again)
    assert command("restore", key[-13:-5], "--yes").exit_code == 0
    assert labels(fed) == ["cat", "cat", "dog", "dog", "Dog", "Dog"]


def test_a_terminal_is_asked(
    fed: Any, command: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imgclf_dagster.cli.labels.labels.is_asked", lambda: True)
    answers = iter((False, True))
    monkeypatch.setattr("typer.confirm", lambda text: next(answers))
    assert command("rename", "dog", "hound").exit_code == 1
    assert events(fed) == []
    assert command("rename", "dog", "hound").exit_code == 0
    assert len(events(fed)) == 1


def test_a_merge_takes_several_classes_into_one(fed: Any, command: Callable[..., Result]) -> None:
    done = command("merge", "cat", "dog", "Dog", "--into", "pet", "--yes")
    assert done.exit_code == 0, words(done)
    assert labels(fed) == ["pet"] * 6
    assert command("merge", "pet", "--into", "pet", "--yes").exit_code == 1


def test_a_withdrawal_takes_back_a_source_a_class_or_a_file(
    fed: Any, command: Callable[..., Result]
) -> None:
    assert command("withdraw", "--yes").exit_code == 1
    unknown = command("withdraw", "--source", "older", "--yes")
    assert "sources: new, old" in words(unknown)
    assert command("withdraw", "--source", "old", "--class", "dog", "--yes").exit_code == 0
    assert labels(fed) == ["cat", "cat", "dog", "-", "Dog", "Dog"]
    assert command("withdraw", "--class", "cat", "--yes").exit_code == 0
    assert labels(fed) == ["-", "-", "dog", "-", "Dog", "Dog"]
    assert command("withdraw", "--source", "new", "--yes").exit_code == 0
    assert labels(fed) == ["-", "-", "-", "-", "-", "Dog"]


def test_a_file_is_an_image_here_or_in_the_store(
    world: Any, photo: Callable[..., bytes], command: Callable[..., Result], tmp_path: Any
) -> None:
    world.add_classes(1)
    world.run("raw_images", "annotations")
    (tmp_path / "it.png").write_bytes(photo(0, "red"))
    for path, expected in ((str(tmp_path / "it.png"), 2), ("green/0001.png", 1)):
        done = command("withdraw", "--file", path, "--yes")
        assert done.exit_code == 0, words(done)
        world.run("annotations")
        assert len(labelled_view(world.store, world.line.labels).labels) == expected
    assert "nowhere.png" in words(command("withdraw", "--file", "nowhere.png", "--yes"))
    (tmp_path / "other.png").write_bytes(b"no image of the store")
    refused = command("withdraw", "--file", str(tmp_path / "other.png"), "--yes")
    assert refused.exit_code == 1
    assert "this image never had a label" in words(refused)
    listed = json.loads(command("--json").stdout)["decided"]
    assert len(listed) == 2
    assert listed[0]["says"].endswith(hashlib.sha256(photo(0, "red")).hexdigest()[:12])
    event = Withdrawal(at=datetime.now(UTC), by="ann", images=("a" * 64, "b" * 64))
    assert words_of(event, {"a" * 64: "raw/set/1.png"}).endswith(f"raw/set/1.png, {'b' * 12}")


def test_of_two_terminals_the_second_decides_by_what_the_first_has_written(
    fed: Any, command: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    meanwhile = [("rename", "dog", "A")]

    def overtaken(store: Any, event: Any) -> str:
        if meanwhile:
            assert command(*meanwhile.pop(), "--yes").exit_code == 0
        return write_event(store, event)

    monkeypatch.setattr("assets.annotations.label_changes.write_event", overtaken)
    second = command("rename", "dog", "B", "--yes")
    assert second.exit_code == 1
    assert "somebody else has changed the labels meanwhile" in words(second)
    assert "'dog' was renamed before: it is called 'A' now" in words(second)
    assert labels(fed) == ["cat", "cat", "A", "A", "Dog", "Dog"]
    # What is of no consequence for it stops it not.
    meanwhile.append(("rename", "cat", "tom"))
    assert command("rename", "A", "hound", "--yes").exit_code == 0
    assert labels(fed) == ["tom", "tom", "hound", "hound", "Dog", "Dog"]
    # It would do something else than what was shown, and nobody is asked.
    meanwhile.append(("rename", "Dog", "A"))
    changed = command("rename", "hound", "A", "--yes")
    assert changed.exit_code == 1
    assert "these would be the changes now" in words(changed)
    assert labels(fed) == ["tom", "tom", "hound", "hound", "A", "A"]
    listed = json.loads(command("--json").stdout)["decided"]
    assert [one["in_force"] for one in listed] == [True] * 4


def test_a_file_is_known_before_the_first_run_and_named_when_it_is_restored(
    fed: Any, command: Callable[..., Result]
) -> None:
    done = command("withdraw", "--file", "raw/new/2.png", "--yes")
    assert done.exit_code == 0, words(done)
    assert "taken back, for statements made before it: raw/new/2.png" in words(done)
    (key,) = events(fed)
    assert "raw/new/2.png: no label → dog" in words(command("restore", key[-13:-5], "--dry-run"))
    assert labels(fed) == ["cat", "cat", "-", "dog", "Dog", "Dog"]


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (("rename", "dgo", "hound"), "there is no class 'dgo'; did you mean 'dog'?"),
        (("rename", "dog", "dog "), "its name already"),
        (("rename", "dog", "a\nb"), "a line break"),
        (("restore", "nix"), "no event that counts has the id 'nix'"),
    ],
)
def test_what_means_nothing_is_refused(
    fed: Any, command: Callable[..., Result], args: tuple[str, ...], expected: str
) -> None:
    refused = command(*args, "--yes")
    assert refused.exit_code == 1
    assert expected in words(refused)
    assert events(fed) == []


def test_the_names_in_the_settings_need_not_be_changed(
    fed: Any, command: Callable[..., Result]
) -> None:
    (fed.home / "imgclf.toml").write_text('[labels]\nnames = ["cat", "dog"]\n')
    done = command("rename", "dog", "hound", "--yes")
    assert 'names = ["cat", "hound"]' in words(done)
    named = fed.with_settings(labels={"names": ["cat", "dog"]})
    run = named.run("annotations")
    assert run.checks["labels_known"]
    # Dog is taken for dog, and goes with it.
    assert labels(named) == ["cat", "cat", "hound", "hound", "hound", "hound"]


def test_an_image_in_conflict_is_labelled_nowhere_and_superseded_by_nothing(
    world: Any, photo: Callable[..., bytes], command: Callable[..., Result]
) -> None:
    world.add("cat/a.png", photo(1), "cat")
    world.add("dog/a.png", photo(1), "dog")  # the same bytes
    world.add("dog/b.png", photo(2), "dog")
    world.run("raw_images", "annotations")
    found = json.loads(command("--json").stdout)
    counts = gather_status(world.settings, world.instance)["labels"]
    assert (found["labelled"], found["conflicts"]) == (1, 1)
    assert (counts["labelled"], counts["conflicts"]) == (1, 1)
    classes = {one["label"]: one for one in found["classes"]}
    assert [(one["images"], one["in_conflict"]) for one in classes.values()] == [(0, 1), (1, 1)]
    assert [one["superseded"] for one in classes.values()] == [0, 0]
    told = words(command())
    assert "in conflict" in told
    assert "1 image is labelled; 1 is in conflict" in told


def test_a_copy_of_an_image_is_told_to_be_the_image_of_another_name(
    world: Any, photo: Callable[..., bytes], command: Callable[..., Result], tmp_path: Path
) -> None:
    image = world.add("cat/a.png", photo(1))
    world.label(image, "cat", annotation_id="raw/cat/a.png")
    world.run("raw_images", "annotations")
    copy = tmp_path / "copy.png"
    copy.write_bytes(photo(1))
    told = words(command("withdraw", "--file", str(copy), "--dry-run"))
    assert f"{copy} has the same bytes as raw/cat/a.png: they are one image" in told
    assert "same bytes" not in words(command("withdraw", "--file", "raw/cat/a.png", "--dry-run"))
