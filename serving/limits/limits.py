"""Limits of one request: pixels and seconds. Section ``[serving]``, or ``IMGCLF_SERVING__*``."""

import os
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from errors.base import ImgclfError

VARIABLE = "IMGCLF_SERVING"
"""JSON with several limits; a variable of :data:`PREFIX` and a name overrides it."""

PREFIX = f"{VARIABLE}__"


class LimitsWrong(ImgclfError, ValueError):
    """A limit in the environment is invalid; the message has the variable and its bounds."""


class ServingLimits(BaseModel):
    """What the endpoints, the container and the labelling backend take of one request."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_pixels: int = Field(
        100_000_000,
        ge=1,
        le=178_956_970,  # Pillow's own limit
        description="An image with more pixels than this is refused unread.",
    )
    max_request_pixels: int = Field(
        200_000_000,
        ge=1,
        le=10_000_000_000,
        description="A request whose images have more pixels than this in all is refused unread.",
    )
    body_s: float = Field(
        60.0, gt=0, le=3600, description="A request must have arrived after so long (s)."
    )
    answer_s: float = Field(
        50.0,  # less than the 60 s that SageMaker and our clients wait
        gt=0,
        le=3600,
        description="A request is answered, or refused, so long after it has arrived (s).",
    )

    @classmethod
    def from_environment(cls) -> Self:
        """Read the limits from the environment; the others have their defaults.

        Raises:
            LimitsWrong: a limit is no number, or out of bounds.
        """
        try:
            given = cls.model_validate_json(os.environ.get(VARIABLE) or "{}")
        except ValidationError as error:
            first = error.errors(include_input=False)[0]
            place = ".".join((VARIABLE, *map(str, first["loc"])))
            raise LimitsWrong(f"{place}: {first['msg']} ([serving] in imgclf.toml)") from None
        named = {
            field: os.environ.get(PREFIX + field.upper(), str(value))
            for field, value in given.model_dump().items()
        }
        try:
            return cls.model_validate_strings(named)
        except ValidationError as error:
            wrong = "; ".join(
                f"{PREFIX}{str(item['loc'][0]).upper()}: {item['msg']}" for item in error.errors()
            )
            raise LimitsWrong(f"{wrong} ([serving] in imgclf.toml)") from None

    def to_environment(self) -> dict[str, str]:
        """Return the variables from which :meth:`from_environment` reads these limits."""
        return {
            PREFIX + field.upper(): format(value, "f").rstrip("0").rstrip(".")
            if isinstance(value, float)
            else str(value)
            for field, value in self.model_dump().items()
        }
