"""What a doctor says: one thing looked at, how it is and, if it is not well, what to do."""

from dataclasses import dataclass
from typing import Literal

Health = Literal["ok", "warning", "failed"]


@dataclass(frozen=True)
class Finding:
    """One thing looked at."""

    what: str
    health: Health
    detail: str
    remedy: str = ""
