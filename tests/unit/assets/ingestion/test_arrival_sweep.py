"""The windows of a sweep: each row of the image table belongs to exactly one."""

import pyarrow as pa
import pytest

from assets.ingestion.sweep import _between

pytestmark = pytest.mark.unit


def test_the_windows_share_no_key_and_leave_none_out() -> None:
    table = pa.table({"key": ["a", "b", "b", "c", "d"]})
    windows = [(None, "b"), ("b", "c"), ("c", None)]
    found = [_between(table, after, end)["key"].to_pylist() for after, end in windows]
    assert found == [["a", "b", "b"], ["c"], ["d"]]
