"""Contract of the endpoint host port, run against each of its adapters."""

import io
import os
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import httpx
import psutil
import pytest
from PIL import Image

from resources.endpoint_host import DeploymentFailed, HostUnavailable
from resources.local_endpoints import LocalEndpointHost, running_host
from resources.object_store import ObjectStore
from serving.address import Address, read_address
from serving.client import InvocationFailed
from serving.deployments import DeploymentRecord, EndpointStatus, Stage, record_key
from serving.launch import HostNotStarted
from training.artefact import digest as digest_of
from training.artefact import pack, unpack, write_manifest

pytestmark = pytest.mark.contract

START_S = 60.0


def picture(colour: str = "red", kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (16, 16), colour).save(file, kind)
    return file.getvalue()


@dataclass
class Shop:
    """A store, its port, and models to put into it."""

    folder: Path
    endpoints: LocalEndpointHost
    publish: Callable[..., tuple[str, str]]
    digests: dict[str, str] = field(default_factory=dict)

    @property
    def store_dir(self) -> Path:
        return self.folder / "a störe"

    def model(self, version: str, **fields: object) -> str:
        """Publish a model that no other version equals; its digest."""
        self.digests[version], _ = self.publish(self.store_dir, version, **fields)
        return self.digests[version]

    def deploy(self, stage: Stage, version: str, **fields: str) -> EndpointStatus:
        key = f"models/{version}/output/model.tar.gz"
        given = {"digest": self.digests.get(version, "f" * 64), "model_key": key}
        named = {"deployed_by": "ann", "reason": "because", "run_id": "run-1"}
        return self.endpoints.deploy(stage=stage, model_version=version, **given, **named, **fields)

    def answering(self, stage: Stage = "prod") -> str:
        """The model version that answers, over HTTP."""
        return str(self.endpoints.invoke(stage, picture(), "image/png")["model_version"])

    def running(self) -> "Iterator[str]":
        return running_host(
            self.endpoints, log_file=self.folder / "host.log", start_timeout_s=START_S
        )

    def kill(self) -> None:
        """kill -9 the host; its address file stays behind."""
        process = self.process()
        process.kill()
        process.wait(10)

    def process(self) -> psutil.Process:
        address = read_address(self.endpoints.address_path)
        assert address is not None
        return psutil.Process(address.pid)


def make_shop(folder: Path, publish: Callable[..., tuple[str, str]], port: int = 9) -> Shop:
    (folder / "a störe").mkdir(parents=True)
    store = ObjectStore(url=(folder / "a störe").as_uri())
    store.ensure()
    endpoints = LocalEndpointHost(
        store=store,
        project="shop",
        address_file=str(folder / "run" / "endpoint.json"),
        default_url=f"http://127.0.0.1:{port}",
        deploy_timeout_s=30,
    )
    return Shop(folder, endpoints, publish)


@pytest.fixture(params=["local"])
def closed_shop(tmp_path: Path, publish_model: Callable[..., tuple[str, str]]) -> Shop:
    """No host runs."""
    return make_shop(tmp_path, publish_model)


@pytest.fixture
def shop(closed_shop: Shop) -> Iterator[Shop]:
    with closed_shop.running():
        yield closed_shop


def test_a_deployment_is_done_when_it_answers(shop: Shop) -> None:
    assert shop.endpoints.describe("prod").status == "NotFound"
    assert shop.endpoints.current("prod") is None
    assert shop.endpoints.history("prod") == []
    digest = shop.model("train-1")
    status = shop.deploy("prod", "train-1")
    assert shop.answering() == "train-1"
    assert (status.status, status.digest, status.name) == ("InService", digest, "shop-prod")
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
    shop.endpoints.store.put(record_key(record), record.model_dump_json().encode())
    assert shop.deploy("prod", "train-1").digest == digest
    assert shop.endpoints.history("prod") == [record]


def test_back_and_forth_keeps_a_history_in_order_whatever_the_clock_says(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.model("train-1")
    shop.model("train-2")
    now = time.time_ns()
    clock = iter(range(now, 0, -60_000_000_000))
    monkeypatch.setattr("resources.endpoint_host.time.time_ns", lambda: next(clock))
    for version in ("train-1", "train-2", "train-1"):
        shop.deploy("prod", version)
        assert shop.answering() == version
    history = shop.endpoints.history("prod")
    assert [record.model_version for record in history] == ["train-1", "train-2", "train-1"]


def without_a_graph(archive: Path) -> str:
    """Replace the model by one whose graph is garbage, under a manifest that fits; its digest."""
    folder = archive.with_name("unpacked")
    manifest = unpack(archive, folder)
    (folder / "model.onnx").write_bytes(b"garbage")
    write_manifest(folder, **manifest.model_dump(exclude={"members"}))
    pack(folder, archive)
    return digest_of(folder)


@pytest.mark.parametrize("flaw", ["missing", "damaged", "another", "does not predict"])
def test_a_model_that_cannot_be_served_leaves_the_former(shop: Shop, flaw: str) -> None:
    good = shop.model("train-1")
    shop.deploy("prod", "train-1")
    archive = shop.store_dir / "models/train-2/output/model.tar.gz"
    if flaw != "missing":
        shop.model("train-2")
    if flaw == "damaged":
        archive.write_bytes(archive.read_bytes()[:-200])
    if flaw == "another":
        archive.write_bytes((shop.store_dir / "models/train-1/output/model.tar.gz").read_bytes())
    if flaw == "does not predict":
        shop.digests["train-2"] = without_a_graph(archive)
    with pytest.raises(
        DeploymentFailed, match=r"train-2 cannot be served on prod.*train-1 goes on"
    ):
        shop.deploy("prod", "train-2")
    assert shop.answering() == "train-1"
    newest, failed, _ = shop.endpoints.history("prod")
    assert (failed.model_version, newest.digest) == ("train-2", good)
    assert newest.reason.startswith("rolled back: train-2 cannot be served")
    shop.kill()
    with shop.running():
        status = shop.endpoints.describe("prod")
        assert (status.status, status.model_version) == ("InService", "train-1")


def test_a_first_deployment_that_fails_serves_nothing_and_blocks_nothing(shop: Shop) -> None:
    with pytest.raises(DeploymentFailed, match="nothing was served there before"):
        shop.deploy("prod", "train-1")
    assert shop.endpoints.describe("prod").status == "Failed"
    with pytest.raises(InvocationFailed, match="train-1") as refused:
        shop.answering()
    assert (refused.value.status, refused.value.code) == (503, "no_model")
    shop.model("train-2")
    assert shop.deploy("prod", "train-2").status == "InService"


def test_an_overtaken_deployment_says_by_whom_and_rolls_nothing_back(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.model("train-1")
    shop.model("train-2")

    def two_at_once(self: LocalEndpointHost, stage: Stage, **fields: str) -> DeploymentRecord:
        now_ms = time.time_ns() // 1_000_000
        mine = DeploymentRecord.at(now_ms, stage=stage, **fields)
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
        patched.setattr(LocalEndpointHost, "_write", two_at_once)
        with pytest.raises(DeploymentFailed, match="overtaken on prod by train-2, deployed by bob"):
            shop.deploy("prod", "train-1")
    shop.endpoints.settled("prod", time.monotonic() + 10)
    assert shop.answering() == "train-2"
    assert len(shop.endpoints.history("prod")) == 2


def test_without_a_host_nothing_is_written_and_the_remedy_is_named(closed_shop: Shop) -> None:
    closed_shop.model("train-1")
    for call in (
        lambda: closed_shop.deploy("prod", "train-1"),
        lambda: closed_shop.endpoints.describe("prod"),
        closed_shop.answering,
    ):
        with pytest.raises(HostUnavailable, match="imgclf up"):
            call()
    assert closed_shop.endpoints.history("prod") == []


def test_a_host_of_another_store_is_refused(
    shop: Shop, tmp_path: Path, publish_model: Callable[..., tuple[str, str]]
) -> None:
    url = shop.endpoints.runtime_url()
    other = make_shop(tmp_path / "other", publish_model, port=httpx.URL(url).port or 0)
    other.model("train-1")
    with pytest.raises(HostUnavailable, match=r"serves shop from file.*not shop from file.*other"):
        other.deploy("prod", "train-1")
    assert other.endpoints.history("prod") == []


def test_a_host_that_comes_back_serves_what_was_deployed(closed_shop: Shop) -> None:
    with closed_shop.running():
        closed_shop.model("train-1")
        closed_shop.deploy("prod", "train-1")
        closed_shop.kill()
        with pytest.raises(HostUnavailable):
            closed_shop.answering()
    assert closed_shop.endpoints.current("prod").model_version == "train-1"
    with closed_shop.running() as url:
        assert closed_shop.endpoints.runtime_url() == url
        assert closed_shop.answering() == "train-1"
        own = closed_shop.process()
        with closed_shop.running() as same:
            assert same == url, "the one that is up is used"
        assert closed_shop.answering() == "train-1", "and left alone"
    assert not own.is_running(), "a host of one's own is stopped"
    assert not closed_shop.endpoints.address_path.exists()


def serving_command(shop: Shop, port: int, address_file: Path) -> list[str]:
    return [
        *(sys.executable, "-m", "serving", "--store-url", shop.endpoints.store.url),
        *("--project", "shop", "--port", str(port), "--address-file", str(address_file)),
    ]


def test_a_taken_port_a_second_host_and_a_missing_store_are_said(
    shop: Shop, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        command = serving_command(shop, port, tmp_path / "free.json")
        ended = subprocess.run(
            command, check=False, capture_output=True, text=True, timeout=START_S
        )
        assert ended.returncode == 1
        assert f"127.0.0.1:{port}" in ended.stderr
    command = serving_command(shop, 0, shop.endpoints.address_path)
    ended = subprocess.run(command, check=False, capture_output=True, text=True, timeout=START_S)
    assert ended.returncode == 3
    assert f"running already at {shop.endpoints.runtime_url()}" in ended.stderr
    nowhere = make_shop(tmp_path / "nowhere", shop.publish)
    nowhere.store_dir.rename(tmp_path / "moved")
    with pytest.raises(HostNotStarted, match="nowhere"), nowhere.running():
        pass


def test_a_host_of_ones_own_does_not_outlive_a_killed_parent(closed_shop: Shop) -> None:
    shop = closed_shop.endpoints
    script = (
        "import sys, time; from pathlib import Path; from serving.launch import own_host\n"
        "with own_host(store_url=sys.argv[1], project='shop', address_file=Path(sys.argv[2]),"
        " log_file=Path(sys.argv[3]), start_timeout_s=60): print('up', flush=True); time.sleep(60)"
    )
    arguments = [shop.store.url, shop.address_file, str(closed_shop.folder / "host.log")]
    with subprocess.Popen(
        [sys.executable, "-c", script, *arguments], stdout=subprocess.PIPE
    ) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"up\n"
        orphan = closed_shop.process()
        parent.kill()
    orphan.wait(10)


def test_an_address_of_another_process_with_the_same_pid_is_stale(tmp_path: Path) -> None:
    own = psutil.Process()
    path = tmp_path / "endpoint.json"
    address = Address(
        pid=own.pid, create_time=own.create_time() - 60, url="http://x", store_url="file:///x"
    )
    path.write_text(address.model_dump_json())
    assert read_address(path) is None


def test_boto3_calls_it_unchanged(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    import boto3
    from botocore.config import Config
    from botocore.exceptions import ClientError

    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    digest = shop.model("train-1")
    shop.deploy("prod", "train-1")
    runtime = boto3.client(
        "sagemaker-runtime",
        endpoint_url=shop.endpoints.runtime_url(),
        region_name="us-east-1",
        aws_access_key_id="local",
        aws_secret_access_key="local",
        config=Config(retries={"total_max_attempts": 1}),
    )
    answer = runtime.invoke_endpoint(
        EndpointName="shop-prod",
        Body=picture("blue", "JPEG"),
        ContentType="image/jpeg",
        InferenceId="seven",
        CustomAttributes="trace=1",
    )
    body = httpx.Response(200, content=answer["Body"].read()).json()
    assert (body["digest"], answer["CustomAttributes"]) == (digest, "trace=1")
    assert body["predictions"][0]["prediction_id"] == "seven"
    assert body["predictions"][0]["predicted"] == ["blue"]

    call = {"EndpointName": "shop-prod", "Body": b"no image", "ContentType": "image/png"}
    with pytest.raises(runtime.exceptions.ModelError, match="cannot be read") as refused:
        runtime.invoke_endpoint(**call)
    assert refused.value.response["OriginalStatusCode"] == 400
    assert '"code": "unreadable_image"' in refused.value.response["OriginalMessage"]
    for endpoint, code, says in (
        ("shop-staging", "ServiceUnavailable", "nothing is deployed there yet"),
        ("nobody", "ValidationError", "endpoint 'nobody' not found"),
    ):
        with pytest.raises(ClientError, match=says) as refused_too:
            runtime.invoke_endpoint(**{**call, "EndpointName": endpoint})
        assert refused_too.value.response["Error"]["Code"] == code


def test_an_answer_does_not_wait_for_the_clients_acknowledgement(shop: Shop) -> None:
    """Nagle's algorithm against delayed ACKs costs 40 ms a request, on every kept connection."""
    shop.model("train-1")
    shop.deploy("prod", "train-1")
    seconds = []
    for _ in range(41):
        started = time.perf_counter()
        shop.answering()
        seconds.append(time.perf_counter() - started)
    assert statistics.quantiles(seconds, n=4)[0] < 0.035


def test_switching_under_load_fails_no_request(shop: Shop) -> None:
    """Clients hammer production while versions change; every answer is of the version before or
    after, and a request that begins after ``deploy`` has returned is answered by the new one.
    """
    versions = [f"train-{number}" for number in range(6)]
    for number, version in enumerate(versions):
        shop.model(version, sharpness=5.0 + number)
    shop.deploy("prod", versions[0])
    number_of = {shop.digests[version]: number for number, version in enumerate(versions)}
    deployed, deploying, stop = 0, 0, threading.Event()
    url = f"{shop.endpoints.runtime_url()}/endpoints/shop-prod/invocations"
    image = picture()

    def hammer() -> int:
        sent = 0
        with httpx.Client(timeout=10) as client:
            while not stop.is_set() and sent < 5000:
                at_least = deployed
                answer = client.post(url, content=image, headers={"content-type": "image/png"})
                at_most = deploying
                assert answer.status_code == 200, answer.text
                assert at_least <= number_of[answer.json()["digest"]] <= at_most
                sent += 1
        return sent

    with ThreadPoolExecutor(4) as pool:
        clients = [pool.submit(hammer) for _ in range(4)]
        try:
            for number, version in enumerate(versions[1:], start=1):
                deploying = number
                shop.deploy("prod", version)
                deployed = number
                time.sleep(0.2)
        finally:
            stop.set()
        sent = [client.result() for client in clients]
    assert min(sent) > 20, "every client was answered all along"


def test_sigterm_stops_a_host_under_load_in_time(closed_shop: Shop) -> None:
    with closed_shop.running():
        closed_shop.model("train-1")
        closed_shop.deploy("prod", "train-1")
        host = closed_shop.process()
        with httpx.Client() as idle:  # an open connection must not hold it up
            idle.get(f"{closed_shop.endpoints.runtime_url()}/ping")
            started = time.monotonic()
            os.kill(host.pid, signal.SIGTERM)
            host.wait(10)
        assert time.monotonic() - started < 8
