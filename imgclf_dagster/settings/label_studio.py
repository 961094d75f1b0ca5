"""The settings of Label Studio: section ``[label_studio]`` of ``imgclf.toml``, or
``IMGCLF_LABEL_STUDIO__*``.
"""

from typing import Any
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

SECTION = "label_studio"


class LabelStudioSettings(BaseModel):
    """Which Label Studio people label in. ``imgclf up --label-studio`` needs none of it."""

    # Error messages must not show a token.
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    url: str = Field(
        "",
        description="Address of a Label Studio that runs already; empty: the one that `imgclf up "
        "--label-studio` runs, if it does.",
    )
    token: SecretStr = Field(
        SecretStr(""),
        description="Token for url, legacy or personal. Better kept in IMGCLF_LABEL_STUDIO__TOKEN, "
        "or in label-studio/token in the home (mode 0600).",
    )
    project_title: str = Field(
        "", max_length=50, description="Title of the project there; empty: the line's own name."
    )
    project_id: int | None = Field(
        None, ge=1, description="Its number, where several have that title."
    )
    backend_url: str = Field(
        "",
        description="Where Label Studio reaches our ML backend; empty: on this machine, "
        "ports.labelling.",
    )
    backend_host: str = Field(
        "127.0.0.1",
        description="Address that our ML backend listens on. On any other than loopback's, which a "
        "Label Studio elsewhere needs, everybody has to give a password.",
    )
    backup_prefix: str = Field(
        "",
        description="On AWS: Label Studio writes every annotation there too, in the line's bucket; "
        "empty: it does not.",
    )

    @field_validator("url", "backend_url")
    @classmethod
    def _bare_url(cls, url: str) -> str:
        if not url:
            return url
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError("must be an address such as https://labels.example.com")
        if parts.username or parts.password or parts.query or parts.fragment:
            raise ValueError("must be a plain address, without user, password, ? or #")
        return url.rstrip("/")

    @field_validator("project_title")
    @classmethod
    def _long_enough(cls, title: str) -> str:
        if title and len(title.strip()) < 3:
            raise ValueError("must have 3 to 50 characters: Label Studio takes no other title")
        return title.strip()

    @field_validator("project_id", mode="before")
    @classmethod
    def _empty_is_none(cls, value: Any) -> Any:
        return value or None

    @field_validator("backup_prefix")
    @classmethod
    def _bare_prefix(cls, prefix: str) -> str:
        return prefix.strip("/")
