"""JSON documents with lists of labels: one value, an array of records, or one record per line."""

import io
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Any, Literal

from labelling.sources.containers.containers import Rejection
from labelling.sources.lists.files.index import IMAGE_SUFFIXES
from labelling.sources.lists.list_format import ListFile, ListRefusedError

Form = Literal["object", "array", "lines"]

_GAP = re.compile(r"[ \t\r\n]*")
_NUMBER_OF_DIGITS = 40
_SAMPLE = 20
_NAMES_AN_IMAGE = re.compile(
    "|".join(rf"{re.escape(suffix)}\W" for suffix in sorted(IMAGE_SUFFIXES)).encode(),
    re.IGNORECASE,
)


class Repeated(dict[str, Any]):
    """An object with duplicate keys, of which the last value counts; ``repeated`` lists them."""

    repeated: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Record:
    """One record of a document, and its place, for messages."""

    place: str
    value: Mapping[str, Any]


class NotJsonError(ValueError):
    """The text is not valid JSON from ``position`` on."""

    def __init__(self, position: int, reason: str) -> None:
        super().__init__(reason)
        self.position = position


class JsonDocument:
    """A file of JSON; an array or lines are decoded record by record.

    Args:
        name: of the file, for messages.
        text: its text.
        form: ``object``, ``array`` or ``lines``.
        value: the decoded object; ``None`` for the other forms.
    """

    def __init__(self, name: str, text: str, form: Form, value: Any) -> None:
        self.name = name
        self.form = form
        self.value = value
        self._text = text

    @cached_property
    def sample(self) -> list[Mapping[str, Any]]:
        """The first valid records, up to where the text is broken."""
        found: list[Mapping[str, Any]] = []
        try:
            for item in islice(self._records(), 5 * _SAMPLE):
                if isinstance(item, Record) and len(found) < _SAMPLE:
                    found.append(item.value)
        except NotJsonError:
            pass
        return found

    def mostly(self, is_ours: Callable[[Mapping[str, Any]], bool]) -> bool:
        """Whether ``is_ours`` holds for more than half of the first records."""
        return 2 * sum(map(is_ours, self.sample)) > len(self.sample)

    def records(self) -> Iterator[Record | Rejection]:
        """Yield each record; a line or an item that is not a record is rejected.

        Raises:
            ListRefusedError: an array breaks off, so that records may be missing.
        """
        try:
            yield from self._records()
        except NotJsonError as error:
            raise ListRefusedError(
                f"{self.name} ends early or is broken after {_where(self._text, error.position)} "
                f"({error}); export or copy it again"
            ) from None

    def _records(self) -> Iterator[Record | Rejection]:
        if self.form == "lines":
            yield from self._lines()
        elif self.form == "array":
            # Decoded as a whole, an array of 100,000 tasks takes ten times its size in memory.
            for number, value in enumerate(_items(self._text), 1):
                yield _record(f"{self.name} record {number}", value)
        else:
            yield _record(self.name, self.value)

    def _lines(self) -> Iterator[Record | Rejection]:
        for number, line in enumerate(_each_line(self._text), 1):
            if not line.strip():
                continue
            place = f"{self.name}:{number}"
            try:
                value, end = _decode(line, _after_gap(line, 0))
            except NotJsonError:
                yield Rejection(place, "broken JSON; correct or remove this line", of_list=True)
                continue
            if _after_gap(line, end) < len(line):
                yield Rejection(
                    place, "more than one JSON value in a line; write one a line", of_list=True
                )
                continue
            yield _record(place, value)


def open_json(file: ListFile, encoding: str | None = None) -> JsonDocument | None:
    """Open the file as JSON; ``None`` if it is not JSON.

    Args:
        file: any file.
        encoding: of its text, if the user named it; else UTF-8, -16 or -32 by its first bytes.

    Raises:
        ListRefusedError: it is JSON that names images, and is broken, or not in the encoding.
    """
    start = file.data[:64].lstrip(b"\xef\xbb\xbf\xff\xfe\x00 \t\r\n")[:1]
    if start not in (b"[", b"{"):
        return None
    try:
        text = file.data.decode(encoding or json.detect_encoding(file.data)).removeprefix("\ufeff")
    except (UnicodeDecodeError, LookupError) as error:
        raise ListRefusedError(
            f"{file.name} is JSON and no text in this encoding ({error}); say which it is in: "
            "--encoding cp1252"
        ) from None
    try:
        return JsonDocument(file.name, text, *_form(text))
    except NotJsonError as error:
        if not _NAMES_AN_IMAGE.search(file.data):
            return None
        raise ListRefusedError(
            f"{file.name} is broken JSON at {_where(text, error.position)} ({error}); export or "
            "copy it again"
        ) from None


def _form(text: str) -> tuple[Form, Any]:
    """The form of the text, and the decoded object if it is one."""
    if text[_after_gap(text, 0)] == "[":
        next(_items(text), None)
        return "array", None
    lines = (line for line in _each_line(text) if line.strip())
    first, second = next(lines, ""), next(lines, "")
    if second and _is_record(first):
        return "lines", None
    try:
        value, end = _decode(text, _after_gap(text, 0))
        if _after_gap(text, end) < len(text):
            raise NotJsonError(end, "another value follows; write one a line")
    except NotJsonError:
        if _is_record(second):
            return "lines", None  # the first line alone is broken
        raise
    return "object", value


def _each_line(text: str) -> Iterator[str]:
    r"""The lines of JSON Lines: split at \n only, not at other line breaks of Unicode, and without
    a copy of all."""
    return io.StringIO(text, newline="\n")


def _is_record(line: str) -> bool:
    try:
        value, end = _decode(line, _after_gap(line, 0))
    except NotJsonError:
        return False
    return isinstance(value, dict) and _after_gap(line, end) == len(line)


def _items(text: str) -> Iterator[Any]:
    """Decode the items of the array ``text`` one by one."""
    at = _after_gap(text, _after_gap(text, 0) + 1)
    while text[at : at + 1] != "]":
        value, at = _decode(text, at)
        yield value
        at = _after_gap(text, at)
        if text[at : at + 1] == ",":
            at = _after_gap(text, at + 1)
        elif text[at : at + 1] != "]":
            raise NotJsonError(at, "a comma or ] is missing")
    if _after_gap(text, at + 1) < len(text):
        raise NotJsonError(at + 1, "another value follows; write one a line")


def _record(place: str, value: object) -> Record | Rejection:
    if isinstance(value, dict):
        return Record(place, value)
    return Rejection(
        place, f"{type(value).__name__} where a record (an object) is expected", of_list=True
    )


def _after_gap(text: str, at: int) -> int:
    found = _GAP.match(text, at)
    return found.end() if found else at


def _decode(text: str, at: int) -> tuple[Any, int]:
    try:
        try:
            return _DECODER.raw_decode(text, at)
        except json.JSONDecodeError:
            raise
        except ValueError:  # Python reads no integer of more than 4,300 digits
            return _PATIENT_DECODER.raw_decode(text, at)
    except json.JSONDecodeError as error:
        raise NotJsonError(error.pos, error.msg) from None
    except RecursionError:
        raise NotJsonError(at, "nested too deeply") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) == len(pairs):
        return found
    doubled = Repeated(found)
    keys = [key for key, _ in pairs]
    doubled.repeated = tuple(sorted({key for key in keys if keys.count(key) > 1}))
    return doubled


def _whole_number(digits: str) -> int | str:
    """An integer, or its digits if there are too many for an integer."""
    return int(digits) if len(digits) <= _NUMBER_OF_DIGITS else digits


def _no_number(_name: str) -> None:
    """``NaN``, which pandas writes for a missing value."""


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_no_number)
_PATIENT_DECODER = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=_whole_number, parse_constant=_no_number
)


def _where(text: str, position: int) -> str:
    line = text.count("\n", 0, position) + 1
    return f"line {line}, column {position - text.rfind(chr(10), 0, position)}"
