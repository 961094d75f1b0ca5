"""A CloudFormation template as rules read it: parsed, walked, and with its branches opened."""

import copy
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parents[4] / "cloudformation"
NAMES = tuple(sorted(path.name for path in FOLDER.glob("*.yaml")))


@cache
def _parsed(text: str) -> dict[str, Any]:
    from cfnlint.decode import cfn_yaml

    return plain(cfn_yaml.loads(text))


@dataclass(frozen=True)
class Template:
    """A template, its short forms (``!Ref``) as ``{"Ref": …}`` and ``{"Fn::…": …}``."""

    name: str
    text: str

    @classmethod
    def ours(cls, name: str) -> "Template":
        """One of ``cloudformation/``."""
        return cls(name, (FOLDER / name).read_text(encoding="utf-8"))

    @cached_property
    def body(self) -> dict[str, Any]:
        return copy.deepcopy(_parsed(self.text))  # a test may change its own

    @property
    def resources(self) -> dict[str, dict[str, Any]]:
        return self.body.get("Resources", {})

    @property
    def parameters(self) -> dict[str, dict[str, Any]]:
        return self.body.get("Parameters", {})

    def of_type(self, *types: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """Logical ids and properties of the resources of these types."""
        for logical_id, resource in self.resources.items():
            if resource["Type"] in types:
                yield logical_id, resource.get("Properties", {})

    def numbers(self, value: Any) -> list[float]:
        """The least and the greatest numbers a value may take: itself, or what its parameter
        allows; infinite where nothing bounds it."""
        found: list[float] = []
        for branch in branches(value):
            if isinstance(branch, dict) and "Ref" in branch:
                parameter = self.parameters.get(branch["Ref"], {})
                allowed = parameter.get("AllowedValues")
                if allowed:
                    found += [float(item) for item in allowed]
                else:
                    found.append(float(parameter.get("MinValue", "-inf")))
                    found.append(float(parameter.get("MaxValue", "inf")))
            elif isinstance(branch, (int, float, str)):
                found.append(float(branch))
        return found

    def values(self, value: Any) -> set[Any]:
        """Everything a value may be: its branches, a parameter's allowed values; None for any."""
        found: set[Any] = set()
        for branch in branches(value):
            if isinstance(branch, dict) and "Ref" in branch and branch["Ref"] in self.parameters:
                found |= set(self.parameters[branch["Ref"]].get("AllowedValues", [None]))
            elif isinstance(branch, dict):
                found.add(None)
            else:
                found.add(str(branch).lower() if isinstance(branch, bool) else branch)
        return found


def plain(node: Any) -> Any:
    """The parser's own nodes as dicts, lists and values."""
    if isinstance(node, dict):
        return {str(key): plain(value) for key, value in node.items()}
    if isinstance(node, list):
        return [plain(item) for item in node]
    if isinstance(node, str):
        return str(node)
    return node


def branches(value: Any) -> list[Any]:
    """What a value may be, whichever way its ``Fn::If`` goes; ``AWS::NoValue`` is left out."""
    if isinstance(value, dict) and "Fn::If" in value:
        _, yes, no = value["Fn::If"]
        return [*branches(yes), *branches(no)]
    if value == {"Ref": "AWS::NoValue"}:
        return []
    return [value]


def items(value: Any) -> list[Any]:
    """The members of a list, those of every branch; a single value is a list of one."""
    found = []
    for branch in branches(value):
        for item in branch if isinstance(branch, list) else [branch]:
            found += branches(item)
    return found


def first(value: Any) -> Any:
    """The first thing that a value may be; None if it is absent."""
    return next(iter(branches(value)), None) if value is not None else None


def walk(node: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every node below, with its path."""
    yield path, node
    if isinstance(node, dict):
        for key, value in node.items():
            yield from walk(value, (*path, str(key)))
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from walk(value, (*path, str(index)))


def references(node: Any) -> set[str]:
    """Names that ``Ref``, ``Fn::GetAtt`` and ``Fn::Sub`` below a node refer to."""
    found: set[str] = set()
    for path, value in walk(node):
        key = path[-1] if path else ""
        if key == "Ref" and isinstance(value, str):
            found.add(value)
        elif key == "Fn::GetAtt":
            found.add(value[0] if isinstance(value, list) else value.partition(".")[0])
        elif "Fn::Sub" in path[-2:] and isinstance(value, str):
            found |= {name.partition(".")[0] for name in re.findall(r"\$\{([^!}][^}]*)\}", value)}
    return found
