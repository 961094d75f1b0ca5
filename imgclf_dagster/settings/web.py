"""The settings of all our web servers: section ``[web]`` of ``imgclf.toml``, or ``IMGCLF_WEB__*``."""

from pydantic import BaseModel, ConfigDict, Field, field_validator

from guard.hosts import checked_host


class WebSettings(BaseModel):
    """Under which names the servers of ``imgclf up`` are reached."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    allowed_hosts: tuple[str, ...] = Field(
        (),
        description="Host names under which a proxy of yours passes requests on to the servers, "
        "without port. Loopback's are known; every other is refused.",
    )

    @field_validator("allowed_hosts")
    @classmethod
    def _names(cls, hosts: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(map(checked_host, hosts))
