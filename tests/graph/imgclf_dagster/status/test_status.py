"""``imgclf status``: what blocks with its numbers and remedy, what is under way, what was refused last,
scores on the same images only, and what to do next."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest

from assets.dataset.splits import former_splits, splitting
from assets.dataset.splits.generations import deal_again
from assets.evaluation.records import record_evaluation
from assets.records.trained_model import TrainedModelRecord
from assets.release.verdicts import (
    DATASET_CHECKS,
    MODEL_CHECKS,
    SOURCE_CHECKS,
    STAGING_CHECKS,
    record_verdict,
)
from imgclf_dagster.cli import release
from imgclf_dagster.cli.common import console
from imgclf_dagster.cli.status import _table
from imgclf_dagster.status import checks
from imgclf_dagster.status.next_step import next_command
from imgclf_dagster.status.status import gather_status
from object_store.contents.damage import remedy_for
from serving.deployments import DeploymentRecord, record_key
from tests.graph.imgclf_dagster.status.shown_status import materialized, shown, status

pytestmark = pytest.mark.graph

CHECKS = [
    *((asset, check) for asset, checks in SOURCE_CHECKS.items() for check in checks),
    *(("dataset", check) for check in DATASET_CHECKS),
    *(("trained_model", check) for check in (*MODEL_CHECKS, *STAGING_CHECKS)),
]
VERSION_OF = {"dataset": "dataset_version", "trained_model": "model_version"}


def test_an_empty_home_says_what_comes_first(world: Any) -> None:
    facts = status(world)
    assert facts["next"] == "imgclf ingest FOLDER"
    assert facts["waiting"] == facts["blocking"] == facts["runs"] == facts["refused"] == []


@pytest.mark.parametrize(("asset", "check"), CHECKS)
def test_every_check_that_blocks_is_shown_with_its_numbers_and_a_remedy(
    world: Any, asset: str, check: str
) -> None:
    materialized(world, asset, **{VERSION_OF.get(asset, "content_version"): "v1"})
    given = {"subject": f"{asset}/v1", "check": check, "digest": "d" * 64}
    record_verdict(
        world.store, **given, passed=False, reason="7 of 9 are bad", numbers={"bad": 7, "all": 9}
    )
    (found,) = status(world)["blocking"]
    assert (found["check"], found["subject"]) == (check, f"{asset}/v1")
    assert (found["reason"], found["numbers"]) == ("7 of 9 are bad", {"bad": 7, "all": 9})
    assert "imgclf" in found["remedy"]
    for text in (check, f"{asset}/v1", "7 of 9 are bad", "bad 7, all 9", found["remedy"]):
        assert text in shown(status(world))
    record_verdict(
        world.store, **given, passed=False, severity="WARN", reason="only", numbers={"bad": 1}
    )
    assert status(world)["blocking"] == []
    record_verdict(world.store, **given, passed=False, reason="again")
    materialized(world, asset, **{VERSION_OF.get(asset, "content_version"): "v2"})
    assert status(world)["blocking"] == []  # what is newest is not blocked


def test_a_reason_is_shown_once_and_numbers_are_rounded(shop: Any) -> None:
    held = shop.candidate("train-1", register=False)
    materialized(shop, "trained_model", model_version="train-1", digest=held.digest)
    materialized(shop, "evaluation_report", model_version="train-1")
    record_verdict(
        shop.store,
        subject="trained_model/train-1",
        check="beats_champion",
        digest=held.digest,
        passed=False,
        reason="it is worse",
        numbers={"accuracy": 0.7539062500000003, "recall": {"cat": 0.1 + 0.2}, "images": 52},
    )
    facts = status(shop)
    assert [item["kind"] for item in facts["refused"]] == ["candidate"]
    assert shown(facts).count("it is worse") == 1
    assert "accuracy 0.7539, recall cat 0.3, images 52" in shown(facts)
    assert "0.7539062500000003" in json.dumps(facts)  # for scripts


def test_a_data_check_that_stops_the_line_is_what_comes_next(world: Any) -> None:
    world.add_classes(2)
    assert status(world)["next"] == "imgclf run"
    world.run("raw_images", "annotations", "dataset")
    facts = status(world)
    (found,) = facts["blocking"]
    assert found["check"] == "class_floor_met"
    assert "needs 2" in found["reason"]
    assert facts["next"] == found["remedy"]
    assert not facts["refused"]  # the check tells why the run failed


def test_what_has_come_is_told_without_what_has_not(
    world: Any, photo: Callable[..., bytes]
) -> None:
    image = world.add("a.png", photo(1))
    (waiting,) = status(world)["waiting"]
    assert waiting == "1 object waits for the line (imgclf run, or imgclf up)"
    world.label(image, "red")
    (waiting,) = status(world)["waiting"]
    assert waiting.startswith("1 object and 1 change of labels wait for the line")
    world.run("raw_images")
    world.label(image, "blue", at=world.later())
    assert status(world)["waiting"][0].startswith("2 changes of labels wait for the line")


@pytest.mark.parametrize(
    ("numbers", "tolerated"),
    [({"accuracy": 0.3, "majority_baseline_accuracy": 0.4}, False), ({"champion": "x"}, True)],
)
def test_a_tolerance_is_offered_only_where_there_is_a_champion(
    world: Any, numbers: dict[str, Any], tolerated: bool
) -> None:
    materialized(world, "trained_model", model_version="v1")
    record_verdict(
        world.store,
        subject="trained_model/v1",
        check="beats_champion",
        digest="d" * 64,
        passed=False,
        reason="no better",
        numbers=numbers,
    )
    (found,) = status(world)["blocking"]
    assert ("champion_tolerance" in found["remedy"]) is tolerated
    assert "label more images" in found["remedy"]


@pytest.mark.parametrize("check", MODEL_CHECKS)
@pytest.mark.parametrize("too_few", [None, 12])
def test_more_epochs_are_a_remedy_where_the_loss_was_still_falling(
    world: Any, check: str, too_few: int | None
) -> None:
    made = TrainedModelRecord(
        model_version="v1", dataset_version="d1", digest="d" * 64, epochs_too_few=too_few
    )
    record_verdict(
        world.store,
        subject="trained_model/v1",
        check=check,
        digest="d" * 64,
        passed=False,
        reason="worse",
    )
    newest: Any = SimpleNamespace(of=lambda kind: made if kind is type(made) else None)
    (found,) = checks.blocking_checks(world.store, newest)
    is_named = too_few is not None and check in ("beats_champion", "no_slice_regression")
    assert found["remedy"].startswith("train for more epochs (training.epochs, which was 12") is (
        is_named
    )


def test_whoever_approves_is_told_of_a_former_test_split_and_of_a_champion_that_did_not_count(
    shop: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    package = shop.candidate("train-1")
    stage(shop, package)
    tested = pa.table({"sha256": ["a", "b"], "split": ["test", "train"]})
    monkeypatch.setattr(former_splits, "read_card", lambda *_: {"generation": None})
    monkeypatch.setattr(former_splits, "read_dataset_manifest", lambda *_: tested)

    def dispute() -> tuple[list[str], str]:
        release._warn(shop.store, package)
        former = [text for text in status(shop)["waiting"] if "former test split" in text]
        return former, " ".join(capsys.readouterr().out.split())

    assert dispute() == ([], "")
    deal_again(shop.store, shop.settings.split, "asked for")
    (waiting,), warning = dispute()
    assert waiting.startswith("train-1 waits, but it was tested on a former test split")
    assert "train-1: it was tested on a former test split" in warning
    monkeypatch.setattr(splitting, "current_groups", lambda _: tested)  # dealt as before
    assert dispute() == ([], "")
    monkeypatch.undo()
    assert "it cannot be read whether it was tested before or after that" in dispute()[1]
    monkeypatch.setattr(former_splits, "read_card", lambda *_: {"generation": 1})
    assert dispute() == ([], "")
    reason = "train-0, which is in production, was trained on 3 of the 4 test images"
    record_verdict(
        shop.store,
        subject="trained_model/train-1",
        check="beats_champion",
        digest=package.digest,
        passed=True,
        reason=reason,
        numbers={"accuracy": 0.9, "majority_baseline_accuracy": 0.4},
    )
    assert dispute() == (
        [],
        f"train-1: it was not compared with the model in production: {reason}",
    )


def test_a_verdict_that_cannot_be_read_blocks(world: Any) -> None:
    materialized(world, "dataset", dataset_version="v1")
    key = "checks/dataset/v1/no_split_leakage/0000000000001.json"
    world.store.put(key, b"")
    (found,) = status(world)["blocking"]
    assert key in found["reason"]
    assert found["remedy"] == remedy_for(key)


def test_a_damaged_object_is_named_with_the_remedy_of_the_doctor(
    world: Any, shop: Any, deployed: Callable[..., Any]
) -> None:
    world.add_classes(4)
    world.run("raw_images", "annotations", "dataset")
    (info,) = world.store.list("materializations/dataset")
    spoil(world, info.key)
    facts = status(world)
    assert [item["key"] for item in facts["damaged"]] == [info.key]
    assert facts["next"] == remedy_for(info.key)
    for text in (f"✗ {info.key} is damaged (", f"→ {remedy_for(info.key)}"):
        assert text in shown(facts)
    with console.capture() as printed:
        console.print(_table(facts))
    assert "unknown: its record is damaged" in printed.get()
    live = measured(shop, "train-live", 2.0, 0.756, "a" * 16)
    report(shop, live, champion=None, dataset="a" * 16)
    deployed(shop, shop.approve(live))
    assert status(shop)["damaged"] == []
    spoil(shop, "models/eval-train-live/processing/report.json")
    facts = status(shop)
    assert "report.json is damaged" in facts["prod"]["no_scores"]
    assert "doctor --store --repair" in facts["next"]


def spoil(world: Any, key: str) -> None:
    world.store.delete(key)
    world.store.put(key, b'{"a":')


def test_the_last_refusals_are_told_with_their_reasons(shop: Any) -> None:
    for number in (1, 2):
        shop.reject(shop.candidate(f"train-bad{number}"), by=f"bob{number}")
    for number in (1, 2):
        held = shop.candidate(f"train-held{number}", register=False)
        shop.judge(
            held.model_version, "beats_champion", digest=held.digest, passed=False, reason="0.71"
        )
        materialized(shop, "evaluation_report", model_version=held.model_version)
    candidate, package = status(shop)["refused"]
    assert (candidate["kind"], candidate["what"]) == ("candidate", "train-held2")
    assert candidate["why"] == "beats_champion: 0.71"
    assert (package["kind"], package["what"]) == ("package", "train-bad2")
    assert (package["by"], package["why"]) == ("bob2", "bad")
    good = shop.candidate("train-good")
    materialized(shop, "evaluation_report", model_version="train-good")
    (package,) = status(shop)["refused"]  # a newer candidate passed
    shop.reject(good, by="eve")
    assert [item["by"] for item in status(shop)["refused"]] == ["eve"]


def test_decisions_that_production_does_not_follow_wait(
    shop: Any, deployed: Callable[..., Any]
) -> None:
    package = shop.approve(shop.candidate("train-1"))
    (waiting,) = [text for text in status(shop)["waiting"] if "train-1" in text]
    assert waiting.startswith("train-1 is approved by ann and not in production yet")
    deployed(shop, package)
    assert not [text for text in status(shop)["waiting"] if "train-1" in text]
    shop.reject(package)
    (waiting,) = [text for text in status(shop)["waiting"] if "train-1" in text]
    assert waiting == (
        "train-1 was rejected by bob and is still in production: no approved version is before it "
        "to return to; approve another one"
    )


def test_the_next_command_lifts_a_rejected_model_from_production(
    shop: Any, deployed: Callable[..., Any]
) -> None:
    """`imgclf run` changes production only where there is an approved version to return to."""
    bad = shop.approve(shop.candidate("train-bad"))
    deployed(shop, bad)
    shop.reject(bad)
    new = shop.candidate("train-new")
    stage(shop, new)
    materialized(shop, "evaluation_report", model_version="train-new")
    there = {"images": {"usable": 9, "not_indexed": 0}, "labels": {"labelled": 9, "not_indexed": 0}}
    facts = status(shop) | there
    assert not [text for text in facts["waiting"] if "imgclf run" in text], facts["waiting"]
    assert next_command(facts, is_up=False) == 'imgclf approve train-new --reason "…"'
    deployed(shop, shop.approve(new))
    newest = shop.approve(shop.candidate("train-newest"))
    deployed(shop, newest)
    shop.reject(newest)
    facts = status(shop) | there
    assert any("imgclf run returns to train-new" in text for text in facts["waiting"])
    assert next_command(facts, is_up=False) == "imgclf run"


def test_scores_stand_side_by_side_on_the_same_test_images_only(
    shop: Any, deployed: Callable[..., Any]
) -> None:
    """The champion got 0.756 on the 45 test images of its day, and 0.7 on today's 52."""
    live, staged, new = (
        measured(shop, f"train-{name}", sharpness, macro_f1, dataset)
        for name, sharpness, macro_f1, dataset in (
            ("live", 2.0, 0.756, "a" * 16),
            ("staged", 3.0, 0.8, "b" * 16),
            ("new", 5.0, 0.712, "c" * 16),
        )
    )
    report(shop, new, champion=live, dataset="c" * 16)
    deployed(shop, shop.approve(live))
    stage(shop, staged)
    materialized(shop, "evaluation_report", model_version="train-new")
    facts = status(shop)
    assert scores_of(facts["candidate"]) == (0.712, 52, "c" * 16)
    assert scores_of(facts["prod"]) == (0.7, 52, "c" * 16)
    assert facts["staging"]["metrics"] == {}
    assert facts["staging"]["no_scores"] == "it was not measured on these test images"
    again = measured(shop, "train-staged", 3.0, 0.65, "c" * 16, register=False)
    assert again.digest == staged.digest
    assert scores_of(status(shop)["staging"]) == (0.65, 52, "c" * 16)


def test_without_a_candidate_what_serves_is_shown_with_its_own_scores(
    shop: Any, deployed: Callable[..., Any]
) -> None:
    live = measured(shop, "train-live", 2.0, 0.756, "a" * 16)
    report(shop, live, champion=None, dataset="a" * 16)
    deployed(shop, shop.approve(live))
    assert scores_of(status(shop)["prod"]) == (0.712, 52, "a" * 16)


def test_a_test_split_that_is_too_small_says_what_to_label(
    shop: Any, deployed: Callable[..., Any]
) -> None:
    live = measured(shop, "train-live", 2.0, 0.756, "a" * 16)
    support = {"cat": {"support": 40}, "[b]ox[/b]": {"support": 12}}
    wide = {"accuracy": (0.6, 0.8), "macro_f1": (0.6, 0.75)}
    report(shop, live, champion=None, dataset="a" * 16, per_class=support, intervals=wide)
    deployed(shop, shop.approve(live))
    said = status(shop)["waiting"][-1]
    assert said.startswith("52 test images are too few to tell how good the model is")
    # Half as wide needs four times the images; 15 % of the labelled ones become test images.
    assert "About 160 more test images would be enough (to label about 1,000 more)" in said
    assert said.endswith("the fewest: [b]ox[/b] (12), cat (40).")
    assert "[b]ox[/b] (12)" in shown(status(shop))
    file = shop.store.root / "models/eval-train-live/processing/report.json"
    narrow = {"accuracy": (0.71, 0.8), "macro_f1": (0.7, 0.75)}
    file.write_text(json.dumps({**json.loads(file.read_bytes()), "intervals": narrow}))
    assert not [line for line in status(shop)["waiting"] if "too few" in line]


def test_a_report_that_nobody_can_read_is_no_score(shop: Any, deployed: Callable[..., Any]) -> None:
    live = measured(shop, "train-live", 2.0, 0.756, "a" * 16)
    report(shop, live, champion=None, dataset="a" * 16)
    deployed(shop, shop.approve(live))
    file = shop.store.root / "models/eval-train-live/processing/report.json"
    for damaged in (b"", b"null", b"[]", b"{}", b"[" * 3000, b"NaN"):
        file.write_bytes(damaged)
        assert status(shop)["prod"]["no_scores"], damaged


def scores_of(facts: dict[str, Any]) -> tuple[float, int, str]:
    return facts["metrics"]["macro_f1"], facts["test_images"], facts["scored_on"]


def measured(
    shop: Any, version: str, sharpness: float, macro_f1: float, dataset: str, register: bool = True
) -> Any:
    """A model whose own evaluation was on ``dataset``."""
    package = shop.candidate(version, sharpness=sharpness, register=register)
    record_evaluation(
        shop.store,
        version,
        {
            "job": f"eval-{version}",
            "model_version": version,
            "digest": package.digest,
            "model_key": package.model_key,
            "dataset_version": dataset,
            "code_version": "1",
            "task": "single_label",
            "labels": ["red"],
            "metrics": {"accuracy": macro_f1, "macro_f1": macro_f1},
            "evaluation_run": "",
        },
    )
    return package


def report(shop: Any, model: Any, *, champion: Any, dataset: str, **more: Any) -> None:
    def scores(macro_f1: float, digest: str) -> dict[str, Any]:
        rest = {"accuracy": macro_f1, "log_loss": 0.3, "calibration_error": 0.1}
        return {"macro_f1": macro_f1, "digest": digest, **rest}

    content = {
        **scores(0.712, model.digest),
        "dataset_version": dataset,
        "n_test": 52,
        "champion": scores(0.7, champion.digest) if champion else None,
        **more,
    }
    key = f"models/eval-{model.model_version}/processing/report.json"
    shop.store.put(key, json.dumps(content).encode())


def stage(shop: Any, package: Any) -> None:
    record = DeploymentRecord.at(
        round((datetime.now(UTC) - timedelta(minutes=1)).timestamp() * 1000),
        stage="staging",
        model_version=package.model_version,
        digest=package.digest,
        model_key=package.model_key,
        deployed_by="imgclf",
        reason="good",
    )
    shop.store.put(record_key(record), record.model_dump_json().encode())


def test_a_data_set_that_is_blocked_does_not_wait_for_a_run(world: Any) -> None:
    world.add_classes(1)
    world.run("raw_images", "annotations", "dataset")
    reported = gather_status(world.settings, world.instance)
    assert [check["check"] for check in reported["blocking"]] == ["class_floor_met"]
    version = reported["dataset"]["version"]
    assert reported["waiting"] == [f"data set {version} is not trained on: a check blocks it"]


def test_what_a_killed_run_left_undone_waits(world: Any, photo: Callable[..., bytes]) -> None:
    world.add_classes(4)
    lenient = world.with_settings(gates={"min_train_images_per_class": 1})
    lenient.run("raw_images", "annotations", "dataset")
    version = gather_status(lenient.settings, lenient.instance)["dataset"]["version"]

    def waiting() -> list[str]:
        reported = gather_status(lenient.settings, lenient.instance)["waiting"]
        return [text for text in reported if "imgclf run" in text]

    assert [text.partition(":")[0] for text in waiting()] == [
        f"data set {version} is not trained on yet"
    ]
    materialized(lenient, "trained_model", model_version="train-1", dataset_version=version)
    assert waiting() == ["train-1 is not evaluated yet (imgclf run)"]
    materialized(lenient, "evaluation_report", model_version="train-1")
    assert waiting() == []
    lenient.add("red/late.png", photo(99), "red", at=lenient.later())
    lenient.run("raw_images", "annotations")
    assert waiting() == ["images or labels are newer than the data set (imgclf run)"]


LEFT_OUT = (
    *("PIL", "gradio", "httpx", "imgclf_dagster.definitions", "lightning", "mlflow", "pandas"),
    "torch",
)


def test_status_imports_neither_the_graph_nor_mlflow(shop: Any) -> None:
    """`imgclf status` took 3.3 CPU seconds with them, most of it for the import of MLflow."""
    shop.candidate("train-1")
    code = (
        "import sys\n"
        "sys.argv = ['imgclf', 'status', '--json']\n"
        "from imgclf_dagster.cli.entry import main\n"
        "try:\n    main()\n"
        "except SystemExit as end:\n"
        f"    print(end.code, [name for name in {LEFT_OUT!r} if name in sys.modules])\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[4],
        env={**os.environ, "IMGCLF_HOME": str(shop.home), "PYTHONPATH": "."},
    )
    assert ran.stdout.splitlines()[-1] == "0 []", ran.stdout
