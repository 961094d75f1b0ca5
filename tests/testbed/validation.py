"""Requests as the service itself checks them: by the constraints in botocore's service model.

botocore's client looks only at types and required members; lengths, patterns, enums and ranges
are left to the service, so to us.
"""

import functools
import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from tests.testbed.state import ApiError

_SHOWN = 10
_TYPES: dict[str, type | tuple[type, ...]] = {
    "structure": dict,
    "map": dict,
    "list": list,
    "string": str,
    "integer": int,
    "long": int,
    "float": (int, float),
    "double": (int, float),
    "boolean": bool,
    "timestamp": (int, float),
    "blob": str,
}


@functools.cache
def service_model() -> Any:
    """botocore's model of SageMaker."""
    import botocore.session

    return botocore.session.get_session().get_service_model("sagemaker")


def check_request(operation: str, request: dict[str, Any]) -> None:
    """Check a request as it came.

    Raises:
        ApiError: ValidationException with every violation; SerializationException for a wrong
            type; UnknownOperationException.
    """
    model = service_model()
    if operation not in model.operation_names:
        raise ApiError("UnknownOperationException", f"SageMaker has no operation {operation}")
    found = list(_violations(model.operation_model(operation).input_shape, request, ""))
    if found:
        plural = "s" if len(found) > 1 else ""
        shown = "; ".join(found[:_SHOWN])
        raise ApiError(
            "ValidationException", f"{len(found)} validation error{plural} detected: {shown}"
        )


def answer_body(operation: str, answer: dict[str, Any]) -> Any:
    """An operation's answer as JSON takes it: times in seconds since the epoch.

    Raises:
        TypeError: the answer has not the operation's output shape, which is a fault of ours.
    """
    shape = service_model().operation_model(operation).output_shape
    return _rendered(shape, answer, operation) if shape is not None else {}


def _violations(shape: Any, value: Any, path: str) -> Iterator[str]:
    expected = _TYPES[shape.type_name]
    if not isinstance(value, expected) or (isinstance(value, bool) and expected is not bool):
        raise ApiError(
            "SerializationException",
            f"{path or 'the request'} must be of type {shape.type_name}, not {type(value).__name__}",
        )
    yield from _own_violations(shape, value, path)
    if shape.type_name == "structure":
        yield from _members(shape, value, path)
    elif shape.type_name == "list":
        for number, item in enumerate(value, 1):
            yield from _violations(shape.member, item, f"{path}.{number}.member")
    elif shape.type_name == "map":
        for key, item in value.items():
            yield from _violations(shape.key, key, f"{path}.key {key[:40]!r}")
            yield from _violations(shape.value, item, f"{path}.{key[:40]}")


def _members(shape: Any, value: dict[str, Any], path: str) -> Iterator[str]:
    for name in shape.required_members:
        if value.get(name) is None:
            yield (
                f"Value at '{_joined(path, name)}' failed to satisfy constraint: "
                "Member must not be null"
            )
    for name, item in value.items():
        if name not in shape.members:
            raise ApiError("SerializationException", f"{_joined(path, name)} is no member")
        if item is not None:
            yield from _violations(shape.members[name], item, _joined(path, name))


def _own_violations(shape: Any, value: Any, path: str) -> Iterator[str]:
    facts = shape.metadata
    subject = f"Value '{str(value)[:80]}' at '{path}' failed to satisfy constraint: Member must"
    sized = shape.type_name in ("string", "list", "map", "blob")
    size = len(value) if sized else value
    what = "have length" if sized else "have value"
    if "min" in facts and size < facts["min"]:
        yield f"{subject} {what} greater than or equal to {facts['min']}"
    if "max" in facts and size > facts["max"]:
        yield f"{subject} {what} less than or equal to {facts['max']}"
    if "enum" in facts and value not in facts["enum"]:
        yield f"{subject} satisfy enum value set: [{', '.join(facts['enum'])}]"
    if "pattern" in facts and not _pattern(facts["pattern"]).fullmatch(value):
        yield f"{subject} satisfy regular expression pattern: {facts['pattern']}"


@functools.cache
def _pattern(text: str) -> re.Pattern[str]:
    r"""The service's (Java) pattern in Python.

    Unicode classes become ``\w``, ``\s`` and punctuation, which is exact for ASCII; the stray
    ``${1,128}`` of customer metadata, a documentation error, is dropped.
    """
    text = re.sub(r"\$\{\d+,\d+\}$", "", text)
    for name, python in (
        (r"\p{Alnum}", "a-zA-Z0-9"),
        (r"\p{L}", "a-zA-Z\u00aa-\U0003ffff"),
        (r"\p{M}", "\u0300-\u036f"),
        (r"\p{N}", r"\d"),
        (r"\p{Z}", " \u00a0\u2000-\u200a"),
        (r"\p{S}", r"$+<=>^`|~"),
        (r"\p{P}", r"!-#%-*,-/:;?@\[-\]_{}"),
    ):
        text = text.replace(name, python)
    try:
        return re.compile(text)
    except re.error:
        return re.compile(r"[\s\S]*")


def _joined(path: str, name: str) -> str:
    """AWS names members in camelCase: ``resourceConfig.instanceType``."""
    name = name[:1].lower() + name[1:]
    return f"{path}.{name}" if path else name


def _rendered(shape: Any, value: Any, path: str) -> Any:
    kind = shape.type_name
    if kind == "timestamp" and isinstance(value, datetime):
        return value.timestamp()
    if not isinstance(value, _TYPES[kind]):
        raise TypeError(f"{path} is {value!r}, not of type {kind}")
    if kind == "structure":
        unknown = value.keys() - shape.members.keys()
        missing = set(shape.required_members) - {k for k, v in value.items() if v is not None}
        if unknown or missing:
            raise TypeError(f"{path}: unknown {sorted(unknown)}, missing {sorted(missing)}")
        return {
            name: _rendered(shape.members[name], item, f"{path}.{name}")
            for name, item in value.items()
            if item is not None
        }
    if kind == "list":
        return [_rendered(shape.member, item, f"{path}[]") for item in value]
    if kind == "map":
        return {key: _rendered(shape.value, item, f"{path}.{key}") for key, item in value.items()}
    return value
