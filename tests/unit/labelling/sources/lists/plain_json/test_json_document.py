"""JSON that lists of labels come in: forms, places, and what breaks."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelling.sources.containers.containers import Rejection
from labelling.sources.lists.list_format import ListFile, ListRefusedError
from labelling.sources.lists.plain_json.document import JsonDocument, Record, open_json

pytestmark = pytest.mark.unit


def document(text: str | bytes, encoding: str | None = None) -> JsonDocument:
    data = text.encode() if isinstance(text, str) else text
    found = open_json(ListFile("list.json", data), encoding)
    assert found is not None
    return found


def values_of(text: str | bytes) -> list[tuple[str, object]]:
    return [
        (item.place, dict(item.value)) if isinstance(item, Record) else (item.name, item.reason)
        for item in document(text).records()
    ]


def test_an_array_and_lines_give_their_records_with_places() -> None:
    assert values_of('[{"a": 1}, {"a": 2}]') == [
        ("list.json record 1", {"a": 1}),
        ("list.json record 2", {"a": 2}),
    ]
    assert values_of('{"a": 1}\n\n{"a": 2}\r\n') == [
        ("list.json:1", {"a": 1}),
        ("list.json:3", {"a": 2}),
    ]
    assert values_of('{"a": 1}') == [("list.json", {"a": 1})]
    assert values_of("[]") == []


def test_a_line_separator_in_a_text_is_no_end_of_a_line() -> None:
    assert values_of('{"a": "x\u2028y"}\n{"a": "\x85"}') == [
        ("list.json:1", {"a": "x\u2028y"}),
        ("list.json:2", {"a": "\x85"}),
    ]


@pytest.mark.parametrize(
    "encoded",
    ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32"],
)
def test_encodings_of_json_are_known_by_their_first_bytes(encoded: str) -> None:
    assert values_of('[{"a": "é"}]'.encode(encoded)) == [("list.json record 1", {"a": "é"})]


def test_another_encoding_is_asked_for_and_used() -> None:
    data = '[{"a": "é"}]'.encode("cp1252")
    with pytest.raises(ListRefusedError, match="--encoding cp1252"):
        open_json(ListFile("list.json", data))
    assert document(data, "cp1252").sample == [{"a": "é"}]
    with pytest.raises(ListRefusedError, match="unknown encoding"):
        open_json(ListFile("list.json", data), "cp99999")


def test_broken_lines_are_rejected_and_the_rest_goes_on() -> None:
    found = values_of('{"a": 1}\n{"a": \n17\n{"a": 2} {"a": 3}\n{"a": 4}')
    assert [place for place, _ in found] == [f"list.json:{line}" for line in range(1, 6)]
    assert [item for item in found if isinstance(item[1], dict)] == [
        ("list.json:1", {"a": 1}),
        ("list.json:5", {"a": 4}),
    ]
    assert "broken JSON" in str(found[1][1])
    assert "int where a record" in str(found[2][1])
    assert "write one a line" in str(found[3][1])


def test_a_first_line_that_is_broken_leaves_the_others() -> None:
    assert [place for place, _ in values_of('{"a": }\n{"a": 2}')] == ["list.json:1", "list.json:2"]


def test_an_array_that_breaks_off_is_refused_and_says_where() -> None:
    with pytest.raises(ListRefusedError, match="after line 2, column 10"):
        list(document('[{"a": 1},\n{"a": 2, "b').records())
    with pytest.raises(ListRefusedError, match="another value follows"):
        list(document("[{}] [{}]").records())


def test_broken_json_counts_only_if_it_names_images() -> None:
    assert open_json(ListFile("package.json", b'{"name": ')) is None
    with pytest.raises(ListRefusedError, match="line 1, column 13 .*export or copy it again"):
        open_json(ListFile("list.json", b'{"cat.jpg": '))


def test_bombs_and_odd_numbers_are_read_or_refused_by_name() -> None:
    assert open_json(ListFile("deep.json", b"[" * 100_000)) is None
    deep = b'[{"image": "a.jpg", "x": ' + b'{"y": ' * 100_000
    with pytest.raises(ListRefusedError, match="nested too deeply"):
        open_json(ListFile("deep.json", deep))
    assert document('[{"a": %s}]' % ("9" * 9_999)).sample == [{"a": "9" * 9_999}]
    assert document('[{"a": NaN, "b": 1e999}]').sample == [{"a": None, "b": float("inf")}]


def test_a_key_that_comes_twice_is_known() -> None:
    value = document('{"a.jpg": "cat", "b.jpg": "dog", "a.jpg": "dog"}').value
    assert value == {"a.jpg": "dog", "b.jpg": "dog"}
    assert value.repeated == ("a.jpg",)


def test_what_is_no_json_is_passed_over() -> None:
    for data in (b"", b"image,label\n", b"\xff\xd8\xff\xe0", b"  \n", b"\xef\xbb\xbf"):
        assert open_json(ListFile("x", data)) is None


@given(
    st.one_of(
        st.binary(max_size=60),
        st.text(alphabet='[]{}":,\n 0aé\\u\ud800', max_size=60).map(
            lambda text: text.encode("utf-8", "surrogatepass")
        ),
        st.recursive(
            st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=4),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(st.text(max_size=4), inner, max_size=3)
            ),
            max_leaves=9,
        ).map(lambda value: json.dumps(value).encode()),
    )
)
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        found = open_json(ListFile("x.json", data))
        if found is not None:
            assert all(isinstance(item, Record | Rejection) for item in found.records())
            assert isinstance(found.sample, list)
    except ListRefusedError:
        pass
