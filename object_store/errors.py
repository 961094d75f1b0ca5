"""Errors of a store, and the remedies for errors of a disk or of S3."""

import re
from typing import Literal

from obstore.exceptions import AlreadyExistsError, BaseError

from errors.base import ImgclfError

Act = Literal["read", "write", "delete", "list"]

_UNWRITABLE = {
    "28": "the disk is full: free some space",
    "122": "the disk quota is used up: free some space",
    "27": "the file is larger than this process or file system may write",
    "30": "the file system is read-only: mount it writable",
    "13": "permission denied: give this user write access",
    "1": "the operation is not permitted: give this user write access",
}
"""Remedies by errno, which obstore gives as text: ``(os error 28)``."""

_BAD_NAME = {"20": "it lies below an object", "36": "a name in it is too long for the file system"}
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
_BUSY = "S3 did not get over it in all retries: try again later, with fewer programs at once"
_ARCHIVED = (
    "it is archived (Glacier, or a deep tier of Intelligent-Tiering), and cannot be read: restore it "
    "(aws s3api restore-object), or move it away from here"
)
_KMS = "see that the KMS key is enabled and its policy lets this role use it (kms:GenerateDataKey, kms:Decrypt)"
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
    "NoCredentials": "there are no AWS credentials: sign in (aws sso login), set AWS_PROFILE, or give "
    "the machine a role",
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
    "13": "permission denied: give this user read access",
    "1": "the operation is not permitted: give this user read access",
    "5": "the disk cannot read it: copy it from a backup, and check the disk",
    "40": "it is a link that leads to itself: mend or delete it",
}
"""Remedies by errno, for one file that cannot be read."""

_NO_CONNECTION = re.compile(r"error sending request|connection|dns error|timed out", re.IGNORECASE)
_WRONG_REGION = re.compile(r"redirect without LOCATION")
_NO_CREDENTIALS = re.compile(r"credential|imds|169\.254\.", re.IGNORECASE)


class StoreError(ImgclfError):
    """An operation of the store failed; the message names the place and the reason."""


class StoreUnavailable(StoreError):  # noqa: N818 - a state, as its callers say it
    """The store does not answer, or is too busy, after all retries: a later retry may help."""


class ObjectRefused(StoreError):  # noqa: N818 - a state, as its callers say it
    """An object exists but cannot be read: permission, archive, encryption key, bad disk.

    Others may be readable. If none is, the reader lacks the permission.
    """


class StoreMissing(StoreError):  # noqa: N818 - a state, as its callers say it
    """There is no store at the URL: it was never set up, is unmounted, or the URL is mistyped."""


class StoreUnwritable(StoreError):  # noqa: N818 - a state, as its callers say it
    """The store can be reached, but not written (disk full, read-only, …)."""


class KeyMissing(StoreError):  # noqa: N818 - a state, as its callers say it
    """No object has the key."""


class KeyExists(StoreError):  # noqa: N818 - a state, as its callers say it
    """An object has the key already; keys are create-only."""


class InvalidKey(StoreError, ValueError):  # noqa: N818 - a state, as its callers say it
    """A string that cannot be a key in every store."""


class Refusal(Exception):  # noqa: N818 - what S3 said, before it is told
    """S3's error code and message from boto3; internal, converted before it leaves the store."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code, self.message = code, message


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
    code, words = _s3_code_and_message(error)
    if code == "NoSuchBucket":
        return StoreMissing(
            f"{store}: there is no such bucket; check its name (aws.bucket in imgclf.toml) and the "
            "account, or make it (imgclf deploy foundation)"
        )
    if isinstance(error, FileNotFoundError) or code == "NoSuchKey":
        return KeyMissing(f"{key} is not in the store {store}")
    if isinstance(error, AlreadyExistsError):
        return KeyExists(key)
    if code:
        return _kind(code, act)(f"{place}: {_s3_remedy(code, str(error), act)} (S3 says {words})")
    return _of_the_file_system(error, key, place, act)


def _of_the_file_system(error: Exception, key: str, place: str, act: Act) -> StoreError:
    text = str(error).partition("\n")[0]
    found = re.search(r"os error (\d+)", text)
    errno = found[1] if found else str(getattr(error, "errno", ""))
    if errno in _BAD_NAME:
        return InvalidKey(f"key {key!r} cannot be used: {_BAD_NAME[errno]}")
    if act in ("write", "delete") and errno in _UNWRITABLE:
        return StoreUnwritable(f"{place} cannot be written, {_UNWRITABLE[errno]} ({text})")
    if act == "read" and errno in _UNREADABLE:
        return ObjectRefused(f"{place} cannot be read, {_UNREADABLE[errno]} ({text})")
    return StoreError(f"{place}: {text}")


def _s3_code_and_message(error: Exception) -> tuple[str, str]:
    """Return S3's error code and text; ("", "") if the error is not S3's."""
    if isinstance(error, Refusal):
        return error.code, str(error)
    text = str(error)
    code = re.search(r"<Code>([^<]+)</Code>", text)
    if code:
        message = re.search(r"<Message>([^<]*)</Message>", text)
        return code[1], f"{code[1]}: {message[1]}" if message else code[1]
    status = re.search(r"status code: (\d{3})[^\n:]*", text)
    if status:  # the answer to a HEAD has no body
        codes = {
            "403": "AccessDenied",
            "404": "NoSuchKey",
            "503": "SlowDown",
            "500": "InternalError",
        }
        return codes.get(status[1], status[1]), status[0].removeprefix("status code: ")
    first = text.partition("\n")[0]
    if "http" not in first and "S3" not in first:
        return "", ""
    known = (
        (_NO_CREDENTIALS, "NoCredentials"),
        (_WRONG_REGION, "PermanentRedirect"),
        (_NO_CONNECTION, "NoConnection"),
    )
    return next(((code, first) for pattern, code in known if pattern.search(first)), ("", ""))


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
            hint = "; without s3:ListBucket, S3 says the same of a key that is missing"
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
