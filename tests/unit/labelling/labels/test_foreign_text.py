"""Labels, file names and messages from outside: shown as text, wherever they are shown."""

import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token
from rich.progress import Progress, TextColumn
from rich.table import Table

from assets import markdown
from assets.dataset.dataset import count_table
from assets.evaluation.report_metadata import per_class_table
from imgclf_dagster.console import SafeConsole, escape
from labelling.labels.foreign_text import MAX_LABEL_BYTES, MAX_LABEL_CHARACTERS, label_flaw, visible
from labelling.labels.schema import LabelSchema

pytestmark = pytest.mark.unit

PARSER = MarkdownIt("commonmark").enable("table")

ATTACKS = (
    "![x](http://127.0.0.1:3000/graphql?query=mutation{x})",
    "[click](http://evil.example)",
    "<img src=http://evil.example/x.png>",
    "<script>alert(1)</script>",
    "<http://evil.example>",
    "http://evil.example/x",
    "www.evil.example",
    "me@evil.example",
    "a | b | c",
    "a\\| b",
    "`code` ![x](http://evil.example)`",
    "``` ![x](http://evil.example)",
    "a\n\n# heading\n![x](y)",
    "a\r\n| forged | row |",
    "[x]: http://evil.example 'definition'",
    "&lt;img src=x&gt; &#33;[x](y)",
    "*bold* _em_ ~~gone~~ <!-- -->",
    "\x1b]0;title\x07\x1b[2J",
    "| --- |",
    "",
    " ",
    "`",
)


def _flat(tokens: list[Token]) -> list[Token]:
    return [leaf for token in tokens for leaf in (token, *_flat(token.children or []))]


def _shown(tokens: list[Token]) -> str:
    return "".join(
        token.content for token in _flat(tokens) if token.type in {"text", "code_inline"}
    )


def _kinds(text: str) -> set[str]:
    return {token.type for token in _flat(PARSER.parse(text))}


FORBIDDEN = {"image", "link_open", "html_inline", "html_block", "fence", "heading_open", "em_open"}


def _one_cell(text: str) -> list[Token]:
    """The cells of the one row of a table of one column that holds ``text``."""
    tokens = _flat(PARSER.parse(markdown.table(["name", "n"], [[text, 7]])))
    assert [token.type for token in tokens].count("tr_open") == 2
    assert [token.type for token in tokens].count("td_open") == 2
    assert not FORBIDDEN & {token.type for token in tokens}
    start = next(i for i, token in enumerate(tokens) if token.type == "td_open")
    end = next(i for i, token in enumerate(tokens) if token.type == "td_close")
    return tokens[start:end]


@pytest.mark.parametrize("text", ATTACKS)
@pytest.mark.parametrize("form", [markdown.prose, markdown.code])
def test_foreign_text_in_a_table_is_one_cell_of_text(text: str, form: object) -> None:
    written = form(text)
    shown = _shown([t for t in _one_cell(written) if t.type != "inline"])
    assert shown.replace("\u2060", "").strip() == visible(text).strip()


@settings(max_examples=50)
@given(st.text(max_size=60))
def test_any_text_in_a_table_is_one_cell_of_text(text: str) -> None:
    for written in (text, markdown.prose(text), markdown.code(text)):
        shown = _shown([t for t in _one_cell(written) if t.type != "inline"])
        assert shown.replace("\u2060", "").strip() == visible(text).replace("\u2060", "").strip()


@given(st.lists(st.sampled_from(ATTACKS), max_size=4))
def test_any_texts_in_a_list_are_items_of_text(texts: list[str]) -> None:
    assert not FORBIDDEN & _kinds(markdown.bullets(texts))


@pytest.mark.parametrize("text", ["http://x.y", "HTTPS://x.y", "see www.x.y", "a@b.c", "ftp://x"])
def test_nothing_is_left_that_becomes_a_link_without_markup(text: str) -> None:
    plain = _shown(PARSER.parseInline(markdown.prose(text)))
    # https://github.github.com/gfm/#autolinks-extension-
    for link in ("http:", "https:", "www.", "a@b", "ftp:"):
        assert link not in plain.lower()


def test_a_picture_s_alternative_text_is_text() -> None:
    from assets.pictures import picture

    shown = picture(
        b"\x89PNG", alt="x](y) ![z](http://evil.example)", link="a`b` ![z](http://e)"
    ).value
    images = [token for token in _flat(PARSER.parse(str(shown))) if token.type == "image"]
    assert [str(image.attrs["src"])[:10] for image in images] == ["data:image"]


def test_the_tables_of_the_assets_escape_labels() -> None:
    attack = ATTACKS[0]
    counts = count_table({attack: {"train": 1, "val": 2, "test": 3}})
    row = {"precision": 1.0, "recall": 1.0, "f1": 1.0, "support": 3}
    for shown in (counts, per_class_table({"per_class": {attack: row}})):
        assert "table_open" in _kinds(shown)
        assert not FORBIDDEN & _kinds(shown)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain ä 猫 👩\u200d👩\u200d👧 ❤️ نمی\u200cخواهم", None),
        ("\x1b[2J", "\\x1b[2J"),
        ("a\x9bb", "a\\x9bb"),
        ("a\u202eb", "a\\u202eb"),
        ("a\u200bb", "a\\u200bb"),
        ("a\nb\tc", "a\\nb\\tc"),
        ("a\u2028b", "a\\u2028b"),
        ("a\udcffb", "a\\udcffb"),
        ("\x7f\x00", "\\x7f\\x00"),
    ],
)
def test_what_acts_or_hides_is_written_out(text: str, expected: str | None) -> None:
    assert visible(text) == (expected or text)


def test_line_breaks_can_stay() -> None:
    assert visible("a\nb\r\x1b", lines=True) == "a\nb\\r\\x1b"


def _printed(*what: object) -> str:
    console = SafeConsole(file=io.StringIO(), force_terminal=True, width=80, highlight=False)
    for one in what:
        console.print(one)
    return console.file.getvalue()


NASTY = "x\x1b]0;title\x07\x1b[2J\x9b31m\u202e.png"


@pytest.mark.parametrize("text", [NASTY, escape(NASTY), f"[bold]{escape(NASTY)}[/]"])
def test_no_control_character_reaches_the_terminal(text: str) -> None:
    table = Table("name")
    table.add_row(text)
    for printed in (_printed(text), _printed(table)):
        assert "\x1b]" not in printed
        assert "\x1b[2J" not in printed
        assert not set(printed) & {"\x07", "\x9b", "\u202e"}
        assert "x1b[2" in printed  # the table cuts what grew longer


def test_a_progress_bar_shows_it_too() -> None:
    file = io.StringIO()
    console = SafeConsole(file=file, force_terminal=True, width=80)
    with Progress(TextColumn("{task.description}"), console=console) as progress:
        progress.add_task(escape(NASTY), total=1)
    assert "\x1b]0" not in file.getvalue()
    assert "x1b]0;title" in file.getvalue()


def test_rich_markup_in_foreign_text_is_text() -> None:
    assert "[red]x[/red]" in _printed(escape("[red]x[/red]"))


@pytest.mark.parametrize(
    ("label", "says"),
    [
        ("", "empty"),
        ("  ", "empty"),
        ("\u3000", "empty"),
        ("a\nb", "a line break"),
        ("a\rb", "a line break"),
        ("a\u2029b", "a line break"),
        ("a\x1b[2Jb", r"a control character \(\\x1b\)"),
        ("a\x00", "a control character"),
        ("a\x85b", "a line break"),
        ("a\u202eb", r"an invisible character \(\\u202e\)"),
        ("a\u200bb", "an invisible character"),
        ("a\udcff", "an invisible character"),
        ("x" * (MAX_LABEL_CHARACTERS + 1), f"{MAX_LABEL_CHARACTERS + 1} characters.*at most"),
        ("猫" * (MAX_LABEL_BYTES // 3 + 1), f"bytes.*at most .*{MAX_LABEL_BYTES} bytes"),
    ],
)
def test_what_can_be_no_label_is_refused_in_words(label: str, says: str) -> None:
    import re

    for schema in (LabelSchema(), LabelSchema(task="multi_label")):
        problem = schema.problem([label])
        assert problem is not None
        assert re.search(says, problem)
        assert problem == visible(problem)


@pytest.mark.parametrize(
    "label",
    [
        "cat",
        "猫" * 60,
        "जंगल",
        "👩\u200d👩\u200d👧",
        "🏴󠁧󠁢󠁥󠁮󠁧󠁿",
        "❤️",
        "می\u200cخواهم",
        "a/b",
        "![x](y)",
        "x" * MAX_LABEL_CHARACTERS,
    ],
)
def test_what_people_call_things_is_taken(label: str) -> None:
    assert label_flaw(label) is None
    assert LabelSchema().problem([label]) is None


def test_the_settings_refuse_such_a_label_too() -> None:
    with pytest.raises(ValueError, match="a line break"):
        LabelSchema(names=("a\nb",))


@pytest.mark.parametrize(
    "label",
    [
        "\u3164", "\u2800", "\u115f", "\uffa0", "\u034f",  # letters and signs of which nothing is seen
        "\u200d", "\ufe0f", "\u0301", "\U000e0100",  # what changes another character, alone
        "cat\u200d", "\u200ccat", "cat\u3164",  # looks like another label
        "cat\U000e0064\U000e006f\U000e0067",  # a hidden word
    ],
)  # fmt: skip
def test_a_label_of_which_nothing_or_not_all_is_seen_is_refused(label: str) -> None:
    flaw = label_flaw(label)
    assert flaw is not None
    assert ascii(flaw).count("\\u") + flaw.count("\\") > 0, "says which character"


def test_parts_of_words_and_emoji_are_no_hidden_characters() -> None:
    flag = "\U0001f3f4\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f"
    for label in ("नी\u200dल", "می\u200cخواهم", "👩\u200d🔬", "❤\ufe0f", "1\ufe0f\u20e3", flag):
        assert label_flaw(label) is None, label
