"""An AWS account as ``cloudformation/foundation.yaml`` makes it, and a doctor who looks at it."""

import json
from dataclasses import dataclass, field
from typing import Any

import pytest

from imgclf_dagster.doctor.aws import examine_aws
from imgclf_dagster.doctor.findings import Finding
from imgclf_dagster.settings.root import Settings, load_settings
from tests.testbed.bed import TestBed
from tests.testbed.foundation import Foundation


@dataclass
class World:
    """An account, and somebody who looks at it."""

    bed: TestBed
    monkeypatch: pytest.MonkeyPatch
    account: Foundation
    aws: dict[str, Any] = field(default_factory=dict)

    def settings(self, **aws: Any) -> Settings:
        """The line's, with changes in section ``[aws]``."""
        return load_settings(profile="aws", project=self.account.project, aws=self.aws | aws)

    def looks(self) -> list[Finding]:
        """The doctor's findings."""
        return examine_aws(self.settings())

    def finding(self, what: str) -> Finding:
        """The one about a thing."""
        return next(finding for finding in self.looks() if finding.what == what)

    def ill(self) -> list[tuple[str, str]]:
        """What is not well."""
        return [(f.what, f.health) for f in self.looks() if f.health != "ok"]

    def only(self, what: str, health: str) -> Finding:
        """The one thing that is not well; asserts that it is the only one, and has a remedy."""
        ill = [finding for finding in self.looks() if finding.health != "ok"]
        assert [(finding.what, finding.health) for finding in ill] == [(what, health)], ill
        assert ill[0].remedy
        return ill[0]

    def client(self, service: str) -> Any:
        """The administrator's."""
        return self.bed.client(service)

    def as_administrator(self) -> None:
        """Look with the test bed's own keys, which may do everything."""
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            self.monkeypatch.setenv(name, "testing")
        self.monkeypatch.delenv("AWS_SESSION_TOKEN")

    def refused(self, operation: str, code: str, message: str, status: int = 400) -> None:
        self.bed.fault(operation, "refused", times=-1, code=code, message=message, status=status)

    def without(self, role: str, *actions: str) -> None:
        """Deny actions to a role, as an administrator might."""
        statement = {"Effect": "Deny", "Action": actions, "Resource": "*"}
        self.client("iam").put_role_policy(
            RoleName=self.account.made[role][0],
            PolicyName="denied",
            PolicyDocument=policy_of(statement),
        )


def policy_of(*statements: dict[str, Any]) -> str:
    """A policy document."""
    return json.dumps({"Version": "2012-10-17", "Statement": statements})
