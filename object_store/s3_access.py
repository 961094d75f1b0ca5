"""Access to S3 for both obstore and boto3: credentials, region, encryption and retries."""

import os
import threading
from collections.abc import Hashable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from obstore.store import ObjectStore as AnyStore

from object_store.boto3_sessions import new_session
from object_store.errors import Refusal, refusal_of

_EXPLICIT = (
    "AWS_ACCESS_KEY_ID",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
)
"""Variables of credentials that obstore reads itself. boto3 finds the others: ``~/.aws``, SSO, and
the roles of EC2 instances and of EKS pods."""

_CREDENTIALS_TTL = timedelta(minutes=5)
"""Time after which obstore asks boto3 again for credentials; botocore renews a role's credentials
ten minutes before their expiry."""

_Pairs = tuple[tuple[str, str], ...]

MAX_ATTEMPTS = 8
"""Tries of a request that fails at S3 or in the network, with exponential backoff and jitter."""

_BACKOFF: Any = {
    "init_backoff": timedelta(milliseconds=100),
    "max_backoff": timedelta(seconds=5),
    "base": 2,
}
_CLIENT: Any = {
    "connect_timeout": timedelta(seconds=5),
    "read_timeout": timedelta(seconds=60),
    "timeout": timedelta(seconds=300),  # of a whole request of at most PART_BYTES
    "user_agent": "imgclf-dagster",
}


class S3Access:
    """One bucket, or a prefix in it, for obstore and boto3."""

    def __init__(
        self,
        url: str,
        *,
        region: str = "",
        profile_name: str = "",
        kms_key_arn: str = "",
        options: Mapping[str, str] | None = None,
    ) -> None:
        """Prepare; sends no request.

        Args:
            url: ``s3://bucket/prefix``.
            region: of the bucket; "" for the region of the environment or the profile.
            profile_name: a profile of ``~/.aws/config``; "" for the usual search.
            kms_key_arn: of the key for new objects; "" for the bucket's default encryption.
            options: more options of obstore's S3Store; boto3 uses an ``endpoint``, too.
        """
        parts = urlsplit(url)
        self.bucket, self.prefix = parts.netloc, parts.path.strip("/")
        self._region, self._profile = region, profile_name
        self._kms_key, self._options = kms_key_arn, dict(options or {})
        self._lock = threading.Lock()
        self._store: AnyStore | None = None

    def full(self, key: str) -> str:
        """Return the key inside the bucket."""
        return f"{self.prefix}/{key}" if self.prefix else key

    @property
    def encryption(self) -> dict[str, Any]:
        """Arguments of boto3's calls that make an object."""
        if not self._kms_key:
            return {}
        return {
            "ServerSideEncryption": "aws:kms",
            "SSEKMSKeyId": self._kms_key,
            "BucketKeyEnabled": True,
        }

    @property
    def store(self) -> AnyStore:
        """obstore's store, opened at first use. Raises Refusal if there are no credentials."""
        with self._lock:
            if self._store is None:
                self._store = self._open()
            return self._store

    @property
    def client(self) -> Any:
        """boto3's client. Its timestamps are text: reading them doubles the time of a listing."""
        with translated_errors():
            endpoint = self._options.get("endpoint")
            return _client(self._region, self._profile, endpoint, MAX_ATTEMPTS, aws_variables())

    def _open(self) -> AnyStore:
        from obstore.store import S3Store

        config: Any = {**self._options}
        if self._region:
            config["region"] = self._region
        if self._kms_key:
            config["server_side_encryption"] = "aws:kms"
            config["sse_kms_key_id"] = self._kms_key
            config["sse_bucket_key_enabled"] = True
        return S3Store(
            self.bucket,
            prefix=self.prefix or None,
            config=config,
            client_options={**_CLIENT, "allow_http": self._is_plain_http()},
            retry_config={
                "max_retries": MAX_ATTEMPTS - 1,
                "backoff": _BACKOFF,
                "retry_timeout": timedelta(seconds=40),  # a sensor's tick has 60 s
            },
            credential_provider=self._credentials(),
        )

    def _is_plain_http(self) -> bool:
        """Whether the endpoint is plain HTTP, which obstore refuses unless it is allowed."""
        names = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
        found = [self._options.get("endpoint"), *(os.environ.get(name) for name in names)]
        return next((url for url in found if url), "").startswith("http://")

    def _credentials(self) -> Any:
        """Return boto3's credentials for obstore; ``None`` if obstore finds the same ones itself.

        Raises:
            Refusal: boto3 finds no credentials.
        """
        if not self._profile and any(os.environ.get(name) for name in _EXPLICIT):
            return None
        from obstore.auth.boto3 import Boto3CredentialProvider

        with translated_errors():
            session = _session(self._region, self._profile, aws_variables())
            if session.get_credentials() is None:
                raise Refusal("NoCredentials", "boto3 found none")
            return Boto3CredentialProvider(session, ttl=_CREDENTIALS_TTL)


def shared_access(url: str, *, options: Mapping[str, str], **fields: str) -> S3Access:
    """Return the :class:`S3Access` with these arguments, made once per process.

    Args:
        url: ``s3://bucket/prefix``.
        options: as of :class:`S3Access`.
        fields: the other arguments of :class:`S3Access`.
    """
    # Dagster creates a store again for each tick of a sensor, and creating its clients takes longer
    # than most requests.
    named = (*sorted(options.items()),), (*sorted(fields.items()),)
    return _access(url, *named, MAX_ATTEMPTS, aws_variables())


@lru_cache(maxsize=16)
def _access(
    url: str, options: _Pairs, fields: _Pairs, attempts: int, variables: Hashable
) -> S3Access:
    return S3Access(url, options=dict(options), **dict(fields))


@lru_cache(maxsize=8)
def _session(region: str, profile: str, variables: Hashable) -> Any:
    # obstore reads AWS_REGION, botocore only AWS_DEFAULT_REGION.
    named = region or os.environ.get("AWS_REGION", "")
    session = new_session(region=named, profile_name=profile)
    parsers = session._session.get_component("response_parser_factory")
    parsers.set_parser_defaults(timestamp_parser=lambda text: text)
    return session


@lru_cache(maxsize=8)
def _client(
    region: str, profile: str, endpoint: str | None, attempts: int, variables: Hashable
) -> Any:
    from botocore.config import Config

    config = Config(
        retries={"mode": "standard", "total_max_attempts": attempts},
        connect_timeout=5,
        read_timeout=60,
        max_pool_connections=16,
        user_agent_extra="imgclf-dagster",
    )
    session = _session(region, profile, variables)
    return session.client("s3", endpoint_url=endpoint, config=config)


def aws_variables() -> Hashable:
    """Return the ``AWS_*`` environment variables, as part of the key of cached clients."""
    return tuple(sorted(item for item in os.environ.items() if item[0].startswith("AWS_")))


@contextmanager
def translated_errors() -> Iterator[None]:
    """Convert boto3's errors to Refusal."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise refusal_of(error) from error
