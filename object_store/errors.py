"""Errors of a store, and the remedies for errors of a disk or of S3.

All errors of the store (of obstore, of boto3's S3 client and of the system) are classified here: by their
class and fields first; by their text only where obstore's exceptions, which have no fields, leave nothing
else. Errors of other services of AWS: ``resources.aws.errors``.
"""

import errno
import re
from dataclasses import dataclass
from typing import Literal

from obstore.exceptions import (
    AlreadyExistsError,
    BaseError,
    PermissionDeniedError,
    UnauthenticatedError,
)

from errors.base import ImgclfError

Act = Literal["read", "write", "delete", "list"]

_UNWRITABLE = {
    errno.ENOSPC: "the disk is full: free some space",
    errno.EDQUOT: "the disk quota is used up: free some space",
    errno.EFBIG: "the file is larger than this process or file system may write",
    errno.EROFS: "the file system is read-only: mount it writable",
    errno.EACCES: "permission denied: give this user write access",
    errno.EPERM: "the operation is not permitted: give this user write access",
}
"""Remedies by errno."""

_BAD_NAME = {
    errno.ENOTDIR: "it lies below an object",
    errno.ENAMETOOLONG: "a name in it is too long for the file system",
}
"""Flaws of a key that only the file system detects, by errno."""

_PERMISSIONS: dict[Act, str] = {
    "read": "s3:GetObject",
    "write": "s3:PutObject",
    "delete": "s3:DeleteObject",
    "list": "s3:ListBucket",
}
_EXPIRED = "the credentials have expired: sign in again (aws sso login, or renew the role)"
_WRONG = (
    "the credentials are wrong: check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or the profile"
)
_BUSY = "S3 failed in all retries: try again later, with fewer programs at once"
_ARCHIVED = (
    "it is archived (Glacier, or a deep tier of Intelligent-Tiering), and cannot be read: "
    "restore it (aws s3api restore-object), or move it out of the store"
)
_KMS = (
    "see that the KMS key is enabled and its policy lets this role use it (kms:GenerateDataKey, "
    "kms:Decrypt)"
)
_REGION_CODES = (
    "PermanentRedirect",
    "AuthorizationHeaderMalformed",
    "IllegalLocationConstraintException",
    "301",
)
_REMEDIES = {
    "ExpiredToken": _EXPIRED,
    "TokenRefreshRequired": _EXPIRED,
    "InvalidAccessKeyId": _WRONG,
    "SignatureDoesNotMatch": _WRONG,
    "InvalidToken": _WRONG,
    "NoCredentials": "there are no AWS credentials: sign in (aws sso login), set AWS_PROFILE, or "
    "give the machine a role",
    "RequestTimeTooSkewed": "this machine's clock is wrong: set it (timedatectl set-ntp true)",
    "RequestExpired": "this machine's clock is wrong: set it (timedatectl set-ntp true)",
    "SlowDown": _BUSY,
    "ServiceUnavailable": _BUSY,
    "InternalError": _BUSY,
    "NoConnection": "there is no answer: check the network, the region and AWS_ENDPOINT_URL",
}
"""Remedies by error code: https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html"""

_TRANSIENT = {
    "InternalError",
    "NoConnection",
    "RequestTimeout",
    "ServiceUnavailable",
    "SlowDown",
    "502",
    "504",
}
_REFUSALS = {"AccessDenied", "AllAccessDisabled", "InvalidObjectState"}
_UNREADABLE = {
    errno.EACCES: "permission denied: give this user read access",
    errno.EPERM: "the operation is not permitted: give this user read access",
    errno.EIO: "the disk cannot read it: copy it from a backup, and check the disk",
    errno.ELOOP: "it is a link to itself: correct or delete it",
}
"""Remedies by errno, for one file that cannot be read."""

_CODES = {"403": "AccessDenied", "404": "NoSuchKey", "503": "SlowDown", "500": "InternalError"}
"""Codes by the status of an answer without a body."""

_WORDS = (
    (re.compile(r"credential|imds|169\.254\.", re.IGNORECASE), "NoCredentials"),
    (re.compile(r"redirect without LOCATION"), "PermanentRedirect"),
    (
        re.compile(r"error sending request|connection|dns error|timed out", re.IGNORECASE),
        "NoConnection",
    ),
)
"""Codes by what obstore says of a request that got no answer."""


class StoreError(ImgclfError):
    """An operation of the store failed; the message names the place and the reason.

    Attributes:
        denied: whether a permission or valid credentials are missing, so that no retry can help.
    """

    denied = False


class StoreUnavailable(StoreError):
    """The store does not answer, or is too busy, after all retries: a later retry may help."""


class ObjectRefused(StoreError):
    """An object exists but cannot be read: permission, archive, encryption key, bad disk.

    Others may be readable. If none is, the reader lacks the permission.
    """


class StoreMissing(StoreError):
    """There is no store at the URL: it was never set up, is unmounted, or the URL is mistyped."""


class StoreUnwritable(StoreError):
    """The store can be reached, but not written (disk full, read-only, …)."""


class KeyMissing(StoreError):
    """No object has the key."""


class KeyExists(StoreError):
    """An object has the key already; keys are create-only."""


class InvalidKey(StoreError, ValueError):
    """A string that cannot be a key in every store."""


class Refusal(Exception):
    """S3's error code and message from boto3; internal, converted before it leaves the store."""

    def __init__(self, code: str, message: str, status: int = 0) -> None:
        super().__init__(f"{code}: {message}")
        self.code, self.message, self.status = code, message, status


def refusal_of(error: Exception) -> Refusal:
    """Convert an error of boto3, by its code or its class.

    Args:
        error: botocore's ClientError or BotoCoreError.
    """
    from botocore import exceptions as of_botocore

    if isinstance(error, of_botocore.ClientError):
        answer = error.response.get("Error", {})
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        return Refusal(str(answer.get("Code", "")), str(answer.get("Message", "")), status)
    no_credentials = (
        of_botocore.NoCredentialsError,
        of_botocore.PartialCredentialsError,
        of_botocore.CredentialRetrievalError,
        of_botocore.ProfileNotFound,
        of_botocore.NoAuthTokenError,
        of_botocore.TokenRetrievalError,
        of_botocore.SSOError,
    )
    no_connection = (of_botocore.HTTPClientError, of_botocore.ConnectionError)
    if isinstance(error, no_credentials):
        return Refusal("NoCredentials", str(error))
    if isinstance(error, no_connection):
        return Refusal("NoConnection", str(error))
    return Refusal(type(error).__name__, str(error))


def as_store_error(
    error: BaseError | OSError | Refusal, key: str, store: str, place: str, *, act: Act
) -> StoreError:
    """Convert an error to a StoreError whose message names the store and a remedy.

    Args:
        error: of obstore, boto3 or the operating system.
        key: of the object.
        store: the store's URL.
        place: the object's address, for people.
        act: the operation that failed.
    """
    cause = _cause_of(error)
    if cause.code == "NoSuchBucket":
        return StoreMissing(
            f"{store}: there is no such bucket; check its name (aws.bucket in imgclf.toml) and the "
            "account, or make it (imgclf deploy foundation)"
        )
    if isinstance(error, FileNotFoundError) or cause.code == "NoSuchKey":
        return KeyMissing(f"{key} is not in the store {store}")
    if isinstance(error, AlreadyExistsError):
        return KeyExists(key)
    if cause.code:
        remedy = _s3_remedy(cause.code, str(error), act)
        found = _kind(cause.code, act)(f"{place}: {remedy} (S3 says {cause.words})")
    else:
        found = _of_the_file_system(cause, key, place, act)
    found.denied = cause.denied
    return found


@dataclass(frozen=True)
class _Cause:
    """What an error says: S3's code, or else the system's number; and its words."""

    words: str
    code: str = ""
    errno: int = 0
    denied: bool = False


def _cause_of(error: Exception) -> _Cause:
    if isinstance(error, Refusal):
        return _Cause(str(error), error.code, denied=error.status in (401, 403))
    first = str(error).partition("\n")[0]
    if isinstance(error, OSError) and error.errno:
        return _of_errno(first, error.errno)
    if system := re.search(r"os error (\d+)", first):  # obstore's folder store
        return _of_errno(first, int(system[1]))
    return _answer_of_s3(
        str(error), isinstance(error, PermissionDeniedError | UnauthenticatedError)
    )


def _answer_of_s3(text: str, denied: bool) -> _Cause:
    """Find S3's code in the text of obstore's exception, or the status of an answer without a body."""
    if answered := re.search(r"<Code>([^<]+)</Code>", text):
        message = re.search(r"<Message>([^<]*)</Message>", text)
        words = f"{answered[1]}: {message[1]}" if message else answered[1]
        return _Cause(words, answered[1], denied=denied)
    first = text.partition("\n")[0]
    status = re.search(r"status code: ((\d{3})[^\n:]*)", text)  # of a HEAD
    words = status[1] if status else first
    if denied:
        return _Cause(words, "AccessDenied", denied=True)
    return _Cause(words, _CODES.get(status[2], status[2]) if status else _code_in(first))


def _of_errno(words: str, number: int) -> _Cause:
    return _Cause(words, errno=number, denied=number in (errno.EACCES, errno.EPERM))


def _code_in(words: str) -> str:
    """Return the code for a failed connection, which obstore reports as text only; "" for others."""
    if "http" not in words and "S3" not in words:
        return ""
    return next((code for pattern, code in _WORDS if pattern.search(words)), "")


def _of_the_file_system(cause: _Cause, key: str, place: str, act: Act) -> StoreError:
    number, words = cause.errno, cause.words
    if number in _BAD_NAME:
        return InvalidKey(f"key {key!r} cannot be used: {_BAD_NAME[number]}")
    if act in ("write", "delete") and number in _UNWRITABLE:
        return StoreUnwritable(f"{place} cannot be written, {_UNWRITABLE[number]} ({words})")
    if act == "read" and number in _UNREADABLE:
        return ObjectRefused(f"{place} cannot be read, {_UNREADABLE[number]} ({words})")
    return StoreError(f"{place}: {words}")


def _kind(code: str, act: Act) -> type[StoreError]:
    """Return the error class for an error code of S3."""
    if code in _TRANSIENT or "Throttling" in code:  # KMS.ThrottlingException, too
        return StoreUnavailable
    if code in _REFUSALS or code.startswith("KMS."):
        return {
            "write": StoreUnwritable,
            "delete": StoreUnwritable,
            "read": ObjectRefused,
            "list": StoreError,
        }[act]
    return StoreError


def _s3_remedy(code: str, text: str, act: Act) -> str:
    """Return the remedy for an error code of S3."""
    if "Throttling" in code:
        return _BUSY
    if code.startswith("KMS."):
        return _KMS
    if code == "InvalidObjectState" and act == "read":
        return _ARCHIVED
    if code in _REFUSALS:
        hint = ""
        if act == "read":
            hint = "; without s3:ListBucket, S3 gives the same error for a missing key"
        if "kms:" in text:
            hint = f"; {_KMS}"
        return f"access denied: the role in use needs {_PERMISSIONS[act]} on it{hint}"
    if code in _REGION_CODES:
        region = re.search(r"<Region>([^<]+)</Region>|expecting '([^']+)'", text)
        where = f"in {region[1] or region[2]}" if region else "in another region"
        return f"the bucket lies {where}: set aws.region (or AWS_REGION) to that"
    return _REMEDIES.get(code, f"it could not be {_DONE[act]}")


_DONE: dict[Act, str] = {
    "read": "read",
    "write": "written",
    "delete": "deleted",
    "list": "listed",
}
