"""The doctor looks at several things at once, for a limited time, and never raises."""

import threading
import time
from collections.abc import Iterator

import pytest

from imgclf_dagster.doctor.aws_sagemaker import Image
from imgclf_dagster.doctor.findings import Finding, look_at_once, side_by_side
from tests.patience import SOON_S, WAIT_S, slowness

pytestmark = pytest.mark.unit


def finding_of(what: str, error: Exception) -> Finding:
    return Finding(what, "failed", f"{error!r}")


def test_looks_are_taken_at_once_and_told_in_order() -> None:
    met = threading.Barrier(3, timeout=WAIT_S)

    def look(name: str) -> Iterator[Finding]:
        met.wait()  # each of them waits for all others
        yield Finding(name, "ok", "")

    names = ["c", "a", "b"]
    looks = {name: lambda name=name: look(name) for name in names}
    found = look_at_once(looks, time.monotonic() + WAIT_S, finding_of)
    assert [finding.what for finding in found] == names


def test_what_a_look_raises_is_a_finding_after_what_it_found() -> None:
    def look() -> Iterator[Finding]:
        yield Finding("a", "ok", "")
        raise ValueError("no")

    found = look_at_once({"a look": look}, time.monotonic() + WAIT_S, finding_of)
    assert [(f.what, f.health) for f in found] == [("a", "ok"), ("a look", "failed")]
    assert "ValueError" in found[1].detail


def test_a_look_without_an_end_is_left_alone() -> None:
    never = threading.Event()

    def hang() -> Iterator[Finding]:
        yield Finding("a", "ok", "")
        never.wait(WAIT_S)

    looks = {"hangs": hang, "ends": lambda: [Finding("b", "ok", "")]}
    began = time.monotonic()
    found = look_at_once(looks, began + slowness(), finding_of)
    never.set()
    assert time.monotonic() - began < SOON_S
    assert [(f.what, f.health) for f in found] == [("a", "ok"), ("hangs", "warning"), ("b", "ok")]


def test_side_by_side_keeps_the_order_and_raises_the_first_error() -> None:
    assert side_by_side(lambda n: n * n, range(20)) == [n * n for n in range(20)]
    assert side_by_side(lambda n: n, [None, None]) == [None, None]
    with pytest.raises(ZeroDivisionError):
        side_by_side(lambda n: 1 // n, [2, 1, 0])


@pytest.mark.parametrize(
    ("uri", "image"),
    [
        (
            "1.dkr.ecr.eu-central-1.amazonaws.com/a/b:2",
            Image("1", "eu-central-1", "a/b", "2"),
        ),
        (
            "1.dkr.ecr.cn-north-1.amazonaws.com.cn/a@sha256:ff",
            Image("1", "cn-north-1", "a", "", "sha256:ff"),
        ),
        ("1.dkr.ecr.us-east-1.amazonaws.com/a", Image("1", "us-east-1", "a", "latest")),
        ("docker.io/a:1", None),
        ("a:1", None),
        ("", None),
    ],
)
def test_an_image_is_read_from_its_address(uri: str, image: Image | None) -> None:
    assert Image.parse(uri) == image
