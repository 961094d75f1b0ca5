"""boto3 clients for all adapters: region, retries and timeouts are set in one place."""

import threading
from collections.abc import Hashable
from typing import Any

import dagster as dg

from object_store.boto3_sessions import new_session
from object_store.s3_access import aws_variables

MAX_ATTEMPTS = 8
"""Tries of a throttled or failed call, with exponential backoff and jitter: botocore's standard
mode (https://docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html)."""


_CLIENTS: dict[Hashable, Any] = {}
_SESSIONS: dict[Hashable, Any] = {}
_LOCK = threading.Lock()


_CONNECTIONS = 20
"""HTTP connections that each client keeps open; more threads than this would open new ones."""


class AwsSession(dg.ConfigurableResource):
    """Clients of one account and region; credentials are those that boto3 finds.

    ``AWS_ENDPOINT_URL`` and ``AWS_ENDPOINT_URL_<SERVICE>`` lead elsewhere, as for every AWS tool.

    Attributes:
        region: such as ``eu-central-1``; "" for what the environment or the profile says.
        profile_name: a profile of ``~/.aws/config``; "" for the default.
        max_attempts: tries of each call.
        read_timeout_s: seconds to wait for an answer.
    """

    region: str = ""
    profile_name: str = ""
    max_attempts: int = MAX_ATTEMPTS
    read_timeout_s: float = 60

    def client(self, service: str) -> Any:
        """Return the boto3 client of ``service``, made once per process; safe for threads.

        Raises:
            botocore.exceptions.NoRegionError: no region is set.
        """
        # Not once per resource: Dagster creates the resources again for each tick of a sensor, and
        # creating a client takes longer than most calls.
        account = (self.region, self.profile_name, aws_variables())
        made_for = (service, *self.model_dump().values(), aws_variables())
        with _LOCK:
            if made_for not in _CLIENTS:
                from botocore.config import Config

                # One for all services: it finds the credentials once.
                if account not in _SESSIONS:
                    _SESSIONS[account] = new_session(
                        region=self.region, profile_name=self.profile_name
                    )
                config = Config(
                    retries={"mode": "standard", "total_max_attempts": self.max_attempts},
                    connect_timeout=5,
                    read_timeout=self.read_timeout_s,
                    max_pool_connections=_CONNECTIONS,
                    user_agent_extra="imgclf-dagster",
                )
                _CLIENTS[made_for] = _SESSIONS[account].client(service, config=config)
            return _CLIENTS[made_for]
