"""Errors of CloudFormation stacks, and the remedy for each status that blocks updates."""

from errors.base import ImgclfError


class StackError(ImgclfError, RuntimeError):
    """A stack could not be deployed; the message names the stack and the remedy."""


class StackBusy(StackError):
    """Another operation on the stack is running."""


class PlanOutdated(StackError):
    """The stack was changed after the plan was made; nothing was executed."""


class StackTimeout(StackError):
    """The operation did not end in time. It continues; deploying again waits for it."""


class StackFailed(StackError):
    """An operation on a stack did not succeed. The message has the first reason and the remedy.

    Attributes:
        stack: name of the stack.
        status: in which the operation ended, such as UPDATE_ROLLBACK_COMPLETE.
        logical_id: of the resource that failed first; "" if none is known.
        reason: CloudFormation's text.
    """

    def __init__(self, stack: str, status: str, logical_id: str = "", reason: str = "") -> None:
        self.stack, self.status, self.logical_id, self.reason = stack, status, logical_id, reason
        what = f"{logical_id}: {reason}" if logical_id else reason or "no reason is given"
        remedy = remedies(stack).get(status, "fix the cause, then deploy again")
        super().__init__(f"stack {stack} ended in {status}: {what}. Remedy: {remedy}")


def remedies(stack: str) -> dict[str, str]:
    """Return the remedies for a stack that accepts no update, by its status."""
    cli = "aws cloudformation"
    return {
        "UPDATE_ROLLBACK_FAILED": (
            "fix what stopped the rollback, then "
            f"{cli} continue-update-rollback --stack-name {stack}"
        ),
        "ROLLBACK_FAILED": (
            f"{cli} delete-stack --stack-name {stack}, then deploy again; its events name what "
            "cannot be deleted"
        ),
        "CREATE_FAILED": f"{cli} delete-stack --stack-name {stack}, then deploy again",
        "DELETE_FAILED": (
            f"{cli} delete-stack --stack-name {stack} --retain-resources <those that its events "
            "name>, then deploy again"
        ),
    }
