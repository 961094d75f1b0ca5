"""Label Studio's page for a label schema, and back."""

import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelling.label_studio.config import (
    CONTROL,
    OBJECT,
    LabelConfig,
    LabelConfigError,
    is_former_page,
    label_config,
    parse_label_config,
)
from labelling.labels.schema import LabelSchema

pytestmark = pytest.mark.unit

ODD = [
    "a",
    'say "cheese"',
    "O'Hara",
    "R&D",
    "<b>",
    "$image",
    "ü 雪 🏔",
    "a,b|c;d",
    "tab\there",
    "x\ny",
]
XML_TEXT = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff"), min_size=1
)


@pytest.mark.parametrize("task", ["single_label", "multi_label"])
def test_odd_names_survive(task):
    page = label_config(LabelSchema(task=task), ODD)
    choice = {"single_label": "single", "multi_label": "multiple"}[task]
    assert parse_label_config(page) == LabelConfig(tuple(ODD), choice)


@given(st.lists(XML_TEXT, min_size=1, max_size=30, unique=True))
def test_any_name_survives(names):
    assert parse_label_config(label_config(LabelSchema(), names)).names == tuple(names)


def test_what_annotators_see():
    view = ET.fromstring(label_config(LabelSchema(), [f"label {n}" for n in range(25)]))
    why, keys = view.findall("Header")
    assert why.get("value") == "$why"
    assert keys.get("value").startswith("Ctrl+Enter keeps the ticked answer")
    assert "takes its tick away" in view.find("Choices").get("requiredMessage")
    assert (view.find("Image").get("name"), view.find("Image").get("value")) == (OBJECT, "$image")
    choices = view.find("Choices")
    assert (choices.get("name"), choices.get("toName"), choices.get("showInline")) == (
        CONTROL,
        OBJECT,
        "true",
    )
    hotkeys = [choice.get("hotkey") for choice in choices]
    given_ones = [key for key in hotkeys if key]
    assert hotkeys[:10] == list("1234567890")
    assert len(set(given_ones)) == len(given_ones)
    assert not set(given_ones) & {"u", "h"}  # the editor's own


def test_the_former_page_is_known_and_one_that_people_changed_is_not():
    names = ["cat", "dog & <co>"]
    for task in ("single_label", "multi_label"):
        schema = LabelSchema(task=task)
        page = label_config(schema, names)
        view = ET.fromstring(page)
        view.remove(view.findall("Header")[1])
        view.find("Choices").attrib.pop("requiredMessage", None)
        view.find("Choices").set("required", "true")
        former = ET.tostring(view, encoding="unicode")
        assert is_former_page(former, schema, names)
        assert is_former_page(former.replace("\n", "").replace("  <", "<"), schema, names)
        assert not is_former_page(page, schema, names)
        assert not is_former_page(former, schema, ["cat", "bird"])
        ET.SubElement(view, "TextArea", name="note", toName=OBJECT)
        assert not is_former_page(ET.tostring(view, encoding="unicode"), schema, names)
    for other in ("", "<View>", '<!DOCTYPE x [<!ENTITY a "b">]><View>&a;</View>'):
        assert not is_former_page(other, LabelSchema(), names)


@pytest.mark.parametrize(
    ("names", "expected"),
    [([], "no label to choose"), (["ok", "bell\x07"], "control character"), (["\ufffe"], "rename")],
)
def test_no_page_can_be_made(names, expected):
    with pytest.raises(LabelConfigError, match=expected):
        label_config(LabelSchema(), names)


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        ("", "no XML"),
        ("<View>", "no XML"),
        ("<View/>", 'name="label"'),
        (
            '<View><Choices name="label" toName="image"><Choice value="a"/></Choices></View>',
            "Image",
        ),
        ('<View><Image name="image"/><Choices name="kind" toName="image"/></View>', 'name="label"'),
        ('<!DOCTYPE x [<!ENTITY a "b">]><View>&a;</View>', "entities"),
    ],
)
def test_not_a_page_of_ours(page, expected):
    with pytest.raises(LabelConfigError, match=expected):
        parse_label_config(page)


def test_people_may_add_to_a_page():
    page = """<View className="x"><Text name="t" value="$uri"/>
      <View style="a"><Image name="image" value="$image"/></View>
      <Choices name="label" toName="image" choice="single-radio"><View>
        <Choice value="cat" hint="meow"/><Choice value="dog"/></View></Choices>
      <TextArea name="note" toName="image"/></View>"""
    assert parse_label_config(page) == LabelConfig(("cat", "dog"), "single")
