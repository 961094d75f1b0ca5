"""boto3's sessions and clients: made once, and not shared between accounts."""

from typing import Any

import pytest

from object_store.boto3_sessions import new_session
from resources.aws import session as session_module
from resources.aws.session import AwsSession


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The arguments of every session that is made; the environment names a key and a region."""
    monkeypatch.setattr(session_module, "_CLIENTS", {})
    monkeypatch.setattr(session_module, "_SESSIONS", {})
    for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY"):
        monkeypatch.setenv(f"AWS_{name}", "mine")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    seen: list[dict[str, Any]] = []

    def noted(**arguments: Any) -> Any:
        seen.append(arguments)
        return new_session(**arguments)

    monkeypatch.setattr(session_module, "new_session", noted)
    return seen


def test_all_services_of_an_account_have_one_session(made: list[dict[str, Any]]) -> None:
    clients = [AwsSession(region="eu-west-1").client(name) for name in ("sqs", "logs", "sqs")]
    assert clients[0] is clients[2]
    assert {client.meta.region_name for client in clients} == {"eu-west-1"}
    assert made == [{"region": "eu-west-1", "profile_name": ""}]


def test_other_credentials_or_another_region_have_a_session_of_their_own(
    made: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = AwsSession().client("sqs")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "another")
    second = AwsSession().client("sqs")
    third = AwsSession(region="eu-west-1").client("sqs")
    keys = [client._request_signer._credentials.access_key for client in (first, second, third)]
    assert keys == ["mine", "another", "another"]
    assert third.meta.region_name == "eu-west-1"
    assert len(made) == 3


def test_what_botocore_knows_of_the_services_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    loaders = [new_session()._session.get_component("data_loader") for _ in range(2)]
    assert loaders[0] is loaders[1]
    monkeypatch.setenv("AWS_DATA_PATH", "/elsewhere")
    elsewhere = new_session()._session.get_component("data_loader")
    assert elsewhere is not loaders[0]
    assert "/elsewhere" in elsewhere.search_paths
