"""Joining, sorting and grouping columns: as Python's dictionaries and sorts would."""

import hashlib
import itertools
import json

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.annotations.label_index import labels_version
from assets.dataset.retraining import _changed
from assets.line import fingerprint
from labelling import columns
from labelling.columns import (
    ByImage,
    LabelLists,
    is_ascending,
    is_plain,
    labels_by_image,
    picked,
    positions,
    ranks,
    relabelled,
    remembering,
    sort_order,
)
from labelling.labels.consensus import CONFLICTS_SCHEMA, Decisions
from labelling.labels.schema import NONE_OF_THEM
from training.data.manifest import dataset_version
from training.groups.groups import EXCLUDED, GROUPS_SCHEMA, current_rows

pytestmark = pytest.mark.unit

# Digests, some with the same first half, some with the same end; and texts that are none.
DIGESTS = [one * 16 + two * 48 for one in "0af" for two in "0af"]
digests = st.lists(st.sampled_from(DIGESTS), max_size=12)
texts = st.lists(st.sampled_from([*DIGESTS, "", "a", "é" * 8, "Z" * 64, "日" * 16]), max_size=12)
some = st.one_of(digests, texts)


def column(values: list[str]) -> pa.ChunkedArray:
    """In two pieces, of which the second does not begin where its buffer does."""
    half = len(values) // 2
    return pa.chunked_array(
        [
            pa.array(values[:half], pa.string()),
            pa.array(["x", *values[half:]], pa.string()).slice(1),
        ]
    )


@settings(deadline=None)
@given(some, some)
def test_a_join_finds_what_a_dictionary_finds(wanted, there):
    expected = [there.index(text) if text in there else -1 for text in wanted]
    assert positions(column(wanted), column(there)).tolist() == expected


@settings(deadline=None)
@given(some)
def test_texts_are_sorted_and_numbered_as_python_does(values):
    expected = sorted(range(len(values)), key=lambda place: (values[place].encode(), place))
    assert sort_order(column(values)).tolist() == expected
    found, count = ranks(column(values))
    different = sorted(set(values), key=str.encode)
    assert (found.tolist(), count) == ([different.index(one) for one in values], len(different))
    assert is_ascending(column(values)) == all(
        one.encode() < other.encode() for one, other in itertools.pairwise(values)
    )


def test_what_is_remembered_or_moved_in_blocks_is_the_same(monkeypatch) -> None:
    monkeypatch.setattr(columns, "_BLOCK", 2)
    for values in (DIGESTS, DIGESTS[::-1], [*DIGESTS, *DIGESTS], [f"{n:064x}" for n in range(9)]):
        expected = sorted(range(len(values)), key=lambda place: (values[place], place))
        with remembering():
            for _ in range(2):
                assert sort_order(column(values)).tolist() == expected
                assert positions(column(values[3:]), column(values)).tolist() == [
                    values.index(one) for one in values[3:]
                ]
        for where in ([5, 0, 5, 8], [0, 1, 7, 7, 8], [2], [8], [], [*range(9)]):
            found = picked(column(values), np.array(where, np.int64))
            assert found.to_pylist() == [values[n] for n in where]


@given(st.lists(st.lists(st.sampled_from(["a", "b", "a,b", "", "1,2"]), max_size=3), max_size=9))
def test_lists_of_labels_come_back_as_they_were(lists):
    found = LabelLists.of(pa.chunked_array([pa.array(lists, pa.list_(pa.string()))]))
    assert [list(found.kinds[code]) for code in found.codes] == lists
    assert found.column().to_pylist() == lists
    assert len(set(found.kinds)) == len(found.kinds)


def test_what_is_not_written_as_it_is_in_json_is_not_plain() -> None:
    letters = [chr(code) for code in range(1, 300)]
    assert [one for one in letters if is_plain(pa.array([one]))] == [
        one for one in letters if one.isascii() and one.isalnum()
    ]


labels = st.dictionaries(
    st.sampled_from([*DIGESTS, 'a"b', "é"]),
    st.lists(st.sampled_from(["cat", "dog", 'a"b', "été", "日本", NONE_OF_THEM]), max_size=3),
    max_size=8,
)


@settings(deadline=None)
@given(labels)
def test_versions_are_hashes_of_the_same_json_as_ever(given_labels):
    shas = list(given_labels)
    rows = pa.table(
        {
            "sha256": pa.array(shas, pa.string()),
            "labels": pa.array(list(given_labels.values()), pa.list_(pa.string())),
            "split": pa.array(
                ["train" if n % 2 else "test" for n in range(len(shas))], pa.string()
            ),
        }
    )
    lines = sorted(
        json.dumps([row["sha256"], sorted(row["labels"]), row["split"]]) for row in rows.to_pylist()
    )
    assert dataset_version(rows) == hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]
    content = {
        "labels": sorted([sha, *sorted(names)] for sha, names in given_labels.items()),
        "conflicts": [],
        "rejected": ["k"],
    }
    decisions = Decisions(rows, CONFLICTS_SCHEMA.empty_table())
    assert labels_version(decisions, pa.table({"snapshot_key": ["k"]})) == fingerprint(content, 16)


@settings(deadline=None)
@given(labels, labels)
def test_what_changed_between_two_data_sets(before, after):
    def kinds(of: dict[str, list[str]], image: str) -> frozenset[str]:
        return frozenset(of[image] or [NONE_OF_THEM]) if image in of else frozenset()

    expected = {
        one for one in before.keys() | after.keys() if kinds(before, one) != kinds(after, one)
    }
    found = _changed(before, after)
    assert (set(found), len(found)) == (expected, len(expected))


def test_a_table_is_a_mapping_and_some_images_are_labelled_again() -> None:
    rows = pa.table({"sha256": ["a", "b", "c"], "labels": [["x"], ["y"], ["z"]]})
    found = labels_by_image(rows)
    assert found == {"a": ["x"], "b": ["y"], "c": ["z"]}
    assert "b" in found
    assert (len(found), isinstance(found, ByImage), found.get("d")) == (3, True, None)
    assert found.of_images(["c", "d"]) == {"c": ["z"]}
    assert relabelled(found, ["a", "b", "d"], {"b": [], "d": ["w"]}) == {
        "c": ["z"],
        "b": [],
        "d": ["w"],
    }


group_rows = st.lists(
    st.tuples(
        st.sampled_from("abcde"),
        st.sampled_from("abcde"),
        st.sampled_from(["", "", "train", "test", EXCLUDED]),
        st.sampled_from([None, 0, 1]),
    ),
    max_size=12,
)


@settings(deadline=None)
@given(group_rows)
def test_the_rows_of_groups_that_count(items):
    """An image's first row with a split, else its last; a group has the split it was given first."""
    table = pa.Table.from_pylist(
        [
            dict.fromkeys(GROUPS_SCHEMA.names)
            | {"sha256": sha, "group_id": group, "split": split, "generation": number}
            for sha, group, split, number in items
        ],
        schema=GROUPS_SCHEMA,
    )
    chosen: dict[str, int] = {}
    for place, (sha, _, split, number) in enumerate(items):
        if (number or 0) == 0 and not (sha in chosen and items[chosen[sha]][2]):
            chosen[sha] = place
        del split
    expected = []
    for place in sorted(chosen.values()):
        sha, group, split, _ = items[place]
        dealt = [
            items[one][2]
            for one in sorted(chosen.values())
            if items[one][1] == group and items[one][2] not in ("", EXCLUDED)
        ]
        expected.append((sha, group, split if split == EXCLUDED or not dealt else dealt[0]))
    found = current_rows(table).select(["sha256", "group_id", "split"]).to_pylist()
    assert [tuple(row.values()) for row in found] == expected
