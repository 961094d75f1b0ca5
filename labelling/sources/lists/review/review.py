"""Columns that say which lines of a table count: a reviewer's decision, or a state of work."""

import re
from collections import Counter
from collections.abc import Sequence

from labelling.labels.foreign_text import visible
from labelling.labels.schema import Task
from labelling.sources.containers.containers import Rejection
from labelling.sources.doubt import Doubt
from labelling.sources.lists.columns.given_columns import Columns
from labelling.sources.lists.columns.titles import ColumnTitles
from labelling.sources.lists.columns.values import is_score, is_yes_or_no, shown_classes
from labelling.sources.lists.review.extra_columns import certain_classes
from labelling.sources.lists.review.words import is_never_a_class, may_say_what_counts
from labelling.sources.lists.text.table import Table
from labelling.sources.names.columns import LABEL_COLUMNS, plain


def _words(text: str) -> frozenset[str]:
    return frozenset(map(plain, text.split()))


_NAMES = _words(
    """
    answer answers accept accepted approve approved approval confirm confirmed decision done
    discard discarded deleted exclude excluded ignore ignored invalid valid isvalid keep qa qc
    qastatus qcstatus quality rejected reject review reviewed reviewresult reviewstate reviewstatus
    skip skipped state status labelstate labelstatus taskstatus annotationstatus usable use uncertain
    unsure validated validation validationstatus verification verificationstatus verified
    verify verdict wrong iscorrect correct flag flagged trusted geprueft geprüft bestätigt
    abgelehnt zustand statut estado stato vérifié verificado verificato 状态 审核 审核状态 ステータス
    상태 статус проверено
    """
)
"""Titles of such columns."""

_WORDS = _words(
    """
    accept accepted accepts approve approved approves assigned bad cancelled canceled checked
    complete completed confirmed correct deleted delete discard discarded disputed done doubtful
    draft error exclude excluded fail failed finished flagged good ignore ignored incomplete
    incorrect inprogress invalid keep kept needsreview new notreviewed ok okay open pass passed
    pending queued ready reject rejected rejects remove removed review reviewed skip skipped
    submitted todo tocheck toreview uncertain unchecked unconfirmed unknown unlabeled unlabelled
    unreviewed unsure unverified valid validated verified wrong gut schlecht offen fertig geprüft
    ungeprüft abgelehnt angenommen bestätigt
    """
)
"""Values of such columns."""

PEOPLE = _words(
    "annotator annotators labeler labeller rater grader expert worker reviewer user username "
    "annotatedby labeledby labelledby annotatorid workerid userid email bearbeiter annotateur"
)
_MOST = 12
_FEW = 3


def which_count(table: Table, columns: Columns, task: Task) -> Doubt | None:
    """The question which lines count, if a column distinguishes them.

    Args:
        table: the table.
        columns: the meaning of its columns, from the table itself, not from the user.
        task: whether an image may have several labels.

    Returns:
        The question; ``None`` if no column divides the labelled lines.
    """
    labels = columns.labels or columns.classes
    if not labels or columns.is_given or not table.header:
        return None
    rows = [row for row in table.sample() if any(row[at] for at in labels)]
    taken = {columns.file, *columns.split.columns, *columns.labels}
    dividing = [
        at
        for at in range(table.width)
        if at not in taken
        and _divides(table.header[at], [row[at] for row in rows])
        # A class may be named good or uncertain, but not verified.
        and (at not in columns.classes or is_never_a_class(table.header[at]))
    ]
    if not dividing:
        return None
    at = dividing[0]
    values = shown_classes([row[at] or "blank" for row in rows]).partition(": ")[2]
    question = (
        f"The column {visible(table.title(at))} of {table.name} ({values}) may say which lines "
        "count. Do all of them? If not, remove those that do not"
    )
    classes = certain_classes(table, columns, task)
    answers = [*_all_of_them(table, columns, at, classes), *_itself(table, columns, at)]
    return Doubt(question, (*answers, ("--labels-from none", "no labels")))


def several_annotators(table: Table, columns: Columns, task: Task) -> Doubt | None:
    """The question which labels count, if several people have a line for an image, and an image may
    have several labels: the union may be what none of them gave.

    Args:
        table: the table.
        columns: the meaning of its columns, from the table itself, not from the user.
        task: whether an image may have several labels.
    """
    if task == "single_label" or columns.is_given or not columns.labels:
        return None
    people = [at for at, title in enumerate(table.header) if _parts(title) & PEOPLE]
    for at in people:
        by_image: dict[str, set[str]] = {}
        for item in table.rows():
            if not isinstance(item, Rejection):
                by_image.setdefault(item[1][columns.file], set()).add(item[1][at])
        several = sum(len(each) > 1 for each in by_image.values())
        if several:
            question = (
                f"{table.name} has lines of several people ({visible(table.title(at))}) for "
                f"{several:,} of {len(by_image):,} images. Are all their labels true?"
            )
            shown = "all labels that anybody gave count"
            option = ColumnTitles(table).several(columns.file, columns.labels)
            return Doubt(question, ((option, shown), ("--labels-from none", "no labels")))
    return None


def which_apply(table: Table, columns: Columns, task: Task) -> Doubt | None:
    """The question about a column of yes and no, or of scores, in a table with a line for each
    label of an image: ``a.jpg,cat,1`` and ``a.jpg,dog,0``.

    Args:
        table: the table.
        columns: the meaning of its columns, from the table itself, not from the user.
        task: whether an image may have several labels.
    """
    if task == "single_label" or columns.is_given or not columns.labels or not table.header:
        return None
    rows = table.sample()
    if len({row[columns.file] for row in rows}) == len(rows):
        return None
    for at in range(table.width):
        values = [row[at] for row in rows]
        divides = is_yes_or_no(values) and len(set(values)) > 1
        if at not in {columns.file, *columns.split.columns, *columns.labels} and (
            divides or is_score(values)
        ):
            question = (
                f"{table.name} has a line for each label of an image, and the column "
                f"{visible(table.title(at))} ({shown_classes(values).partition(': ')[2]}) may say "
                "whether it applies. Do all lines count? If not, remove those that do not"
            )
            answers = (*_all_of_them(table, columns, at), ("--labels-from none", "no labels"))
            return Doubt(question, answers)
    return None


def _all_of_them(
    table: Table, columns: Columns, at: int, classes: Sequence[int] = ()
) -> Sequence[tuple[str, str]]:
    """The options that use every line."""
    titles = ColumnTitles(table)
    title = visible(table.title(at))
    shown = f"every line counts, whatever {title} says"
    labels = columns.labels or [one for one in classes if one != at]
    if not labels:
        return []
    answers = [(titles.several(columns.file, labels), shown)]
    if at in columns.classes:
        answers.append(
            (titles.several(columns.file, columns.classes), f"{title} is a class as well")
        )
    return answers


def _itself(table: Table, columns: Columns, at: int) -> Sequence[tuple[str, str]]:
    """The option that uses the column itself as the labels, if it holds more than states and no
    other column is named like labels."""
    values = [row[at] for row in table.sample()]
    called = {plain(table.title(one)) for one in columns.labels}
    if columns.classes or called & LABEL_COLUMNS or is_yes_or_no(values):
        return []
    if {*map(plain, values)} & _WORDS:
        return []
    return [(ColumnTitles(table).option(columns.file, at), f"the labels: {shown_classes(values)}")]


def _parts(title: str) -> set[str]:
    """A title and its words: ``review.isVerified``, ``label_status``."""
    return {plain(title), *map(plain, _PART.findall(title))}


def is_called_review(title: str) -> bool:
    """Whether a column or field is named like one that says which lines count."""
    field = plain(title.rpartition(".")[2])
    return bool({plain(title), field} & _NAMES) or may_say_what_counts(title)


def _divides(title: str, values: Sequence[str]) -> bool:
    """Whether a column may say which lines count, and is not the same for all."""
    called = is_called_review(title)
    counts = Counter(plain(value) or value for value in values)
    if "" in counts and len(counts) > 1 and is_never_a_class(title):
        return True  # a reason in free text, empty if there is none
    if not 2 <= len(counts) <= _MOST:
        # A constant column has no information, unless it says that no line counts.
        return len(counts) == 1 and called and bool(counts.keys() & _REFUSING)
    filled = {value for value in counts if value}
    if filled and filled <= _WORDS:
        return called or len(filled) > 1
    if not called:
        return False
    few = len(counts) <= _FEW and sum(counts.values()) > len(counts)
    return is_yes_or_no(values) or bool(filled & _WORDS) or few


_PART = re.compile(r"[^\W\d_]?[^\WA-Z\d_]*")
_REFUSING = _words("reject rejected ignore ignored skip skipped discard discarded deleted invalid")
