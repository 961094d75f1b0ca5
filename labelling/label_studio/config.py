"""Label Studio's labelling configuration for a label schema, as XML
(https://labelstud.io/tags/)."""

import re
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from errors.base import ImgclfError
from labelling.labels.schema import LabelSchema

CONTROL = "label"
"""Name of the tag that annotators click on: ``from_name`` of every result."""

OBJECT = "image"
"""Name of the tag that shows the image: ``to_name`` of every result."""

_HOTKEYS = "1234567890qwertyiop"
"""In the order of the keyboard, without the editor's own hotkeys (u: unselect, h: hide)."""

HINTS = {
    "single": "Ctrl+Enter keeps the ticked answer and goes on; a number ticks another answer.",
    "multiple": "A number ticks a label or takes its tick away; Ctrl+Enter saves and goes on. "
    "Nothing ticked says: none of these; Skip says nothing.",
}
"""Hints about the hotkeys, shown on the page. The number of a ticked answer, such as a pre-label,
unticks it: the editor's ``Choice.toggleSelected`` always toggles, whatever ``choice`` is."""

_FORMER_HINTS = {
    **HINTS,
    "multiple": "A number ticks a label or takes its tick away; Ctrl+Enter saves and goes on.",
}

_REQUIRED = (
    "No answer is ticked. The number of a ticked answer takes its tick away: press it again."
)

_SINGLE = ("single", "single-radio")
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""https://www.w3.org/TR/xml/#charsets"""


class LabelConfigError(ImgclfError, ValueError):
    """A labelling configuration is unusable, or cannot be made; the message gives the reason."""


@dataclass(frozen=True)
class LabelConfig:
    """A labelling page: its classes in order, and its choice (``single`` or ``multiple``)."""

    names: tuple[str, ...]
    choice: str


def label_config(schema: LabelSchema, names: Sequence[str]) -> str:
    """Return the labelling page for ``names`` as XML.

    Args:
        schema: gives single or multiple choice.
        names: classes to choose from: the schema's, or those in use if it is open.

    Raises:
        LabelConfigError: there are no names, or one that XML cannot contain.
    """
    return _page(schema, names, HINTS)


def is_former_page(xml: str, schema: LabelSchema, names: Sequence[str]) -> bool:
    """Whether ``xml`` is an unchanged labelling page of an earlier version of this package.

    Args:
        xml: the labelling configuration of a project.
        schema: the label schema.
        names: the classes that the page offers, in order.
    """
    if "<!DOCTYPE" in xml or "<!ENTITY" in xml:  # see parse_label_config
        return False
    try:
        # Earlier pages had no hints about keys, or required at least one label.
        page = ET.canonicalize(xml, strip_text=True)
        former = (_page(schema, names, hints, required=True) for hints in ({}, _FORMER_HINTS))
        now = ET.canonicalize(label_config(schema, names), strip_text=True)
        return page in {ET.canonicalize(one, strip_text=True) for one in former} - {now}
    except (ET.ParseError, LabelConfigError):
        return False


def _page(
    schema: LabelSchema,
    names: Sequence[str],
    hints: Mapping[str, str],
    *,
    required: bool | None = None,
) -> str:
    if not names:
        raise LabelConfigError(
            "there is no label to choose from yet; set labels.names, or ingest some labelled images"
        )
    for name in names:
        if _NOT_XML.search(name):
            raise LabelConfigError(f"the label {name!r} holds a control character; rename it")
    view = ET.Element("View")
    # A Header, not a Text: tasks without ``why`` are valid, too.
    ET.SubElement(view, "Header", value="$why", size="5")
    choice = "single" if schema.task == "single_label" else "multiple"
    if hints:
        ET.SubElement(view, "Header", value=hints[choice], size="6")
    attributes = {"name": CONTROL, "toName": OBJECT, "choice": choice, "showInline": "true"}
    choices = ET.SubElement(view, "Choices", attributes)
    # With several labels per image, none of them is a valid answer.
    if choice == "single" if required is None else required:
        choices.set("required", "true")
        if hints:
            choices.set("requiredMessage", _REQUIRED)
    for number, name in enumerate(names):
        hotkey = {"hotkey": _HOTKEYS[number]} if number < len(_HOTKEYS) else {}
        ET.SubElement(choices, "Choice", {"value": name, **hotkey})
    # The image is below the choices, because the editor does not limit its height.
    ET.SubElement(view, "Image", name=OBJECT, value="$image", zoom="true")
    ET.indent(view)
    return ET.tostring(view, encoding="unicode")


def parse_label_config(xml: str) -> LabelConfig:
    """Parse a labelling page: one of this package, or one with additions.

    Raises:
        LabelConfigError: it is not XML, or lacks the tags that tasks and predictions refer to.
    """
    if "<!DOCTYPE" in xml or "<!ENTITY" in xml:  # entity expansion: a few bytes become gigabytes
        raise LabelConfigError("the page declares entities, which Label Studio's pages never do")
    try:
        root = ET.fromstring(xml)  # noqa: S314 - without entities nothing expands
    except ET.ParseError as error:
        raise LabelConfigError(f"the page is no XML: {error}") from None
    images = {tag.get("name") for tag in root.iter("Image")}
    for choices in root.iter("Choices"):
        if choices.get("name") == CONTROL and choices.get("toName") == OBJECT in images:
            names = tuple(tag.get("value") or "" for tag in choices.iter("Choice"))
            single = choices.get("choice", "single") in _SINGLE
            return LabelConfig(names, "single" if single else "multiple")
    raise LabelConfigError(
        f'the page has no <Choices name="{CONTROL}" toName="{OBJECT}"> on an '
        f'<Image name="{OBJECT}">'
    )
