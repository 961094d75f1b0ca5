"""The endpoint host under load, beside eager torch, and how long a switch of models takes."""

import http.client
import io
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from benchmarks.result import Measurement, Result
from serving.deployments import Deployment

if TYPE_CHECKING:
    import torch

    from resources.endpoints.local import LocalEndpoints
    from training.artefact.export import ServingNet

ROUNDS = 3
ROUND_S = 3.0
SWITCHES = 5
CONCURRENCIES = (1, 8)
LABELS = ("buildings", "forest", "glacier", "mountain", "sea", "street")
SIZE = 160
"""Width and height of the images that the net sees, in pixels."""
PICTURE = (480, 640)
PATH = "/endpoints/bench-staging/invocations?top_k=3"
Ask = Callable[[], None]


def measure(scratch: Path) -> Result:
    """Load the endpoint and torch in turn; then switch models under load."""
    from resources.endpoints.local import running_host

    versions = ("train-aaaaaaaaaaaa", "train-bbbbbbbbbbbb")
    host, torch_asker, artefacts = _set_up(scratch, versions)
    body = _picture()
    rates: dict[tuple[str, int], list[float]] = {}
    waits: dict[int, list[float]] = {concurrency: [] for concurrency in CONCURRENCIES}
    with running_host(host, log_file=scratch / "host.log") as url:
        _deploy(host, versions[0], artefacts)
        for _ in range(ROUNDS):
            for concurrency in CONCURRENCIES:
                took = load(lambda: _http_asker(url, body), concurrency, ROUND_S)
                rates.setdefault(("endpoint", concurrency), []).append(len(took) / ROUND_S)
                waits[concurrency] += took
                took = load(torch_asker(body, concurrency), concurrency, ROUND_S)
                rates.setdefault(("torch", concurrency), []).append(len(took) / ROUND_S)
        switches = [_timed(partial(_deploy, host, versions[at], artefacts)) for at in _turns()]
        under_load, longest = _switch_under_load(host, versions, artefacts, url, body)
    speed = {key: median(values) for key, values in rates.items()}
    return Result(
        measurements=[
            *(
                Measurement(
                    what=f"{concurrency} in flight",
                    value=speed["endpoint", concurrency],
                    unit="requests/s",
                    bound="at least",
                    peer=speed["torch", concurrency],
                )
                for concurrency in CONCURRENCIES
            ),
            *(
                Measurement(
                    what=f"{concurrency} in flight, {name} answer after",
                    value=_quantile(waits[concurrency], share) * 1000,
                    unit="ms",
                )
                for concurrency in CONCURRENCIES
                for name, share in (("median", 0.5), ("99 % of", 0.99))
            ),
            Measurement(what="a deployment, idle (median)", value=median(switches), unit="s"),
            Measurement(what="a deployment under load of 8", value=under_load, unit="s"),
            Measurement(
                what="longest answer during that deployment", value=longest * 1000, unit="ms"
            ),
        ],
        peer="the same net eager in torch, in this process, without HTTP: decode the same file, "
        "resize, infer (1 in flight: torch's own threads; 8: eight threads of one)",
        notes=[
            f"MobileNetV2 (random weights, 6 labels) at 160 px, a {PICTURE[1]} × {PICTURE[0]} "
            f"JPEG of {len(body) // 1024} KB, rounds of {ROUND_S:g} s in turn, medians of "
            f"{ROUNDS}; the client shares the cores.",
            "Every request of the load was answered with 200, those during the switch too; "
            "anything else fails the benchmark.",
        ],
    )


def load(make_asker: Callable[[], Ask], concurrency: int, seconds: float) -> list[float]:
    """Send requests in ``concurrency`` threads, each the next after the last answer.

    Args:
        make_asker: makes the function that sends one request; called in each thread.
        concurrency: threads.
        seconds: how long to send.

    Returns:
        The seconds of each answer.
    """
    took: list[float] = []
    end = time.perf_counter() + seconds

    def worker() -> None:
        ask = make_asker()
        while (began := time.perf_counter()) < end:
            ask()
            took.append(time.perf_counter() - began)

    with ThreadPoolExecutor(concurrency) as pool:
        for done in [pool.submit(worker) for _ in range(concurrency)]:
            done.result()
    return took


def _turns() -> list[int]:
    """Which of two versions to deploy in each switch, beginning with the one that is not served."""
    return [(number + 1) % 2 for number in range(SWITCHES)]


def _switch_under_load(
    host: "LocalEndpoints",
    versions: tuple[str, str],
    artefacts: dict[str, tuple[str, str]],
    url: str,
    body: bytes,
) -> tuple[float, float]:
    """Seconds of a deployment while 8 clients send requests, and the longest response time."""
    with ThreadPoolExecutor(1) as pool:
        clients = pool.submit(load, lambda: _http_asker(url, body), 8, 5.0)
        time.sleep(1.0)
        seconds = _timed(partial(_deploy, host, versions[(_turns()[-1] + 1) % 2], artefacts))
        return seconds, max(clients.result())


def _set_up(
    scratch: Path, versions: tuple[str, str]
) -> tuple["LocalEndpoints", Callable[[bytes, int], Callable[[], Ask]], dict[str, tuple[str, str]]]:
    """Make a store with two models; return a host for it, a factory of torch requests, and (digest,
    key) by version."""
    import torch

    from object_store.store import ObjectStore
    from resources.endpoints.local import LocalEndpoints
    from training.artefact.artefact import digest, pack
    from training.artefact.export import ServingNet
    from training.config import Hyperparameters
    from training.fitting.architectures import build
    from training.images.preprocessing import Preprocessing

    torch.manual_seed(0)
    hyperparameters = Hyperparameters(architecture="mobilenet_v2", weights="none", image_size=SIZE)
    store = ObjectStore(url=(scratch / "store").as_uri())
    store.ensure()
    artefacts = {}
    for version in versions:  # different weights, so that two graphs are loaded
        net = ServingNet(
            build(hyperparameters, len(LABELS)),
            preprocessing=Preprocessing(size=SIZE),
            temperature=1.0,
            task="single_label",
        ).eval()
        folder = _artefact(scratch / version, net, version)
        key = f"models/{version}/output/model.tar.gz"
        pack(folder, scratch / "store" / key)
        artefacts[version] = (digest(folder), key)
    host = LocalEndpoints(
        store=store,
        project="bench",
        address_file=str(scratch / "host.json"),
        default_url="http://127.0.0.1:9",
    )

    def torch_asker(body: bytes, concurrency: int) -> Callable[[], Ask]:
        torch.set_num_threads(2 if concurrency == 1 else 1)
        return lambda: _torch_asker(net, body, SIZE)

    return host, torch_asker, artefacts


def _artefact(folder: Path, net: "ServingNet", version: str) -> Path:
    import torch

    from training.artefact.artefact import write_manifest
    from training.artefact.export import OPSET, export_onnx

    folder.mkdir()
    export_onnx(net, folder / "model.onnx")
    torch.save(net.net.state_dict(), folder / "model.pt")
    write_manifest(
        folder,
        task="single_label",
        labels=LABELS,
        input_size=net.size,
        dataset_version="0" * 16,
        code_version="1",
        model_version=version,
        recipe="probe",
        architecture="mobilenet_v2",
        opset=OPSET,
        created_by="benchmarks",
    )
    return folder


def _deploy(host: "LocalEndpoints", version: str, artefacts: dict[str, tuple[str, str]]) -> None:
    digest, key = artefacts[version]
    deployment = Deployment(
        stage="staging",
        model_version=version,
        digest=digest,
        model_key=key,
        deployed_by="benchmarks",
        reason="benchmark",
    )
    status = host.deploy(deployment)
    if status.digest != digest:
        raise RuntimeError(f"{status.name} serves {status.model_version}, not {version}")


def _http_asker(url: str, body: bytes) -> Ask:
    """A function that sends one request over a kept connection."""
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=60)

    def ask() -> None:
        connection.request("POST", PATH, body, {"Content-Type": "image/jpeg"})
        answer = connection.getresponse()
        text = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"HTTP {answer.status}: {text[:300]!r}")

    return ask


def _torch_asker(net: "torch.nn.Module", body: bytes, size: int) -> Ask:
    import torch

    from training.images.images import decode, to_array

    def ask() -> None:
        pixels = torch.from_numpy(to_array(decode(body, fit=size)).copy())[None]
        with torch.inference_mode():
            net(pixels).topk(3)

    return ask


def _picture() -> bytes:
    """A JPEG with as much detail as a photo: smooth noise."""
    import numpy as np
    from PIL import Image

    height, width = PICTURE
    noise = np.random.default_rng(0).integers(0, 256, (height // 8, width // 8, 3), dtype=np.uint8)
    image = Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def _quantile(values: list[float], share: float) -> float:
    return sorted(values)[min(int(share * len(values)), len(values) - 1)]


def _timed(work: Callable[[], None]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
