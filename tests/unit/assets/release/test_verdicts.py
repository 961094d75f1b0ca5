"""What checks have to say before a version goes on, and that it is kept."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from assets.release import verdicts
from assets.release.verdicts import (
    Verdict,
    blocking_check_names,
    failed_checks,
    newest_verdict,
    objections,
    read_verdict,
    record_verdict,
    verdicts_prefix,
)
from object_store.contents.damage import DamagedObject
from object_store.contents.numbered import newest_key
from object_store.store import ObjectStore

pytestmark = pytest.mark.unit

DIGEST = "a" * 64


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    store = ObjectStore(url=tmp_path.as_uri())
    store.ensure()
    return store


def judge(store: ObjectStore, *, passed: bool = True, **given: Any) -> None:
    record_verdict(store, subject="trained_model/m", check="c", passed=passed, reason="r", **given)


def of_model(store: ObjectStore, digest: str = DIGEST) -> list[str]:
    return objections(store, "trained_model/m", ("c",), digest)


def test_a_verdict_counts_for_its_own_digest_only(store: ObjectStore) -> None:
    assert "was never evaluated" in of_model(store)[0]
    judge(store, digest=DIGEST)
    assert of_model(store) == []
    assert "was evaluated for digest" in of_model(store, "b" * 64)[0]


def test_a_verdict_without_a_digest_counts_for_no_model(store: ObjectStore) -> None:
    judge(store)
    assert "was evaluated for digest" in of_model(store)[0]
    assert of_model(store, "") == []  # as of a data set, which has none


def test_a_failure_blocks_and_a_warning_does_not(store: ObjectStore) -> None:
    judge(store, passed=False, digest=DIGEST)
    assert "c failed: r" in of_model(store)[0]
    judge(store, passed=False, severity="WARN", digest=DIGEST)
    assert of_model(store) == []


def test_verdicts_of_one_moment_are_all_kept_and_the_last_counts(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stopped(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return datetime(2026, 1, 1, tzinfo=UTC)

    monkeypatch.setattr(verdicts, "datetime", Stopped)
    for passed in (True, False, True, False):
        judge(store, passed=passed, digest=DIGEST)
        found = newest_verdict(store, "trained_model/m", "c")
        assert found is not None
        assert found.passed is passed
    assert len(store.list(verdicts_prefix("trained_model/m", "c"))) == 4


def test_a_verdict_is_kept_as_it_was_given(store: ObjectStore) -> None:
    given = record_verdict(
        store,
        subject="trained_model/m",
        check="c",
        passed=False,
        severity="WARN",
        reason="r",
        digest=DIGEST,
        numbers={"x": 1.5},
    )
    assert given.model_dump(exclude={"at"}) == {
        "check": "c",
        "subject": "trained_model/m",
        "passed": False,
        "severity": "WARN",
        "reason": "r",
        "digest": DIGEST,
        "numbers": {"x": 1.5},
    }
    assert given.at.tzinfo is UTC
    assert newest_verdict(store, "trained_model/m", "c") == given
    (info,) = store.list("checks/trained_model/m/c")
    assert store.get(info.key).startswith(b'{\n "check": "c"')  # people read it


def test_a_verdict_is_an_error_of_no_digest_and_no_numbers_unless_said(store: ObjectStore) -> None:
    given = record_verdict(store, subject="s/1", check="c", passed=False, reason="r")
    assert (given.severity, given.digest, given.numbers) == ("ERROR", "", {})
    assert given.blocks
    assert not given.model_copy(update={"severity": "WARN"}).blocks
    assert not given.model_copy(update={"passed": True}).blocks


def test_the_same_verdict_again_is_the_one_that_is_kept(store: ObjectStore) -> None:
    first = record_verdict(store, subject="s/1", check="c", passed=True, reason="r")
    assert record_verdict(store, subject="s/1", check="c", passed=True, reason="r") == first
    assert len(store.list("checks/s/1/c")) == 1
    record_verdict(store, subject="s/1", check="c", passed=True, reason="other")
    assert len(store.list("checks/s/1/c")) == 2


def damage(store: ObjectStore, check: str = "c") -> str:
    key = f"{verdicts_prefix('trained_model/m', check)}9999999999990.json"
    store.put(key, b"{}")
    return key


def test_a_damaged_verdict_blocks_until_there_is_a_newer_one(store: ObjectStore) -> None:
    judge(store, digest=DIGEST)
    key = damage(store)
    with pytest.raises(DamagedObject):
        newest_verdict(store, "trained_model/m", "c")
    found = objections(store, "trained_model/m", ("c", "d"), DIGEST)
    assert found[0].startswith(f"c cannot be known: {key} in {store.url} is damaged")
    assert found[1:] == ["d was never evaluated for trained_model/m"]
    judge(store, digest=DIGEST)
    assert of_model(store) == []


def test_the_verdict_of_another_is_damage(store: ObjectStore) -> None:
    judge(store)
    newest = newest_key(store, verdicts_prefix("trained_model/m", "c"))
    assert newest is not None
    moved = "checks/trained_model/n/c/0000000000001.json"
    store.put(moved, store.get(newest))
    assert isinstance(read_verdict(store, newest), Verdict)
    with pytest.raises(DamagedObject) as raised:
        read_verdict(store, moved)
    assert raised.value.key == moved
    assert raised.value.flaw == "it holds the verdict of c about trained_model/m"
    assert store.url in str(raised.value)


def test_every_objection_is_reported_in_the_order_of_the_checks(store: ObjectStore) -> None:
    other = "b" * 64
    for check, passed, digest in (("a", False, DIGEST), ("b", True, other), ("c", True, DIGEST)):
        record_verdict(
            store,
            subject="trained_model/m",
            check=check,
            passed=passed,
            reason=f"why {check}",
            digest=digest,
        )
    checks = ("z", "a", "b", "c")
    assert objections(store, "trained_model/m", checks, DIGEST) == [
        "z was never evaluated for trained_model/m",
        "a failed: why a",
        "b was evaluated for digest bbbbbbbbbbbb, not aaaaaaaaaaaa",
    ]
    assert objections(store, "trained_model/m", checks) == [
        "z was never evaluated for trained_model/m",
        "a failed: why a",
    ]
    assert failed_checks(store, "trained_model/m", checks) == {"a": "why a"}


def test_every_check_is_named_once() -> None:
    names = blocking_check_names()
    assert names[:3] == ("images_readable", "labels_known", "no_label_conflicts")
    assert names[-1] == "staging_latency_within_budget"
    assert len(names) == len(set(names)) == 11
