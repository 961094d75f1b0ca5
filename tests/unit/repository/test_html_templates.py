"""The templates of HTML: what comes from outside is text, and a missing value is an error."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jinja2
import pytest

import labelling.report.page
import serving.labelling.report
import ui.cards
from tests.unit.labelling.report.test_report_page import EVIL, report, table
from ui.runtime import ModelAnswer, RankedLabel

pytestmark = pytest.mark.unit

REPOSITORY = Path(__file__).parents[3]


def report_values() -> dict[str, Any]:
    return labelling.report.page.page_values(report(table()))


def no_report_values() -> dict[str, Any]:
    return {"project": EVIL, "why": None, "label_studio_url": f"http://{EVIL}"}


def unreachable_values() -> dict[str, Any]:
    return {"project": EVIL, "why": EVIL}


def card_values() -> dict[str, Any]:
    answer = ModelAnswer(EVIL, EVIL, (RankedLabel(label=EVIL, score=0.5),), (EVIL,))
    card = ui.cards.Card(EVIL, 1, None, {"prod": answer, "staging": answer}, EVIL, (EVIL,))
    return {"cards": [card], "stages": ui.cards.STAGE_NAMES, "top": ui.cards.TOP}


PAGES: dict[str, tuple[Any, str, Callable[[], dict[str, Any]]]] = {
    "report": (labelling.report.page, "report.html", report_values),
    "no report": (serving.labelling.report, "no_report.html", no_report_values),
    "unreachable": (serving.labelling.report, "no_report.html", unreachable_values),
    "cards": (ui.cards, "cards.html", card_values),
}
every_page = pytest.mark.parametrize("page", PAGES)


def template(page: str) -> jinja2.Template:
    module, name, _ = PAGES[page]
    return module._templates().get_template(name)


@every_page
def test_a_class_named_script_is_no_script(page: str) -> None:
    html = template(page).render(PAGES[page][2]())
    assert "<script" not in html
    assert "&lt;script&gt;alert(&#34;x&#34;)&lt;/script&gt;&amp;" in html


@every_page
def test_a_missing_value_is_an_error(page: str) -> None:
    values = PAGES[page][2]()
    for name in values:
        less = {other: value for other, value in values.items() if other != name}
        with pytest.raises(jinja2.UndefinedError, match=name):
            template(page).render(less)


@every_page
def test_a_value_without_the_asked_field_is_an_error(page: str) -> None:
    module, _, values = PAGES[page]
    first = next(iter(values()))
    asked = module._templates().from_string("{{ " + first + ".no_such_field }}")
    with pytest.raises(jinja2.UndefinedError, match="no_such_field"):
        asked.render(values())


def test_no_template_says_that_something_is_safe() -> None:
    files = [
        path
        for package in ("labelling", "serving", "ui")
        for path in (REPOSITORY / package / "templates").glob("*.html")
    ]
    assert len(files) >= 5
    for path in files:
        assert not re.search(r"\|\s*safe\b|autoescape", path.read_text()), path
