"""The endpoint host of this machine: what only a process can do well or badly."""

import os
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import httpx
import psutil
import pytest

from resources.endpoints.endpoint_host import HostUnavailable
from serving.endpoint.address import Address, read_address
from serving.endpoint.client import InvocationFailed
from serving.endpoint.launch import HostNotStarted
from serving.process_identity import start_mark
from tests.contract.resources.endpoints.endpoint_shops import LocalShop, local_shop, picture
from tests.patience import SOON_S, WAIT_S, wait_for
from tests.warm_programs.sitecustomize import COLD

pytestmark = pytest.mark.contract


@pytest.fixture
def closed_shop(tmp_path: Path, publish_model: Callable[..., tuple[str, str]]) -> LocalShop:
    """No host runs."""
    return local_shop(tmp_path, publish_model)


@pytest.fixture
def shop(closed_shop: LocalShop) -> Iterator[LocalShop]:
    with closed_shop.running():
        yield closed_shop


def test_without_a_host_nothing_is_written_and_the_remedy_is_named(closed_shop: LocalShop) -> None:
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
    shop: LocalShop, tmp_path: Path, publish_model: Callable[..., tuple[str, str]]
) -> None:
    url = shop.endpoints.runtime_url()
    other = local_shop(tmp_path / "other", publish_model, port=httpx.URL(url).port or 0)
    other.model("train-1")
    with pytest.raises(HostUnavailable, match=r"serves shop from file.*not shop from file.*other"):
        other.deploy("prod", "train-1")
    assert other.endpoints.history("prod") == []


def test_a_host_that_comes_back_serves_what_was_deployed(closed_shop: LocalShop) -> None:
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
    assert not closed_shop.local.address_path.exists()


def serving_command(shop: LocalShop, port: int, address_file: Path) -> list[str]:
    return [
        *(sys.executable, "-m", "serving", "--store-url", shop.endpoints.store.url),
        *("--project", "shop", "--port", str(port), "--address-file", str(address_file)),
    ]


def test_a_taken_port_a_second_host_and_a_missing_store_are_said(
    shop: LocalShop, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        command = serving_command(shop, port, tmp_path / "free.json")
        ended = subprocess.run(command, check=False, capture_output=True, text=True, timeout=WAIT_S)
        assert ended.returncode == 1
        assert f"127.0.0.1:{port}" in ended.stderr
    command = serving_command(shop, 0, shop.local.address_path)
    ended = subprocess.run(command, check=False, capture_output=True, text=True, timeout=WAIT_S)
    assert ended.returncode == 3
    assert f"running already at {shop.endpoints.runtime_url()}" in ended.stderr
    nowhere = local_shop(tmp_path / "nowhere", shop.publish)
    nowhere.store_dir.rename(tmp_path / "moved")
    with pytest.raises(HostNotStarted, match="nowhere"), nowhere.running():
        pass


@pytest.mark.parametrize("warm", [False, True])
def test_a_host_of_ones_own_does_not_outlive_a_killed_parent(
    closed_shop: LocalShop, monkeypatch: pytest.MonkeyPatch, warm: bool
) -> None:
    if not warm:  # a copy is only told of its client's parent
        monkeypatch.setenv(COLD, "1")
    shop = closed_shop.endpoints
    script = (
        "import sys, time; from pathlib import Path; from serving.endpoint.launch import own_host\n"
        "with own_host(store_url=sys.argv[1], project='shop', address_file=Path(sys.argv[2]),"
        " log_file=Path(sys.argv[3]), start_timeout_s=600): print('up', flush=True); time.sleep(3600)"
    )
    arguments = [shop.store.url, shop.address_file, str(closed_shop.folder / "host.log")]
    with subprocess.Popen(
        [sys.executable, "-c", script, *arguments], stdout=subprocess.PIPE
    ) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"up\n"
        orphan = closed_shop.process()
        parent.kill()
    orphan.wait(WAIT_S)


def test_an_address_of_another_process_with_the_same_pid_is_stale(tmp_path: Path) -> None:
    own = psutil.Process()
    path = tmp_path / "endpoint.json"
    address = Address(
        pid=own.pid,
        create_time=own.create_time(),
        mark=f"{start_mark(own.pid)}0",
        url="http://x",
        store_url="file:///x",
    )
    path.write_text(address.model_dump_json())
    assert read_address(path) is None


def test_boto3_calls_it_unchanged(shop: LocalShop, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_an_answer_does_not_wait_for_the_clients_acknowledgement(shop: LocalShop) -> None:
    """Nagle's algorithm against delayed ACKs costs 40 ms a request, on every kept connection.

    On a new connection it costs nothing: that tells what an answer takes on this machine.
    """
    shop.model("train-1")
    shop.deploy("prod", "train-1")
    url = f"{shop.endpoints.runtime_url()}/endpoints/shop-prod/invocations"

    def seconds(client: httpx.Client, **headers: str) -> float:
        started = time.perf_counter()
        png = {"content-type": "image/png", **headers}
        client.post(url, content=picture(), headers=png).raise_for_status()
        return time.perf_counter() - started

    with httpx.Client(timeout=WAIT_S) as client:
        new = [seconds(client, connection="close") for _ in range(41)]
        kept = [seconds(client) for _ in range(41)]
    assert statistics.quantiles(kept, n=4)[0] < statistics.quantiles(new, n=4)[0] + 0.03


def test_switching_under_load_fails_no_request(shop: LocalShop) -> None:
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

    sent = [0] * 4

    def hammer(client_number: int) -> None:
        with httpx.Client(timeout=WAIT_S) as client:
            while not stop.is_set():
                at_least = deployed
                answer = client.post(url, content=image, headers={"content-type": "image/png"})
                at_most = deploying
                assert answer.status_code == 200, answer.text
                assert at_least <= number_of[answer.json()["digest"]] <= at_most
                sent[client_number] += 1

    with ThreadPoolExecutor(4) as pool:
        clients = [pool.submit(hammer, number) for number in range(4)]
        try:
            for number, version in enumerate(versions[1:], start=1):
                deploying = number
                shop.deploy("prod", version)
                deployed = number
                everybody_is_answered(sent, clients)
        finally:
            stop.set()
        for client in clients:
            client.result()


def everybody_is_answered(sent: list[int], clients: list[Future[None]]) -> None:
    """Wait until every client has had five answers more, or one has failed."""
    before = list(sent)
    wait_for(
        lambda: (
            any(client.done() for client in clients)
            or all(now >= then + 5 for now, then in zip(sent, before, strict=True))
        )
    )


def test_sigterm_stops_a_host_under_load_in_time(closed_shop: LocalShop) -> None:
    with closed_shop.running():
        closed_shop.model("train-1")
        closed_shop.deploy("prod", "train-1")
        host = closed_shop.process()
        with httpx.Client(timeout=WAIT_S) as idle:  # an open connection must not hold it up
            idle.get(f"{closed_shop.endpoints.runtime_url()}/ping")
            started = time.monotonic()
            os.kill(host.pid, signal.SIGTERM)
            host.wait(WAIT_S)
        assert time.monotonic() - started < SOON_S


def test_a_refusal_is_read_even_if_the_host_closes_before_it_has_the_whole_body(
    shop: LocalShop,
) -> None:
    """A host answers 413 to the header of a body that is too long, and reads no further."""
    shop.model("train-1")
    shop.deploy("prod", "train-1")
    with pytest.raises(InvocationFailed, match="25 MB") as refused:
        shop.endpoints.invoke("prod", bytes(64 * 1024**2), "image/png")
    assert refused.value.status == 413
