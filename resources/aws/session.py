"""One way to AWS for every adapter: region, retries and timeouts decided once."""

import threading
from typing import Any

import dagster as dg
from pydantic import PrivateAttr

MAX_ATTEMPTS = 8
"""Tries of a throttled or failed call, with exponential backoff and jitter: botocore's standard
mode (https://docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html)."""


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

    _clients: dict[str, Any] = PrivateAttr(default_factory=dict)
    _lock: Any = PrivateAttr(default_factory=threading.Lock)

    def client(self, service: str) -> Any:
        """The client of ``service`` (boto3's name of it), made at first use; safe for threads.

        Raises:
            botocore.exceptions.NoRegionError: no region is set anywhere.
        """
        with self._lock:
            if service not in self._clients:
                import boto3
                from botocore.config import Config

                session = boto3.Session(
                    region_name=self.region or None, profile_name=self.profile_name or None
                )
                config = Config(
                    retries={"mode": "standard", "total_max_attempts": self.max_attempts},
                    connect_timeout=5,
                    read_timeout=self.read_timeout_s,
                    user_agent_extra="imgclf-dagster",
                )
                self._clients[service] = session.client(service, config=config)  # type: ignore[call-overload]
            return self._clients[service]
