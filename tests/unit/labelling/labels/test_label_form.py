"""One written form of a label, and labels that look alike."""

import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from labelling.labels.form import LookAlikes, look_alikes, normal_label
from labelling.labels.schema import LabelSchema

pytestmark = pytest.mark.unit

CAFE = "Café"
CAFE_NFD = unicodedata.normalize("NFD", CAFE)


@pytest.mark.parametrize(
    ("written", "normal"),
    [
        (CAFE_NFD, CAFE),
        ("cat\u200b", "cat"),
        ("\ufeffcat", "cat"),
        ("ca\u00adt", "cat"),
        ("ca\u2060t", "cat"),
        ("cat\u200e", "cat"),
        ("ca\u200dt", "cat"),
        ("ca\u200ct", "cat"),
        ("cat\u200d", "cat"),
        ("e\u200b\u0301", "é"),
        ("  golden \u00a0 retriever\u3000", "golden retriever"),
        (" a  b ", "a b"),
        ("Cat", "Cat"),
        ("a\nb", "a\nb"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("👩\u200d👩\u200d👧", "👩\u200d👩\u200d👧"),
        ("नी\u200dल", "नी\u200dल"),
        ("", ""),
    ],
)
def test_a_label_has_one_written_form(written: str, normal: str) -> None:
    assert normal_label(written) == normal


@example("a\u0301\u200c\u0301")  # composed, the first accent is no letter that a joiner joins
@given(
    st.text(st.sampled_from("ae\u0301 \u00a0\u200b\u200c\u200d\u00adكمन\u094d👩-_"), max_size=12)
)
def test_the_normal_form_of_a_normal_form_is_itself(text: str) -> None:
    once = normal_label(text)
    assert normal_label(once) == once


@pytest.mark.parametrize(
    ("labels", "reason", "is_doubt"),
    [
        (("Cat", "cat"), "upper and lower case", True),
        (("golden retriever", "golden-retriever", "golden_retriever"), "spaces", True),
        (("GoldenRetriever", "golden retriever"), "case and spaces", True),
        (("Cafe", CAFE), "accents", True),
        (("cat", "c\u0430t"), "letters that look the same", True),  # a Cyrillic a
        (("cat", "ｃａｔ"), "letters that look the same", True),
        (("❤", "❤\ufe0f"), "letters that look the same", True),
        (("t-shirt", "t\u2011shirt"), "letters that look the same", True),
        (("cat", "cats"), "singular and plural", False),
        (("box", "boxes"), "singular and plural", False),
        (("Cherry", "cherries"), "singular and plural", False),
    ],
)
def test_labels_that_look_alike_are_a_group_with_its_reason(labels, reason, is_doubt) -> None:
    (found,) = look_alikes([*labels, "another"])
    assert found.labels == tuple(sorted(labels))
    assert reason in found.reason
    assert found.is_doubt is is_doubt


@pytest.mark.parametrize(
    "labels",
    [
        ("0", "O", "o1", "ol"),
        ("1-2", "12"),
        ("-1", "1", "+1"),
        ("c", "c++", "c#"),
        ("10 20", "1020"),
        ("cat", "dog"),
        (CAFE, CAFE_NFD, "Caf\u200bé"),  # one label in three encodings
        ("cat", "cat "),
    ],
)
def test_other_labels_are_none(labels: tuple[str, ...]) -> None:
    assert [group for group in look_alikes(labels) if group.labels != ("O", "o")] == []


def test_only_groups_with_a_new_label_are_asked_for() -> None:
    labels = ["Cat", "cat", "Dog", "dog"]
    assert look_alikes(labels, new=["dog"]) == [
        LookAlikes(("Dog", "dog"), "upper and lower case", is_doubt=True)
    ]
    assert look_alikes(labels, new=[]) == []


def test_the_names_in_the_settings_are_compared_in_normal_form() -> None:
    schema = LabelSchema(names=(CAFE_NFD, "Th\u00e9"))
    assert schema.names == (CAFE, "Thé")
    assert schema.problem([CAFE]) is None
    with pytest.raises(ValueError, match="more than once"):
        LabelSchema(names=(CAFE, CAFE_NFD))


def test_a_variant_of_a_name_is_taken_for_it() -> None:
    schema = LabelSchema(task="multi_label", names=("cat", "Golden Retriever", "A", "a"))
    assert schema.written(["CAT", "golden  retriever"]) == ("cat", "Golden Retriever")
    assert schema.written(["Cat", "cat"]) == ("cat",)
    assert schema.written(["cat", "cat"]) == ("cat", "cat")
    assert schema.problem(schema.written(["cat", "cat"])) == "a label given twice: cat|cat"
    assert schema.taken_for("a") == "a"
    assert LabelSchema(names=("A", "a", "á")).taken_for("Á") == "á"
    assert LabelSchema(names=("Strasse", "STRASSE")).taken_for("strasse") == "strasse"  # of which?
    assert LabelSchema().written(["Cat ", "cat"]) == ("Cat", "cat")
