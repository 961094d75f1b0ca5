"""Words that mean that there is no label yet."""

import re
from collections import Counter
from collections.abc import Collection
from dataclasses import replace

from labelling.sources.containers.containers import Rejection
from labelling.sources.lists.labels.odd_labels import odd_labels
from labelling.sources.lists.list_format import ListReading, Statement, Surroundings
from labelling.sources.names.unsorted import is_unsorted, may_be_unsorted

_NO_LABEL = frozenset(
    (
        *("n/a", "#n/a", "n.a.", "n.a", "?", "??", "???", "-", "--", "---", "–", "—"),
        *("todo", "to do", "tbd", "skip", "skipped", "unlabeled", "unlabelled", "not labeled"),
        *("not labelled", "no label", "nolabel", "to label", "to be labeled", "to be labelled"),
        *("unannotated", "not annotated", "unclassified yet", "ohne label", "sans étiquette"),
        *("sin etiqueta", "без метки", "未标注", "未标记", "ラベルなし"),
    )
)
_MAYBE = frozenset(
    (
        *("na", "none", "unknown", "undefined", "missing", "unsure", "uncertain", "unclear"),
        *("unbekannt", "unklar", "inconnu", "desconocido", "sconosciuto", "неизвестно", "未知"),
        *("不明", "unclassified", "uncategorized", "uncategorised", "pending", "k.a", "unsicher"),
        *("not sure", "not certain", "not known", "not clear", "nicht sicher", "nicht bekannt"),
        *("nicht klar", "weiß nicht", "weiss nicht", "pas sûr", "keine angabe", "keine ahnung"),
        *("can't tell", "cant tell", "cannot tell", "can not tell", "can't say", "hard to tell"),
        *("don't know", "dont know", "do not know", "idk", "no idea", "not available", "not set"),
        *("in progress", "awaiting label", "waiting", "to be confirmed", "tbc", "offen"),
        *("je ne sais pas", "no sé", "no se", "non so", "不确定", "わからない"),
    )
)
_NOT_YET = re.compile(
    r"((not|noch nicht|nicht|pas encore|non|pas|no|sin|senza|zonder|ohne|ikke|nie|без|не)"
    r"( yet| been)? ?-?|un-?)"
    r"(label|annotat|tagged|gelabel|annotier|beschrifte|étiquet|etiquet|etichet|etiket|метк|размеч"
    r"|аннот)\w*( yet)?( images?| bilder| photos?)?"
    r"|((still|yet|noch) )?(to|zu)[ -]?(be )?(label|annotat|beschriften|annotieren)\w*"
    r"|(à|a|da|por) (étiqueter|annoter|etiquetar|anotar|etichettare|annotare)"
)
"""``not labelled yet``, ``nicht gelabelt``, ``à étiqueter``."""
_SHOWN = 3
_OWN_EXPORT = b"by imgclf-dagster, exported as"
"""A text in the README.md of an export (``labelling.exports.readme``)."""

_UNFINISHED = (
    "a word for 'no label' beside another label, so that it is not known whether the image is "
    "labelled; remove one of them"
)
_APART = re.compile(r"[\s_]+")


def _plain(cell: str) -> str:
    cell = cell.replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")
    return _APART.sub(" ", cell.strip().strip("()[]<>.!").casefold())


def means_no_label(cell: str, others: Collection[str] = ()) -> bool:
    """Whether a cell means that there is no label, given the ``others`` of its column."""
    if cell.strip() in {"-", "--", "---", "–", "—"} and any("+" in each for each in others):
        return False  # + and - are positive and negative
    if cell.casefold() in _NO_LABEL:
        return True
    word = _plain(cell)
    is_sure = is_unsorted(word) and word not in _MAYBE
    return word in _NO_LABEL or bool(_NOT_YET.fullmatch(word)) or is_sure


def may_mean_no_label(cell: str) -> bool:
    """Whether a cell may mean that there is no label, but may also be a class (``NA``:
    Namibia)."""
    word = _plain(cell)
    return word in _MAYBE or (any(map(str.isalpha, word)) and may_be_unsorted(word))


def without_words(reading: ListReading, source: Surroundings) -> ListReading:
    """Remove labels that mean that there is no label.

    Words that may also be a class are listed in ``unsure``, damaged ones in ``odd``. An image with
    such a word and another label is rejected, because it may be unfinished.
    """
    if reading.otherwise:
        reading = replace(reading, otherwise=without_words(reading.otherwise, source))
    known = {label for item in reading.statements for label in item.labels or ()}
    words = {word for word in known if means_no_label(word, known)}
    unsure = sorted(filter(may_mean_no_label, known))
    odd = odd_labels(known)
    # In an export of this program every label is a confirmed class.
    if not (words or unsure or odd) or _OWN_EXPORT in (source.read("README.md") or b""):
        return reading
    reading = replace(reading, unsure=unsure, odd=odd)
    return _without(words, reading) if words else reading


def _without(words: Collection[str], reading: ListReading) -> ListReading:
    statements: list[Statement] = []
    unfinished: list[Rejection] = []
    counts: Counter[str] = Counter()
    for item in reading.statements:
        found = [label for label in item.labels or () if label in words]
        if not found:
            statements.append(item)
        elif len(found) == len(item.labels or ()):
            counts.update(found)
            statements.append(replace(item, labels=None))
        else:
            labels = ", ".join(item.labels or ())
            unfinished.append(
                Rejection(f"{item.place} {item.file}: {labels}", _UNFINISHED, of_list=True)
            )
    shown = ", ".join(f"{word!r} ({count:,})" for word, count in counts.most_common(_SHOWN))
    notes = [f"{shown}: read as not labelled; give a class another name"] if counts else []
    return replace(
        reading,
        statements=statements,
        rejections=(*reading.rejections, *unfinished),
        warnings=(*reading.warnings, *notes),
    )
