"""Errors of AWS: classification, messages with a remedy, and whether a retry can help.

Codes: https://docs.aws.amazon.com/sagemaker/latest/APIReference/CommonErrors.html
"""

import re
from collections.abc import Callable

_DENIED = {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "AuthorizationError"}
_BAD_CREDENTIALS = {
    "ExpiredToken",
    "ExpiredTokenException",
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "RequestExpired",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
}
_THROTTLED = {
    "LimitExceededException",
    "RequestLimitExceeded",
    "SlowDown",
    "Throttling",
    "ThrottledException",
    "ThrottlingException",
    "TooManyRequestsException",
}
_QUOTA = "ResourceLimitExceeded"
_IN_USE = {"ResourceInUse", "ResourceInUseException"}
_IN_USE_TEXT = re.compile(r"must be unique|already exist", re.IGNORECASE)
_MISSING = {"ResourceNotFound", "ResourceNotFoundException"}
_MISSING_TEXT = re.compile(r"resource not found|could not find|does not exist", re.IGNORECASE)
_UNREACHED = {
    "ConnectTimeoutError",
    "ConnectionClosedError",
    "ConnectionError",
    "EndpointConnectionError",
    "HTTPClientError",
    "ProxyConnectionError",
    "ReadTimeoutError",
    "SSLError",
}
_NO_CREDENTIALS = {
    "CredentialRetrievalError",
    "NoAuthTokenError",
    "NoCredentialsError",
    "PartialCredentialsError",
    "ProfileNotFound",
    "SSOTokenLoadError",
    "TokenRetrievalError",
    "UnauthorizedSSOTokenError",
}


def error_code(error: Exception) -> str:
    """Return the code of a ClientError, such as ``ValidationException``, else the class's name."""
    response = getattr(error, "response", None)
    code = response.get("Error", {}).get("Code") if isinstance(response, dict) else None
    return str(code or type(error).__name__)


def is_in_use(error: Exception) -> bool:
    """Whether the resource's name is already in use.

    Some calls of SageMaker report it as a ValidationException, such as "Model Package Group already
    exists".
    """
    code = error_code(error)
    return code in _IN_USE or (
        code == "ValidationException" and _IN_USE_TEXT.search(_words(error)) is not None
    )


def is_denied(error: Exception) -> bool:
    """Whether the caller lacks a permission."""
    return error_code(error) in _DENIED


def is_unreached(error: Exception) -> bool:
    """Whether AWS could not be reached, or did not answer."""
    return error_code(error) in _UNREACHED


def is_missing(error: Exception) -> bool:
    """Whether the resource does not exist; SageMaker reports it as a ValidationException."""
    code = error_code(error)
    return code in _MISSING or (
        code == "ValidationException" and _MISSING_TEXT.search(_words(error)) is not None
    )


def is_permanent(error: Exception) -> bool:
    """Whether a retry cannot help, because something must be changed first.

    An exceeded quota is permanent if the request alone is larger than the quota, and transient if
    other jobs use it up. Unknown errors count as transient, since a retry costs little.
    """
    code = error_code(error)
    if code == _QUOTA:
        return _exceeds_quota(_words(error))
    return (
        code in _DENIED | _BAD_CREDENTIALS | _NO_CREDENTIALS | _MISSING
        or code in {"ValidationException", "ParamValidationError", "NoRegionError", "NoSuchBucket"}
        or code.startswith("Invalid")
    )


def error_message(error: Exception, doing: str) -> str:
    """Build one message from a boto3 error: the operation, AWS's text and a remedy.

    Args:
        error: botocore's ClientError or BotoCoreError.
        doing: operation and item, such as ``CreateTrainingJob train-0a1b2c``.
    """
    text, remedy = explained(error, doing)
    return f"{text}. Remedy: {remedy}"


def explained(error: Exception, doing: str) -> tuple[str, str]:
    """Return the two parts of :func:`error_message`: what happened, and the remedy."""
    code, words = error_code(error), _words(error)
    text = f"{doing}: {code}: {words}" if code not in words else f"{doing}: {words}"
    return text.rstrip(". "), _remedy(code, words)


def _remedy(code: str, words: str) -> str:
    for known, remedy in _REMEDIES:
        if code in known:
            return remedy if isinstance(remedy, str) else remedy(words)
    if code == "NoRegionError":
        return "set aws.region in imgclf.toml, or AWS_REGION"
    if code == _QUOTA:
        return (
            "ask for more of it in Service Quotas (SageMaker), or choose another instance type"
            if _exceeds_quota(words)
            else "wait until other jobs have ended, or ask for more of it in Service Quotas"
        )
    if code in {"ValidationException", "ParamValidationError"} or code.startswith("Invalid"):
        return "correct what is named; `imgclf doctor` checks the settings"
    return "it may be temporary: try again; if it persists, see https://health.aws.amazon.com"


def _denied(words: str) -> str:
    """Build the remedy from the permission and the principal that AWS's message names."""
    found = re.search(r"User: (\S+) is not authorized to perform: ([\w:*-]+)", words)
    if not found:
        return "give the role in use this permission (see cloudformation/foundation.yaml)"
    who, action = found.groups()
    role = re.search(r"assumed-role/([^/]+)/", who)
    name = f"role {role[1]}" if role else who
    return f"allow {action} to {name} (see its policy in cloudformation/foundation.yaml)"


_REMEDIES: tuple[tuple[set[str], str | Callable[[str], str]], ...] = (
    (_DENIED, _denied),
    (_BAD_CREDENTIALS, "the credentials are wrong or out of date: sign in again (aws sso login)"),
    (_NO_CREDENTIALS, "there are no credentials: sign in (aws sso login), or set aws.profile_name"),
    (_THROTTLED, "AWS throttles the calls: it is tried again later automatically"),
    (_UNREACHED, "AWS cannot be reached: check network, region and AWS_ENDPOINT_URL"),
    (_MISSING, "check name, region and account: `imgclf doctor` does"),
    (_IN_USE, "the name is taken, or the resource is being changed: wait, then try again"),
)


def _exceeds_quota(words: str) -> bool:
    """Whether the request alone is larger than the quota.

    SageMaker's message: "The account-level service limit '…' is 0 Instances, with current utilization
    of 0 Instances and a request delta of 1 Instances."
    """
    numbers = re.search(r"' is (\d+) .*request delta of (\d+)", words)
    return numbers is not None and int(numbers[2]) > int(numbers[1])


def _words(error: Exception) -> str:
    """Return AWS's text without boto3's preamble and without the canonical request."""
    # IAM and STS repeat the request after a wrong signature, session token included.
    response = getattr(error, "response", None)
    message = response.get("Error", {}).get("Message") if isinstance(response, dict) else None
    return str(message or error).partition("The Canonical String")[0].strip()
