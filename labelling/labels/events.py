"""Events about labels as a whole: rename, merge, withdraw, restore.

Each event is one immutable JSON object under ``annotations/events/``. Snapshots are never
rewritten; the labels that count are computed from snapshots and events
(``labelling.labels.counted``).
"""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    field_validator,
    model_validator,
)

from errors.base import ImgclfError
from labelling.labels.foreign_text import label_flaw
from labelling.labels.form import normal_label
from labelling.labels.snapshots import epoch_ms, in_bounds

EVENTS_PREFIX = "annotations/events/"
"""Prefix of the events: below ``annotations/``, where the sensor looks for new labels."""

_KEY = re.compile(rf"{EVENTS_PREFIX}\d{{13}}-[0-9a-f]{{8}}\.json")

_NUMBERS = 10**9
"""Below it, the digits in a key are the event's number; above it, its time in ms since 1970, as in
keys from before events were numbered."""


class EventError(ImgclfError, ValueError):
    """An object under ``annotations/events/`` is not a valid event; the message names its key."""


class _Event(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal[1] = 1
    at: AwareDatetime
    by: str = Field(min_length=1, max_length=200, description="Who decided.")
    number: int | None = Field(
        default=None,
        ge=1,
        lt=_NUMBERS,
        description="One more than the number of the newest event known when it was decided.",
    )

    @field_validator("at")
    @classmethod
    def _utc(cls, moment: datetime) -> datetime:
        # The key has milliseconds: a finer time would not be read back as it was written.
        moment = in_bounds(moment)
        return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


class Rename(_Event):
    """Each class of ``old`` is called ``new`` from now on, in existing and in later labels."""

    kind: Literal["rename"] = "rename"
    old: tuple[str, ...] = Field(min_length=1)
    new: str

    @field_validator("old", "new")
    @classmethod
    def _labels(cls, given: str | tuple[str, ...]) -> str | tuple[str, ...]:
        names = (given,) if isinstance(given, str) else given
        if flaws := [flaw for name in names if (flaw := label_flaw(normal_label(name)))]:
            raise ValueError("; ".join(flaws))
        return (
            normal_label(given)
            if isinstance(given, str)
            else tuple(dict.fromkeys(map(normal_label, given)))
        )

    @model_validator(mode="after")
    def _changes_something(self) -> "Rename":
        if self.new in self.old:
            raise ValueError(f"{self.new!r} is renamed to itself")
        return self


class Withdrawal(_Event):
    """Labels given until now no longer count, if they match all criteria.

    Attributes:
        source: the first folder under ``raw/`` that an ingest wrote to, an annotator, or ``ingest``,
            ``label_studio``, ``predictor``.
        label: the class, by its name at this time. Of several labels of an image, only this one.
        spellings: other words that were taken for ``label`` at this time.
        images: by sha256.
    """

    kind: Literal["withdraw"] = "withdraw"
    source: str = ""
    label: str = ""
    spellings: tuple[str, ...] | None = Field(default=None, min_length=1)
    images: tuple[str, ...] = ()

    @field_validator("label")
    @classmethod
    def _label(cls, label: str) -> str:
        return normal_label(label)

    @field_validator("images")
    @classmethod
    def _hashes(cls, images: tuple[str, ...]) -> tuple[str, ...]:
        if wrong := [image for image in images if not re.fullmatch(r"[0-9a-f]{64}", image)]:
            raise ValueError(f"{wrong[0]!r} is no sha256")
        return tuple(sorted(set(images)))

    @model_validator(mode="after")
    def _says_what(self) -> "Withdrawal":
        if not (self.source or self.label or self.images):
            raise ValueError("a withdrawal names a source, a class or images")
        return self


class Restoral(_Event):
    """The event at the key ``event`` counts no more, as if it had never been."""

    kind: Literal["restore"] = "restore"
    event: str = Field(pattern=_KEY.pattern)


LabelEvent = Annotated[Rename | Withdrawal | Restoral, Field(discriminator="kind")]
_PARSER: TypeAdapter[Rename | Withdrawal | Restoral] = TypeAdapter(LabelEvent)


def to_json(event: Rename | Withdrawal | Restoral) -> bytes:
    """The event as the bytes to store."""
    if event.number is None:
        return event.model_dump_json(indent=1, exclude_none=True).encode("utf-8")
    # The key of a numbered event contains no hash of its content.
    fields = event.model_dump(mode="json", exclude_none=True)
    text = json.dumps({**fields, "sha256": _digest(event)}, indent=1, ensure_ascii=False)
    return text.encode("utf-8")


def _digest(event: Rename | Withdrawal | Restoral) -> str:
    return hashlib.sha256(event.model_dump_json(exclude_none=True).encode("utf-8")).hexdigest()


def event_key(event: Rename | Withdrawal | Restoral) -> str:
    """The key of an event. That of a numbered event depends on its number alone."""
    if event.number is None:
        return f"{EVENTS_PREFIX}{epoch_ms(event.at):013d}-{_digest(event)[:8]}.json"
    # By number alone: of two events decided at the same time, only one can be written.
    # The second part is the id that people type: hashed, so that no two ids are nearly the same.
    name = hashlib.sha256(f"label event {event.number}".encode()).hexdigest()[:8]
    return f"{EVENTS_PREFIX}{event.number:013d}-{name}.json"


def parse_event(data: bytes | str, key: str) -> Rename | Withdrawal | Restoral:
    """Parse the event in ``data``, the object at ``key``.

    Raises:
        EventError: it is not an event, or was changed; the message names the key and each invalid
            field.
    """
    try:
        event, digest = _parsed(data)
    except ValidationError as error:
        wrong = "; ".join(
            f"{'.'.join(map(str, item['loc'])) or 'file'}: {item['msg']}" for item in error.errors()
        )
        raise EventError(f"{key} is not a label event: {wrong}") from None
    if event_key(event) != key:
        raise EventError(f"{key} holds what {event_key(event)} should: it was changed")
    if event.number is not None and digest != _digest(event):
        raise EventError(f"{key} does not fit its sha256: it was changed")
    return event


def _parsed(data: bytes | str) -> tuple[Rename | Withdrawal | Restoral, object]:
    """The event, and the digest stored in it."""
    try:
        fields = json.loads(data)
    except ValueError:
        return _PARSER.validate_json(data), None  # raises with the reason
    numbered = isinstance(fields, dict) and "number" in fields
    digest = fields.pop("sha256", None) if numbered else None
    return _PARSER.validate_json(json.dumps(fields)), digest


def moment_after(known: Iterable[str], now: datetime, latest: datetime | None = None) -> datetime:
    """The time of a new event: ``now``, or 1 ms after all others if the clock was set back.

    Args:
        known: keys of the events; those from before events were numbered contain their time.
        now: the present time.
        latest: time of the last event that could be read.
    """
    times = [number for number in _numbers(known) if number >= _NUMBERS]
    times += [epoch_ms(latest)] if latest else []
    following = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(
        milliseconds=max(times, default=-1) + 1
    )
    return max(now, following)


def number_after(known: Iterable[str]) -> int:
    """The number of a new event, given the keys of all others."""
    return max((number for number in _numbers(known) if number < _NUMBERS), default=0) + 1


def _numbers(keys: Iterable[str]) -> Iterator[int]:
    return (int(key.removeprefix(EVENTS_PREFIX)[:13]) for key in keys if _KEY.fullmatch(key))


@dataclass(frozen=True)
class History:
    """All events in the order of their times, with their keys.

    Attributes:
        events: every event with its key.
        in_force: renames and withdrawals that no later event has restored.
    """

    events: tuple[tuple[str, Rename | Withdrawal | Restoral], ...] = ()

    @classmethod
    def of(cls, events: Iterable[tuple[str, Rename | Withdrawal | Restoral]]) -> "History":
        """From (key, event) in any order."""
        return cls(tuple(sorted(events, key=lambda item: (item[1].at, item[0]))))

    @property
    def in_force(self) -> tuple[Rename | Withdrawal, ...]:
        """The renames and withdrawals in force, in order."""
        return tuple(event for _, event in self.standing())

    def standing(self) -> list[tuple[str, Rename | Withdrawal]]:
        """The renames and withdrawals in force, with their keys, in order."""
        undone = {event.event for _, event in self.events if isinstance(event, Restoral)}
        return [
            (key, event)
            for key, event in self.events
            if not isinstance(event, Restoral) and key not in undone
        ]

    def standing_before(self, event: Rename | Withdrawal) -> tuple[Rename | Withdrawal, ...]:
        """The renames and withdrawals that were in force when ``event`` was decided, in order."""
        places = [place for place, (_, one) in enumerate(self.events) if one is event]
        return History(self.events[: places[0]]).in_force

    def aliases(self, names: Iterable[str] = ()) -> dict[str, str]:
        """Former name to present name, for every name that was renamed and is not in use again.

        Args:
            names: only these; default: all that were ever renamed.
        """
        standing = self.in_force
        known = dict.fromkeys(names) or dict.fromkeys(
            old for event in standing if isinstance(event, Rename) for old in event.old
        )
        called = {name: name_at(standing, name, len(standing)) for name in known}
        return {name: new for name, new in called.items() if new != name}


def applies(events: Sequence[Rename | Withdrawal], index: int, name: str, made: int) -> bool:
    """Whether a rename applies to a label.

    A rename applies to labels given before it, and to labels given later as long as no later rename
    has introduced the old name again. So chains, cycles and swaps of renames work: after a→b and
    b→a, a label ``a`` given at any time is ``a``.

    Args:
        events: the events in force, in order.
        index: the event in question.
        name: the label's name after the events before ``index``.
        made: how many of the events were known when the label was given.
    """
    event = events[index]
    if not isinstance(event, Rename) or name not in event.old:
        return False
    between = events[index + 1 : made]
    return not any(isinstance(later, Rename) and later.new == name for later in between)


def name_at(events: Sequence[Rename | Withdrawal], name: str, made: int) -> str:
    """The present name of a label.

    Args:
        events: the events in force, in order.
        name: the label as it was given.
        made: how many of the events were known when it was given.
    """
    for index, event in enumerate(events):
        if isinstance(event, Rename) and applies(events, index, name, made):
            name = event.new
    return name
