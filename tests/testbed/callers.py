"""Who calls: the identity that SageMaker keeps as CreatedBy and LastModifiedBy."""

from typing import Any

from tests.testbed.state import ACCOUNT, State


def caller(state: State) -> dict[str, Any]:
    """UserContext of the request that this thread answers, as STS would name its caller."""
    arn = _arn(getattr(state.request, "access_key", ""))
    return {"IamIdentity": {"Arn": arn, "PrincipalId": arn.rpartition("/")[2]}}


def _arn(access_key: str) -> str:
    from moto.iam.models import iam_backends
    from moto.sts.models import sts_backends

    role = sts_backends[ACCOUNT]["aws"].get_assumed_role_from_access_key(access_key)
    if role is not None:
        return role.arn
    user = iam_backends[ACCOUNT]["aws"].get_user_from_access_key_id(access_key)
    return user.arn if user is not None else f"arn:aws:sts::{ACCOUNT}:user/moto"
