"""What a check found, as text for programs and as Markdown for Dagster's page."""

from pathlib import Path

import dagster as dg
import pytest
from markdown_it import MarkdownIt

from assets.release.verdicts import newest_verdict
from imgclf_dagster.checks.result import check_result, fails_closed, judge, nothing_to_judge
from imgclf_dagster.line.progress import _check_reason
from object_store.contents.damage import DamagedObject
from object_store.errors import KeyMissing
from object_store.store import ObjectStore

pytestmark = pytest.mark.unit

ATTACK = "class '![x](http://127.0.0.1:3000/graphql)' lost\nrecall\x1b[2J"


def _kinds(description: str | None) -> set[str]:
    (inline,) = MarkdownIt("gfm-like", {"linkify": False}).parseInline(description or "")
    return {token.type for token in inline.children or []}


@pytest.mark.parametrize(
    "result",
    [
        check_result(passed=False, reason=ATTACK),
        fails_closed(lambda: (_ for _ in ()).throw(DamagedObject(ATTACK, ATTACK, "file:///s")))(),
        fails_closed(lambda: (_ for _ in ()).throw(KeyMissing(ATTACK)))(),
        nothing_to_judge(ATTACK),
    ],
)
def test_a_label_in_a_reason_is_no_markup(result: dg.AssetCheckResult) -> None:
    assert not result.passed
    assert _kinds(result.description) <= {"text", "text_special"}
    facts = result.metadata["reason"].value
    assert "![x](http://127.0.0.1:3000/graphql)" in str(facts)
    assert "\x1b" not in str(facts)


def test_what_is_reported_in_a_terminal_is_the_text() -> None:
    result = check_result(passed=False, reason="label 'a*b_c' [1] is rare")
    evaluation = dg.AssetCheckEvaluation(
        asset_key=dg.AssetKey("dataset"),
        check_name="class_floor_met",
        passed=result.passed,
        metadata=result.metadata,
        description=result.description,
    )
    assert _check_reason(evaluation) == "label 'a*b_c' [1] is rare"


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    store = ObjectStore(url=tmp_path.as_uri())
    store.ensure()
    return store


def metadata(result: dg.AssetCheckResult) -> dict[str, object]:
    return {name: value.value for name, value in result.metadata.items()}


def test_what_is_judged_is_recorded_and_reported(store: ObjectStore) -> None:
    result = judge(
        store,
        check="c",
        subject="dataset/d",
        passed=False,
        reason="r",
        severity="ERROR",
        digest="d" * 64,
        numbers={"pairs": 3},
    )
    assert (result.passed, result.severity) == (False, dg.AssetCheckSeverity.ERROR)
    assert result.description == "r"
    assert metadata(result) == {"reason": "r", "subject": "dataset/d", "pairs": 3}
    kept = newest_verdict(store, "dataset/d", "c")
    assert kept is not None
    assert kept.model_dump(exclude={"at"}) == {
        "check": "c",
        "subject": "dataset/d",
        "passed": False,
        "severity": "ERROR",
        "reason": "r",
        "digest": "d" * 64,
        "numbers": {"pairs": 3},
    }


def test_a_finding_that_warns_is_reported_as_passed_and_kept_as_failed(store: ObjectStore) -> None:
    result = judge(store, check="c", subject="s/1", passed=False, reason="r", severity="WARN")
    assert (result.passed, result.severity) == (True, dg.AssetCheckSeverity.WARN)
    kept = newest_verdict(store, "s/1", "c")
    assert kept is not None
    assert (kept.passed, kept.severity, kept.digest) == (False, "WARN", "")


def test_a_finding_is_an_error_unless_said(store: ObjectStore) -> None:
    result = judge(store, check="c", subject="s/1", passed=False, reason="r")
    assert (result.passed, result.severity) == (False, dg.AssetCheckSeverity.ERROR)
    assert metadata(result) == {"reason": "r", "subject": "s/1"}
    assert judge(store, check="c", subject="s/1", passed=True, reason="r").passed
    plain = check_result(passed=True, reason="r")
    assert (plain.passed, plain.severity) == (True, dg.AssetCheckSeverity.ERROR)


def test_what_is_damaged_or_missing_fails_with_key_and_remedy() -> None:
    damage = DamagedObject("checks/x", "cut", "file:///s", remedy="do this")

    def damaged() -> dg.AssetCheckResult:
        raise damage

    def missing() -> dg.AssetCheckResult:
        raise KeyMissing("no k")

    result = fails_closed(damaged)()
    assert (result.passed, result.severity) == (False, dg.AssetCheckSeverity.ERROR)
    text = {"reason": str(damage), "key": "checks/x", "remedy": "do this"}
    assert metadata(result) == text
    assert metadata(fails_closed(missing)()) == {"reason": "no k"}
    assert not fails_closed(missing)().passed
    assert fails_closed(damaged).__name__ == "damaged"
    assert fails_closed(lambda reason: check_result(passed=True, reason=reason))("r").passed


def test_a_check_before_there_is_anything_fails_and_says_so() -> None:
    result = nothing_to_judge("dataset")
    assert not result.passed
    assert metadata(result) == {"reason": "dataset has not been materialized yet"}
