"""Errors of obstore, boto3 and the system: classified by class and fields first, by words last."""

import errno

import pytest
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    EndpointConnectionError,
    NoCredentialsError,
    ParamValidationError,
    ReadTimeoutError,
    UnauthorizedSSOTokenError,
)
from obstore.exceptions import (
    AlreadyExistsError,
    GenericError,
    PermissionDeniedError,
    UnauthenticatedError,
)

from object_store.errors import (
    Act,
    InvalidKey,
    KeyExists,
    KeyMissing,
    ObjectRefused,
    StoreError,
    StoreMissing,
    StoreUnavailable,
    StoreUnwritable,
    as_store_error,
    refusal_of,
)

pytestmark = pytest.mark.unit

STORE = "s3://bucket/line"


def error_of(error: Exception, act: Act = "read") -> StoreError:
    if isinstance(error, BotoCoreError | ClientError):
        error = refusal_of(error)
    return as_store_error(error, "a", STORE, f"{STORE}/a", act=act)


def answered(code: str, status: int) -> ClientError:
    return ClientError(
        {
            "Error": {"Code": code, "Message": "Words."},
            "ResponseMetadata": {"HTTPStatusCode": status},
        },
        "PutObject",
    )


@pytest.mark.parametrize(
    ("error", "act", "kind", "denied", "words"),
    [
        (AlreadyExistsError("taken"), "write", KeyExists, False, "a"),
        (FileNotFoundError("404"), "read", KeyMissing, False, "a is not in the store"),
        (FileNotFoundError("<Code>NoSuchBucket</Code>"), "read", StoreMissing, False, "no such bucket"),
        (PermissionDeniedError("Forbidden"), "write", StoreUnwritable, True, "s3:PutObject"),
        (UnauthenticatedError("no"), "list", StoreError, True, "s3:ListBucket"),
        (
            PermissionDeniedError("<Code>SignatureDoesNotMatch</Code>"),
            "read",
            StoreError,
            True,
            "credentials are wrong",
        ),
        (answered("AccessDenied", 403), "list", StoreError, True, "s3:ListBucket"),
        (answered("SlowDown", 503), "list", StoreUnavailable, False, "fewer programs"),
        (OSError(errno.EACCES, "no connection"), "write", StoreUnwritable, True, "write access"),
        (OSError(errno.EIO, "I/O"), "read", ObjectRefused, False, "the disk cannot read it"),
        (OSError(errno.ENAMETOOLONG, "long"), "write", InvalidKey, False, "too long"),
        (GenericError("Unable to open: denied (os error 13)"), "read", ObjectRefused, True, "read access"),
        (GenericError("S3: error sending request"), "read", StoreUnavailable, False, "no answer"),
        (GenericError("the connection of things"), "read", StoreError, False, "connection of things"),
        (EndpointConnectionError(endpoint_url="http://x"), "list", StoreUnavailable, False, "no answer"),
        (ReadTimeoutError(endpoint_url="http://x"), "list", StoreUnavailable, False, "no answer"),
        (NoCredentialsError(), "list", StoreError, False, "sign in"),
        (UnauthorizedSSOTokenError(), "list", StoreError, False, "sign in"),
    ],
)  # fmt: skip
def test_an_error_has_its_class_its_remedy_and_whether_a_permission_is_missing(
    error: Exception, act: Act, kind: type[StoreError], denied: bool, words: str
) -> None:
    found = error_of(error, act)
    assert type(found) is kind
    assert found.denied is denied
    assert words in str(found)


def test_a_request_that_boto3_would_not_send_is_no_broken_network() -> None:
    found = error_of(ParamValidationError(report="Invalid bucket name"), "list")
    assert "check the network" not in str(found)
    assert "Invalid bucket name" in str(found)
    assert not isinstance(found, StoreUnavailable)
