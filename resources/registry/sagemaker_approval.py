"""Approval decisions in SageMaker's ``ApprovalDescription``.

It is one line of at most 1,024 characters; ours is JSON, so that approver, reason and time are
written by the call that changes the status. After a decision in the console it has free text, or
our text of an earlier decision: then approver and time are those of the package's last change.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from resources.registry.registry import ApprovalStatus, RegistryError

_MAX_CHARACTERS = 1024


@dataclass(frozen=True)
class Decision:
    """A decision about a package; without approver and time if nobody has decided.

    Attributes:
        status: of the package.
        approver: name; "" if unknown.
        reason: as given by the approver.
        changed_at: time of the decision.
        number: of the decision in this registry; 0 for one made in SageMaker.
    """

    status: ApprovalStatus
    approver: str = ""
    reason: str = ""
    changed_at: datetime | None = None
    number: int = 0


def decision_text(decision: Decision) -> str:
    """Convert a decision to an ``ApprovalDescription``.

    Raises:
        RegistryError: name and reason are too long together.
    """
    text = json.dumps(
        {
            "status": decision.status,
            "by": decision.approver,
            "reason": decision.reason,
            "at": decision.changed_at.isoformat() if decision.changed_at else "",
            "number": decision.number,
        },
        ensure_ascii=False,
    )
    if len(text) > _MAX_CHARACTERS:
        raise RegistryError(
            f"the decision is {len(text)} characters long and SageMaker keeps {_MAX_CHARACTERS}: "
            "shorten the reason"
        )
    return text


def decision_of(described: Mapping[str, Any]) -> Decision:
    """Read the decision from an answer of DescribeModelPackage."""
    status: ApprovalStatus = described.get("ModelApprovalStatus", "PendingManualApproval")
    text = described.get("ApprovalDescription", "")
    if status == "PendingManualApproval":
        return Decision(status)
    try:
        ours = json.loads(text)
        number = int(ours.get("number", 0))
        decided = Decision(ours["status"], ours["by"], ours["reason"], _moment(ours["at"]), number)
    except (ValueError, KeyError, TypeError, AttributeError):
        decided = None
    if decided is not None and decided.status == status:
        return decided
    reason = text if decided is None else ""  # ours is about another status
    return Decision(status, _person(described), reason, described.get("LastModifiedTime"))


def _person(described: Mapping[str, Any]) -> str:
    """Return who last changed the package: a Studio user, or the IAM principal."""
    user = described.get("LastModifiedBy", {})
    identity = user.get("IamIdentity", {})
    name: str = user.get("UserProfileName") or identity.get("Arn") or ""
    return name.rpartition("/")[2]


def _moment(text: str) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
