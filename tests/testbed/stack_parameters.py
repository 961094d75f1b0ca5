"""CloudFormation's checks of parameters, and the Rules of a template; ministack has neither.

https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/rules-section-structure.html
"""

import re
from typing import Any

_NUMBER = re.compile(r"-?\d+(\.\d+)?")


def check(template: dict[str, Any], values: dict[str, Any], given: set[str]) -> None:
    """Check the values that an operation would use.

    Args:
        template: parsed.
        values: name to {"Value": ...}, defaults and previous values included.
        given: names that the request gives.

    Raises:
        ValueError: a parameter is not in the template, or not as it or a rule wants it.
    """
    definitions = template.get("Parameters", {})
    unknown = sorted(given - definitions.keys())
    if unknown:
        raise ValueError(f"Parameters: [{', '.join(unknown)}] do not exist in the template")
    for name, definition in definitions.items():
        why = _violation(definition, str(values[name]["Value"]))
        if why:
            raise ValueError(f"Parameter {name} failed to satisfy constraint: {why}")
    for name, rule in template.get("Rules", {}).items():
        if not _holds(rule.get("RuleCondition", True), values):
            continue
        for assertion in rule["Assertions"]:
            if not _holds(assertion["Assert"], values):
                text = assertion.get("AssertDescription", name)
                raise ValueError(f"Template error: rule {name} failed: {text}")


def _violation(definition: dict[str, Any], value: str) -> str:
    pattern = str(definition.get("AllowedPattern", ".*"))
    # Java's classes of Unicode, as far as our templates use them.
    pattern = pattern.replace(r"\p{L}\p{N}", r"\w")
    if not re.fullmatch(pattern, value, re.S):
        return str(definition.get("ConstraintDescription", f"must match pattern {pattern}"))
    if not definition.get("MinLength", 0) <= len(value) <= definition.get("MaxLength", 1 << 20):
        return "its length"
    if definition.get("Type") == "Number":
        low, high = definition.get("MinValue", "-inf"), definition.get("MaxValue", "inf")
        if not _NUMBER.fullmatch(value) or not float(low) <= float(value) <= float(high):
            return f"must be a number from {low} to {high}"
    return ""


def _holds(expression: Any, values: dict[str, Any]) -> bool:
    if not isinstance(expression, dict):
        return str(expression).lower() == "true"
    [(function, arguments)] = expression.items()
    if function == "Fn::Not":
        return not _holds(arguments[0], values)
    if function == "Fn::And":
        return all(_holds(item, values) for item in arguments)
    if function == "Fn::Or":
        return any(_holds(item, values) for item in arguments)
    if function == "Fn::Equals":
        left, right = (_value(item, values) for item in arguments)
        return left == right
    if function == "Fn::Contains":
        return _value(arguments[1], values) in [_value(item, values) for item in arguments[0]]
    raise ValueError(f"Template error: the test bed knows no rule function {function}")


def _value(item: Any, values: dict[str, Any]) -> str:
    if isinstance(item, dict):
        return str(values[item["Ref"]]["Value"])
    return str(item)
