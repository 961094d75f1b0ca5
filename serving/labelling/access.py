"""Access to the labelling backend: Label Studio by password, the predictor by token."""

import base64
import binascii
import hmac
import json
import os
import secrets
import stat
from pathlib import Path

from fastapi import Request
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from errors.base import ImgclfError
from guard.hosts import is_loopback
from serving.errors import RequestRefused

__all__ = [
    "WEBHOOK_HEADER",
    "Access",
    "Credentials",
    "CredentialsUnusable",
    "ensure_credentials",
    "is_loopback",
    "read_credentials",
]

WEBHOOK_HEADER = "X-Webhook-Secret"
"""Header with the token of a webhook: Label Studio's webhooks can send headers, but no password."""


class CredentialsUnusable(ImgclfError, ValueError):
    """The credentials file is missing, readable by others or invalid; the message has a remedy."""


class Credentials(BaseModel):
    """The credentials that the backend requires from its callers; the repr hides them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    user: str = Field(min_length=1, pattern=r"^[^:\s]+$", description="Label Studio's name here.")
    password: SecretStr = Field(min_length=8, description="Label Studio's password here.")
    feedback_token: SecretStr = Field(
        min_length=8, description="What the predictor and webhooks send."
    )


def read_credentials(path: Path) -> Credentials:
    """Read the credentials in ``path``.

    Raises:
        CredentialsUnusable: the file is missing, readable by others, or holds no credentials.
    """
    try:
        others = stat.S_IMODE(path.stat().st_mode) & 0o077
        if others:
            raise CredentialsUnusable(f"others can read {path}; run: chmod 600 {path}")
        return Credentials.model_validate_json(path.read_bytes())
    except OSError as error:
        raise CredentialsUnusable(f"{path} cannot be read: {error.strerror}") from None
    except ValidationError as error:  # its message would show the secrets
        wrong = sorted({".".join(map(str, item["loc"])) or "file" for item in error.errors()})
        raise CredentialsUnusable(
            f"{path} does not hold the backend's credentials (wrong or missing: "
            f"{', '.join(wrong)}); delete it to have new ones made"
        ) from None


def ensure_credentials(path: Path, user: str = "imgclf") -> Credentials:
    """Read the credentials in ``path``; if there is no file, create one with random ones (mode 0600).

    Raises:
        CredentialsUnusable: see :func:`read_credentials`.
    """
    if not path.exists():
        made = {"user": user, "password": _secret(), "feedback_token": _secret()}
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(f".{path.name}.{os.getpid()}.new")
        fresh.touch(mode=0o600)
        fresh.write_text(json.dumps(made), encoding="utf-8")
        try:
            os.link(fresh, path)  # of concurrent writers the first wins
        except FileExistsError:
            pass
        finally:
            fresh.unlink()
    return read_credentials(path)


class Access:
    """Authorizes requests.

    Args:
        credentials: user, password and token.
        loopback: whether only this machine can connect. Then the report and Label Studio's webhooks
            (it creates one without a password) need no credentials.
    """

    def __init__(self, credentials: Credentials, *, loopback: bool) -> None:
        self._basic = _basic(credentials.user, credentials.password.get_secret_value())
        self._bearer = f"Bearer {credentials.feedback_token.get_secret_value()}".encode()
        self._loopback = loopback

    def label_studio(self, request: Request) -> None:
        """Require the password.

        Raises:
            RequestRefused: 401, it is wrong or missing.
        """
        if not self._has(request, self._basic):
            raise _refused("user and password of the ML backend are wrong or missing")

    def predictor(self, request: Request) -> None:
        """Require the token.

        Raises:
            RequestRefused: 401, it is wrong or missing.
        """
        if not self._has(request, self._bearer):
            raise _refused("the token is wrong or missing (IMGCLF_FEEDBACK_TOKEN of the predictor)")

    def reader(self, request: Request) -> None:
        """Require the password, except on loopback.

        Raises:
            RequestRefused: 401, it is wrong or missing.
        """
        if not self._loopback and not self._has(request, self._basic):
            raise _refused("user and password of the labelling backend are wrong or missing")

    def webhook(self, request: Request) -> None:
        """Require the token or the password, except on loopback.

        Raises:
            RequestRefused: 401, they are wrong or missing.
        """
        secret = f"Bearer {request.headers.get(WEBHOOK_HEADER, '')}".encode()
        matches = hmac.compare_digest(secret, self._bearer)
        if not (self._loopback or matches or self._has(request, self._basic, self._bearer)):
            raise _refused(f"the token in {WEBHOOK_HEADER} is wrong or missing")

    @staticmethod
    def _has(request: Request, *wanted: bytes) -> bool:
        scheme, _, encoded = request.headers.get("authorization", "").partition(" ")
        given = (
            _decoded(encoded) if scheme.lower() == "basic" else f"Bearer {encoded.strip()}".encode()
        )
        # All are compared, each in constant time, against timing attacks.
        return sum(hmac.compare_digest(given, one) for one in wanted) > 0


def _basic(user: str, password: str) -> bytes:
    return f"Basic {user}:{password}".encode()


def _decoded(text: str) -> bytes:
    try:
        return b"Basic " + base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        return b""


def _refused(why: str) -> RequestRefused:
    return RequestRefused(401, "unauthorized", why)


def _secret() -> str:
    return secrets.token_urlsafe(24)
