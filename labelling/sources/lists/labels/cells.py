"""The meaning of the cells in a column of labels: one label, several, or none."""

import ast
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from labelling.labels.schema import Task
from labelling.sources.lists.labels.no_label import means_no_label
from labelling.sources.lists.list_format import ListRefusedError

EMPTY = frozenset({"", "nan", "<na>", "null", "[]", "{}"})
"""Cells without a label. Not ``none`` and ``na``, which may be names of classes."""

_SEPARATORS = "|;,"
"""Separators of several labels, the likeliest first."""

_WHOLE = re.compile(r"^-?\d+(\.0+|,0)$")
_BARE = re.compile(r"\{[^{}\"':]+\}$")
_SIDE_BY_SIDE = re.compile(r"""(?<=['"])\s+(?=['"])""")
_OTHER_SIGNS = ("+", "&", "/", "\\", " and ", " und ", " et ", " y ", " e ", " og ", " och ")
_TELLING_SIGNS = "+&/"
"""Signs for which one part that is a label by itself is enough; for words, all parts must be."""

_JOINING_WORDS = frozenset(
    {"and", "und", "et", "y", "e", "og", "och", "or", "oder", "ou", "&", "+"}
)
_UNKNOWN = "-1"
"""Among class numbers: not known, as in test sets of Hugging Face and competitions."""

_SHOWN = 3
_WRITE = "write several labels as a|b"


@dataclass(frozen=True, slots=True)
class LabelCells:
    """The meaning of each cell.

    Attributes:
        labels: by cell; ``()``: it is empty; ``None``: it says that the label is not known.
        flaws: why a cell cannot be used.
        warnings: what was decided without asking.
        separator: of several labels, if there is one.
    """

    labels: Mapping[str, tuple[str, ...] | None]
    flaws: Mapping[str, str]
    warnings: Sequence[str] = ()
    separator: str | None = None


def read_label_cells(cells: Mapping[str, str], task: Task, *, plural: bool = False) -> LabelCells:
    """Find the meaning of the cells in a column of labels, from all of them together.

    Args:
        cells: each different cell, and where it occurs first.
        task: whether an image may have several labels.
        plural: whether the column's title is a plural (``tags``).

    Returns:
        The labels of each cell.

    Raises:
        ListRefusedError: several labels are separated in more than one way, or it is unclear
            whether they are several.
    """
    filled = {cell: place for cell, place in cells.items() if cell.casefold() not in EMPTY}
    meant: dict[str, tuple[str, ...] | None] = dict.fromkeys(cells.keys() - filled.keys(), ())
    if (written := _as_python_lists(filled)) is not None:
        return LabelCells({**meant, **written}, {})
    no_label = [cell for cell in filled if means_no_label(cell, filled)]
    meant.update(dict.fromkeys(no_label))
    filled = {cell: place for cell, place in filled.items() if cell not in no_label}
    names = _without_decimals(filled)
    if _UNKNOWN in names.values() and all(
        name.isdecimal() or name == _UNKNOWN for name in names.values()
    ):
        for cell in [cell for cell in filled if names[cell] == _UNKNOWN]:
            del filled[cell]
            meant[cell] = None
    separator, warnings = _separator(
        {names[cell]: place for cell, place in filled.items()}, task, plural
    )
    flaws = {}
    for cell in filled:
        parts = tuple(part.strip() for part in _split(names[cell], separator))
        if all(parts):
            meant[cell] = tuple(dict.fromkeys(parts))
        else:
            flaws[cell] = f"an empty label in {cell!r}; {_WRITE}"
    if no_label:
        words = ", ".join(map(repr, no_label[:_SHOWN]))
        warnings = [*warnings, f"{words}: read as not labelled; give a class another name"]
    return LabelCells(meant, flaws, warnings, separator)


def _split(cell: str, separator: str | None) -> list[str]:
    if separator == " ":
        return cell.split()
    return cell.split(separator) if separator else [cell]


def _as_python_lists(cells: Iterable[str]) -> dict[str, tuple[str, ...]] | None:
    """The labels of cells such as ``['cat', 'dog']``, as pandas writes lists, if all are such."""
    found = {}
    for cell in cells:
        if not (cell.startswith(("[", "(", "{")) and cell.endswith(("]", ")", "}"))):
            return None
        values = _literal(cell)
        if not isinstance(values, (list, tuple, set)):
            return None
        if not all(isinstance(value, (str, int)) for value in values):
            return None
        found[cell] = tuple(dict.fromkeys(str(value).strip() for value in values))
    return found or None


def _literal(cell: str) -> object:
    if _BARE.match(cell):  # as PostgreSQL writes an array
        return [part.strip() for part in cell[1:-1].split(",")]
    # As numpy writes an array; Python would concatenate two adjacent strings.
    cell = _SIDE_BY_SIDE.sub(", ", cell)
    for read in (json.loads, ast.literal_eval):
        try:
            value: object = read(cell)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
        return value
    return None


def _without_decimals(cells: Iterable[str]) -> dict[str, str]:
    """Whole numbers without decimals: pandas writes ``1.0`` if a cell of the column is empty."""
    cells = list(cells)
    if all(_WHOLE.match(cell) or re.fullmatch(r"-?\d+", cell) for cell in cells):
        return {cell: re.split("[.,]", cell)[0] for cell in cells}
    return {cell: cell for cell in cells}


# --- several labels ---------------------------------------------------------------------


def _separator(cells: Mapping[str, str], task: Task, plural: bool) -> tuple[str | None, list[str]]:
    """The separator of labels in a column, and warnings."""
    if task == "multi_label":
        _refuse_other_signs(cells)
    present = [each for each in _SEPARATORS if any(each in cell for cell in cells)]
    if not present:
        return _spaces(cells, task, plural)
    separator = present[0]
    if separator != "|" and not _are_several(cells, separator, task):
        return None, []
    known = {part.strip() for cell in cells for part in cell.split(separator)}
    for other in (*present[1:], " "):
        for cell, place in cells.items():
            for part in cell.split(separator):
                pieces = [piece.strip() for piece in part.split(other)]
                if len(pieces) > 1 and known.issuperset(pieces):
                    first = next(at for each, at in cells.items() if separator in each)
                    raise ListRefusedError(
                        f"several labels are separated by {separator!r} at {first} and by "
                        f"{other!r} at {place} ({cell!r}); {_WRITE}"
                    )
    return separator, []


def _refuse_other_signs(cells: Mapping[str, str]) -> None:
    """Refuse ``cat+dog`` beside ``cat`` and ``dog``: the sign may be a separator that is not
    supported."""
    for sign in _OTHER_SIGNS:
        for cell, place in cells.items():
            pieces = {piece.strip() for piece in cell.split(sign)}
            alone = pieces & cells.keys()
            if len(pieces) > 1 and (alone == pieces or (alone and sign in _TELLING_SIGNS)):
                raise ListRefusedError(
                    f"{place}: {cell!r} may be one label, or several separated by "
                    f"{sign.strip()!r}, for {', '.join(map(repr, sorted(alone)))} occurs alone "
                    f"elsewhere; {_WRITE}, or another sign if it is one"
                )


def _are_several(cells: Mapping[str, str], separator: str, task: Task) -> bool:
    """Whether a separator separates labels, or is part of their names (``tench, Tinca tinca``).

    It separates if a part is also a label by itself; in multi_label, also if parts occur in more
    than one cell.
    """
    parts = {
        cell: {part.strip() for part in cell.split(separator)}
        for cell in cells
        if separator in cell
    }
    alone = {cell for cell in cells if separator not in cell}
    if any(each & alone for each in parts.values()):
        return True
    if task == "single_label":
        return False
    seen: set[str] = set()
    for each in parts.values():
        if seen & each:
            return True
        seen |= each
    if separator == ";":
        return True
    cell, place = next((cell, cells[cell]) for cell in parts)
    raise ListRefusedError(
        f"{place}: {cell!r} may be one label with a comma or several labels, and no other line "
        f"decides; {_WRITE}, or a comma as part of a name as another sign"
    )


def _spaces(cells: Mapping[str, str], task: Task, plural: bool) -> tuple[str | None, list[str]]:
    """Whether spaces separate labels: in multi_label, if the parts are labels by themselves."""
    parts = {cell: set(cell.split()) for cell in cells if " " in cell}
    if task == "single_label" or not parts:
        return None, []
    alone = cells.keys() - parts.keys()
    different = set().union(*parts.values())
    lengths = {len(cell.split()) for cell in parts}
    example = next(iter(parts))
    often = sum(map(len, parts.values())) > len(different)
    few = len(different) * 2 <= len(parts) or (plural and often)
    if joined := next((cell for cell in parts if parts[cell] & _JOINING_WORDS), None):
        if different & alone:
            raise ListRefusedError(f"{cells[joined]}: {joined!r} may be several labels; {_WRITE}")
        return None, []
    if different <= alone or (few and len(lengths) > 1):
        return " ", [f"spaces separate labels: {example!r} is {len(example.split())} labels"]
    if different & alone:
        raise ListRefusedError(
            f"{cells[example]}: {example!r} may be one label or several; {_WRITE}"
        )
    if often:
        return None, [f"{example!r} and others with spaces are one label each; {_WRITE}"]
    return None, []
