"""The results of a benchmark."""

from typing import Literal

from pydantic import BaseModel, ConfigDict


class Measurement(BaseModel):
    """One number, with the limit it must keep or the peer it is compared with, if there is one.

    ``limit`` and ``peer`` have the unit of ``value``; ``bound`` says on which side of the limit
    is right.
    """

    model_config = ConfigDict(frozen=True)

    what: str
    value: float
    unit: str
    bound: Literal["at most", "at least"] = "at most"
    limit: float | None = None
    peer: float | None = None

    @property
    def passed(self) -> bool | None:
        """Whether the limit is kept; ``None`` where there is none."""
        if self.limit is None:
            return None
        return self.value <= self.limit if self.bound == "at most" else self.value >= self.limit

    @property
    def ratio(self) -> float | None:
        """How many times better than the peer (more where more is better, less where less is)."""
        if self.peer is None or not self.value or not self.peer:
            return None
        return self.value / self.peer if self.bound == "at least" else self.peer / self.value


class Result(BaseModel):
    """A benchmark's numbers, and what one must know to read them. ``skipped`` is the reason."""

    model_config = ConfigDict(frozen=True)

    measurements: list[Measurement] = []
    peer: str = ""
    notes: list[str] = []
    skipped: str = ""

    @property
    def missed(self) -> list[Measurement]:
        """The measurements that do not keep their limits."""
        return [item for item in self.measurements if item.passed is False]
