"""boto3 sessions that read botocore's descriptions of the AWS services once per process."""

from functools import lru_cache
from typing import Any


def new_session(*, region: str = "", profile_name: str = "") -> Any:
    """Return a new boto3 session.

    Args:
        region: "" for what the environment or the profile says.
        profile_name: a profile of ``~/.aws/config``; "" for the default.
    """
    import boto3
    import botocore.session

    core = botocore.session.Session(profile=profile_name or None)
    # By default every session parses these files again: 50 to 80 ms of CPU before its first client.
    core.register_component("data_loader", _loader(core.get_config_variable("data_path")))
    return boto3.Session(botocore_session=core, region_name=region or None)


@lru_cache(maxsize=4)
def _loader(data_path: str | None) -> Any:
    from botocore.loaders import create_loader

    return create_loader(data_path)
