"""Contract of the endpoint host port, run against each of its adapters."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

import pytest

from resources.endpoints.endpoint_host import DeploymentFailed, Endpoints
from serving.deployments import Deployment, DeploymentRecord, record_key
from serving.endpoint.client import InvocationFailed
from tests.contract.resources.endpoints.endpoint_shops import (
    LocalShop,
    Shop,
    local_shop,
    picture,
    sagemaker_shop,
)
from tests.patience import WAIT_S
from tests.testbed.account import role
from tests.testbed.bed import TestBed
from training.artefact.artefact import digest as digest_of
from training.artefact.artefact import pack, unpack, write_manifest

pytestmark = pytest.mark.contract


@pytest.fixture(params=["local", "sagemaker"])
def shop(
    request: pytest.FixtureRequest, tmp_path: Path, publish_model: Callable[..., tuple[str, str]]
) -> Iterator[Shop]:
    if request.param == "local":
        made: Shop = local_shop(tmp_path, publish_model)
    else:
        made = sagemaker_shop(tmp_path, publish_model, request.getfixturevalue("aws_with_stacks"))
    with made.running():
        yield made


def test_a_deployment_is_done_when_it_answers(shop: Shop) -> None:
    assert shop.endpoints.describe("prod").status == "NotFound"
    assert shop.endpoints.current("prod") is None
    assert shop.endpoints.history("prod") == []
    digest = shop.model("train-1")
    status = shop.deploy("prod", "train-1")
    assert shop.answering() == "train-1"
    assert (status.status, status.digest, status.name) == (
        "InService",
        digest,
        f"{shop.project}-prod",
    )
    assert status == shop.endpoints.describe("prod")
    record = shop.endpoints.current("prod")
    assert record is not None
    assert (record.deployed_by, record.reason, record.run_id) == ("ann", "because", "run-1")
    assert (record.digest, record.created_at) == (digest, status.since)
    assert shop.endpoints.describe("staging").status == "NotFound", "stages are apart"


def test_repeating_a_deployment_writes_nothing(shop: Shop) -> None:
    shop.model("train-1")
    assert shop.deploy("prod", "train-1") == shop.deploy("prod", "train-1")
    assert len(shop.endpoints.history("prod")) == 1


def test_a_deployment_killed_after_its_record_is_taken_up(shop: Shop) -> None:
    digest = shop.model("train-1")
    record = DeploymentRecord.at(
        time.time_ns() // 1_000_000,
        stage="prod",
        model_version="train-1",
        digest=digest,
        model_key="models/train-1/output/model.tar.gz",
        deployed_by="killed",
        reason="",
    )
    shop.store.put(record_key(record), record.model_dump_json().encode())
    assert shop.deploy("prod", "train-1").digest == digest
    assert shop.endpoints.history("prod") == [record]


def test_back_and_forth_keeps_a_history_in_order_whatever_the_clock_says(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.model("train-1")
    shop.model("train-2")
    now = time.time_ns()
    clock = iter(range(now, 0, -60_000_000_000))
    monkeypatch.setattr("resources.endpoints.endpoint_host.time.time_ns", lambda: next(clock))
    for version in ("train-1", "train-2", "train-1"):
        shop.deploy("prod", version)
        assert shop.answering() == version
    history = shop.endpoints.history("prod")
    assert [record.model_version for record in history] == ["train-1", "train-2", "train-1"]


def without_a_graph(shop: Shop, key: str, scratch: Path) -> str:
    """Replace the model by one whose graph is garbage, under a manifest that fits; its digest."""
    archive, folder = scratch / "model.tar.gz", scratch / "unpacked"
    archive.write_bytes(shop.store.get(key))
    manifest = unpack(archive, folder)
    (folder / "model.onnx").write_bytes(b"garbage")
    write_manifest(folder, **manifest.model_dump(exclude={"members"}))
    pack(folder, archive)
    shop.replace(key, archive.read_bytes())
    return digest_of(folder)


def test_a_model_that_cannot_be_served_leaves_the_former(shop: Shop, tmp_path: Path) -> None:
    good = shop.model("train-1")
    shop.deploy("prod", "train-1")
    flaws = ("missing", "damaged", "another", "does not predict")
    with ExitStack() as hosts:
        for number, flaw in enumerate(flaws, start=2):
            cannot_be_served(shop, f"train-{number}", flaw, tmp_path / flaw)
            newest, failed, *_ = shop.endpoints.history("prod")
            assert (failed.model_version, newest.digest) == (f"train-{number}", good)
            assert newest.reason.startswith(f"rolled back: train-{number} cannot be served")
            if isinstance(shop, LocalShop):
                shop.kill()
            hosts.enter_context(shop.running())
            status = shop.endpoints.describe("prod")
            assert (status.status, status.model_version) == ("InService", "train-1")


def cannot_be_served(shop: Shop, version: str, flaw: str, scratch: Path) -> None:
    """A model with a flaw is refused, and train-1 goes on."""
    scratch.mkdir()
    key = f"models/{version}/output/model.tar.gz"
    if flaw != "missing":
        shop.model(version)
    if flaw == "damaged":
        shop.replace(key, shop.store.get(key)[:-200])
    if flaw == "another":
        shop.replace(key, shop.store.get("models/train-1/output/model.tar.gz"))
    if flaw == "does not predict":
        shop.digests[version] = without_a_graph(shop, key, scratch)
    with pytest.raises(
        DeploymentFailed, match=rf"(?s){version} cannot be served on prod.*train-1 goes on"
    ):
        shop.deploy("prod", version)
    assert shop.answering() == "train-1"


def test_a_first_deployment_that_fails_serves_nothing_and_blocks_nothing(shop: Shop) -> None:
    with pytest.raises(DeploymentFailed, match="nothing was served there before"):
        shop.deploy("prod", "train-1")
    assert shop.endpoints.describe("prod").status == "Failed"
    with pytest.raises(InvocationFailed, match="train-1|serves no model") as refused:
        shop.answering()
    assert (refused.value.status, refused.value.code) == (503, "no_model")
    shop.model("train-2")
    assert shop.deploy("prod", "train-2").status == "InService"


def test_an_overtaken_deployment_says_by_whom_and_rolls_nothing_back(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.model("train-1")
    shop.model("train-2")

    def two_at_once(self: Endpoints, deployment: Deployment) -> DeploymentRecord:
        mine = DeploymentRecord.of(deployment, time.time_ns() // 1_000_000)
        theirs = mine.model_copy(
            update={
                "created_at": mine.created_at + timedelta(milliseconds=1),
                "model_version": "train-2",
                "digest": shop.digests["train-2"],
                "model_key": "models/train-2/output/model.tar.gz",
                "deployed_by": "bob",
            }
        )
        for record in (theirs, mine):
            self.store.put(record_key(record), record.model_dump_json().encode())
        return mine

    with monkeypatch.context() as patched:
        patched.setattr(Endpoints, "_write", two_at_once)
        with pytest.raises(
            DeploymentFailed, match="superseded on prod by train-2, deployed by bob"
        ):
            shop.deploy("prod", "train-1")
    if isinstance(shop, LocalShop):
        shop.endpoints.settled("prod", time.monotonic() + WAIT_S)
    else:  # where nobody but the deployer carries a record out
        shop.deploy("prod", "train-2")
    assert shop.answering() == "train-2"
    assert len(shop.endpoints.history("prod")) == 2


# --- SageMaker only ---------------------------------------------------------------------------


@pytest.fixture
def on_sagemaker(
    tmp_path: Path, publish_model: Callable[..., tuple[str, str]], aws_with_stacks: TestBed
) -> Shop:
    return sagemaker_shop(tmp_path, publish_model, aws_with_stacks)


def test_what_is_served_and_not_recorded_is_drift_and_deploying_again_mends_it(
    on_sagemaker: Shop, bed: TestBed
) -> None:
    shop, client = on_sagemaker, bed.client("sagemaker")
    shop.model("train-1")
    shop.deploy("staging", "train-1")
    name = f"{shop.project}-staging"
    first = client.describe_endpoint(EndpointName=name)["EndpointConfigName"]
    shop.model("train-2")
    shop.deploy("staging", "train-2")
    by_hand = client.describe_endpoint_config(
        EndpointConfigName=client.describe_endpoint(EndpointName=name)["EndpointConfigName"]
    )
    model = client.describe_model(ModelName=by_hand["ProductionVariants"][0]["ModelName"])
    container = {
        **model["PrimaryContainer"],
        "ModelDataUrl": shop.store.uri("models/train-1/output/model.tar.gz"),
        "Environment": {
            **model["PrimaryContainer"]["Environment"],
            "IMGCLF_MODEL_VERSION": "train-1",
            "IMGCLF_DIGEST": shop.digests["train-1"],
        },
    }
    client.create_model(
        ModelName=f"{name}-hand", PrimaryContainer=container, ExecutionRoleArn=role("endpoints")
    )
    variant = {**by_hand["ProductionVariants"][0], "ModelName": f"{name}-hand"}
    client.create_endpoint_config(EndpointConfigName=f"{name}-hand", ProductionVariants=[variant])
    client.update_endpoint(EndpointName=name, EndpointConfigName=f"{name}-hand")
    status = shop.endpoints.settled("staging", time.monotonic() + WAIT_S)
    assert first != f"{name}-hand"
    assert (status.status, status.model_version) == ("Failed", "train-1")
    assert "drift: train-2" in str(status.failure_reason)
    messages: list[str] = []
    mended = shop.deploy("staging", "train-2", on_event=messages.append)
    assert (mended.status, mended.model_version) == ("InService", "train-2")
    assert any("changed outside its stack" in line for line in messages)
    assert len(shop.endpoints.history("staging")) == 2


def test_a_rollback_that_nobody_speaks_of_is_a_failed_deployment(
    on_sagemaker: Shop, bed: TestBed
) -> None:
    shop = on_sagemaker
    shop.model("train-1")
    shop.deploy("prod", "train-1")
    digest = shop.model("train-2")
    name = f"{shop.project}-prod"
    bed.fault("UpdateEndpoint", "silent_rollback", endpoint=name)
    with pytest.raises(DeploymentFailed, match=r"(?s)train-2.*train-1 goes on"):
        shop.deploy("prod", "train-2")
    assert shop.answering() == "train-1"
    newest = shop.endpoints.current("prod")
    assert newest is not None
    assert newest.model_version == "train-1"
    # The stack is as wanted already; so the endpoint itself is told, as carefully as the stack does.
    assert shop.deploy("prod", "train-2").digest == digest
    assert shop.answering() == "train-2"
    asked = [
        call for call in bed.calls("UpdateEndpoint") if call["request"]["EndpointName"] == name
    ]
    first, again = (call["request"]["DeploymentConfig"] for call in asked)
    assert again == first
    assert len(again["AutoRollbackConfiguration"]["Alarms"]) == 2


def test_the_change_set_and_the_events_are_reported(on_sagemaker: Shop) -> None:
    on_sagemaker.model("train-1")
    messages: list[str] = []
    on_sagemaker.deploy("staging", "train-1", on_event=messages.append)
    assert any("AWS::SageMaker::EndpointConfig" in line for line in messages), messages
    assert any("CREATE_COMPLETE" in line for line in messages), messages


def test_what_the_endpoint_refuses_comes_back_as_the_containers_own_words(
    on_sagemaker: Shop,
) -> None:
    shop = on_sagemaker
    with pytest.raises(InvocationFailed) as nobody:
        shop.answering("staging")
    assert (nobody.value.status, nobody.value.code) == (503, "no_model")
    shop.model("train-1")
    shop.deploy("staging", "train-1")
    with pytest.raises(InvocationFailed, match="cannot be read") as refused:
        shop.endpoints.invoke("staging", b"no image", "image/png")
    assert (refused.value.status, refused.value.code) == (400, "unreadable_image")
    answer = shop.endpoints.invoke("staging", picture(), "image/png", top_k=1)
    assert len(answer["predictions"][0]["labels"]) == 1
