"""``orchestrator.yaml``: the sizes of a run that Fargate has are taken, the others are refused."""

import json
from pathlib import Path
from typing import Any

import pytest
from cfnlint.decode import decode

pytestmark = pytest.mark.unit

PATH = Path(__file__).parents[3] / "cloudformation" / "orchestrator.yaml"
TEMPLATE: dict[str, Any] = json.loads(json.dumps(decode(str(PATH))[0]))
GIB_OF_FARGATE = {"512": (1, 4), "1024": (2, 8), "2048": (4, 16), "4096": (8, 30)}
"""https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-cpu-memory-error.html"""


def holds(condition: Any, given: dict[str, str]) -> bool:
    if "Fn::Not" in condition:
        return not holds(condition["Fn::Not"][0], given)
    left, right = condition["Fn::Equals"]
    return given[left["Ref"]] == right


def refused(given: dict[str, str]) -> list[str]:
    rules = [rule for rule in TEMPLATE["Rules"].values() if "RunCpu" in str(rule["RuleCondition"])]
    assert rules
    return [
        assertion["AssertDescription"]
        for rule in rules
        if holds(rule["RuleCondition"], given)
        for assertion in rule["Assertions"]
        if not holds(assertion["Assert"], given)
    ]


@pytest.mark.parametrize("cpu", TEMPLATE["Parameters"]["RunCpu"]["AllowedValues"])
@pytest.mark.parametrize("memory", TEMPLATE["Parameters"]["RunMemoryMB"]["AllowedValues"])
def test_a_run_has_a_size_that_fargate_has(cpu: str, memory: str) -> None:
    least, most = GIB_OF_FARGATE[cpu]

    answer = refused({"RunCpu": cpu, "RunMemoryMB": memory})

    assert (not answer) == (least * 1024 <= int(memory) <= most * 1024)
    assert all(f"RunCpu {cpu} " in line for line in answer)
