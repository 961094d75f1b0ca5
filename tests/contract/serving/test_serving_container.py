"""The container of an endpoint, run as SageMaker runs it: ``serve``, an environment, HTTP."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from serving.endpoint.inference import MAX_BODY_BYTES
from tests.patience import WAIT_S
from training.artefact.artefact import digest, read_artefact_manifest, write_manifest

pytestmark = pytest.mark.contract

PNG = {"content-type": "image/png"}


def png(colour: str = "red") -> bytes:
    import io

    from PIL import Image

    file = io.BytesIO()
    Image.new("RGB", (8, 8), colour).save(file, "PNG")
    return file.getvalue()


def start(root: Path, *arguments: str, **environ: str) -> "subprocess.Popen[str]":
    """The container's process, on any free port, loopback only because the root is moved."""
    given = {
        "IMGCLF_ML_ROOT": str(root),
        "IMGCLF_MODEL_VERSION": "train-1",
        "SAGEMAKER_BIND_TO_PORT": "0",
        **environ,
    }
    return subprocess.Popen(
        [sys.executable, "-m", "serving.container", *arguments],
        env={**os.environ, **given},
        stderr=subprocess.PIPE,
        text=True,
    )


def address(process: "subprocess.Popen[str]") -> str:
    """Where the process says that it listens."""
    assert process.stderr is not None
    for line in process.stderr:
        if "listens on" in line:
            return f"http://{line.split('listens on ')[1].strip()}"
    raise AssertionError("the container does not listen")


@contextmanager
def serving(root: Path, **environ: str) -> Iterator[httpx.Client]:
    """The container once it is healthy."""
    process = start(root, "serve", **environ)
    try:
        with httpx.Client(base_url=address(process), timeout=WAIT_S) as client:
            deadline = time.monotonic() + WAIT_S
            while (ping := client.get("/ping")).status_code != 200:
                assert ping.status_code == 503
                assert "being loaded" in ping.json()["error"]["message"]
                assert time.monotonic() < deadline
                time.sleep(0.05)
            yield client
        process.terminate()
        assert process.wait(WAIT_S) in (0, -15)
    finally:
        process.kill()
        process.communicate()


@pytest.fixture
def root(tmp_path: Path, colour_artefact: Callable[..., Path]) -> Path:
    colour_artefact(tmp_path / "model", model_version="train-1")
    return tmp_path


def test_it_answers_as_the_inference_contract_says(root: Path) -> None:
    expected = digest(root / "model")
    with serving(root, IMGCLF_DIGEST=expected) as client:
        assert client.base_url.host == "127.0.0.1"
        facts = client.get("/ping").json()
        assert facts == {"status": "ok", "model_version": "train-1", "digest": expected}
        # SageMaker chooses the name under which it asks; a page of another site has none there.
        by_name = {"Host": "model-7.sagemaker.internal:8080"}
        assert client.get("/ping", headers=by_name).json() == facts
        assert client.post("/invocations", content=png(), headers=PNG | by_name).status_code == 200
        foreign = PNG | {"Origin": "http://evil.example"}
        assert client.post("/invocations", content=png(), headers=foreign).status_code == 403

        body = client.post("/invocations", content=png("lime"), headers=PNG).json()
        assert (body["model_version"], body["digest"]) == ("train-1", expected)
        assert body["predictions"][0]["predicted"] == ["green"]
        assert len(body["predictions"][0]["labels"]) == 3

        asked = PNG | {
            "X-Amzn-SageMaker-Custom-Attributes": "trace=7; top_k=2",
            "X-Amzn-SageMaker-Inference-Id": "order-7",
        }
        answer = client.post("/invocations", content=png(), headers=asked)
        [prediction] = answer.json()["predictions"]
        assert (prediction["prediction_id"], len(prediction["labels"])) == ("order-7", 2)
        assert answer.headers["X-Amzn-SageMaker-Custom-Attributes"] == "trace=7; top_k=2"
        local = client.post("/invocations?top_k=1", content=png(), headers=asked)
        assert len(local.json()["predictions"][0]["labels"]) == 1, "the query is nearer"

        for content, headers, status, code in (
            (b"no image", PNG, 400, "unreadable_image"),
            (png(), {"content-type": "text/csv"}, 415, "unsupported_media_type"),
            (b"x" * (MAX_BODY_BYTES + 1), PNG, 413, "too_large"),
            (png(), {**asked, "X-Amzn-SageMaker-Custom-Attributes": "top_k=0"}, 400, "bad_request"),
        ):
            refused = client.post("/invocations", content=content, headers=headers)
            assert (refused.status_code, refused.json()["error"]["code"]) == (status, code)


def garbage_graph(folder: Path) -> None:
    """A model that its manifest describes well and that no runtime can run."""
    manifest = read_artefact_manifest(folder)
    (folder / "model.onnx").write_bytes(b"garbage")
    write_manifest(folder, **manifest.model_dump(exclude={"members"}))


@pytest.mark.parametrize(
    ("flaw", "says"),
    [
        ("other digest", "has digest"),
        ("other version", "is the model train-1"),
        ("damaged", "model.onnx has sha256"),
        ("missing", "holds no manifest.json"),
        ("no graph", "train-1 does not predict"),
    ],
)
def test_it_refuses_what_it_is_not_meant_to_serve(root: Path, flaw: str, says: str) -> None:
    environ = {}
    if flaw == "other version":
        environ["IMGCLF_MODEL_VERSION"] = "train-2"
    if flaw == "no graph":
        garbage_graph(root / "model")
    environ["IMGCLF_DIGEST"] = "f" * 64 if flaw == "other digest" else digest(root / "model")
    if flaw == "damaged":
        (root / "model" / "model.onnx").write_bytes(b"garbage")
    if flaw == "missing":
        (root / "model" / "manifest.json").unlink()
    _, log = start(root, "serve", **environ).communicate(timeout=WAIT_S)
    assert "cannot serve" in log
    assert says in log
    assert "Traceback" not in log


@pytest.mark.parametrize(
    ("arguments", "environ", "code", "says"),
    [
        (["serve"], {"IMGCLF_DIGEST": ""}, 1, "IMGCLF_DIGEST is not set"),
        (["train"], {"IMGCLF_DIGEST": "f" * 64}, 2, "training.launcher"),
        ([], {"IMGCLF_DIGEST": "f" * 64, "SAGEMAKER_BIND_TO_PORT": "http"}, 1, "cannot listen"),
    ],
)
def test_a_wrong_call_is_reported_at_once(
    tmp_path: Path, arguments: list[str], environ: dict[str, str], code: int, says: str
) -> None:
    process = start(tmp_path, *arguments, **environ)
    _, log = process.communicate(timeout=WAIT_S)
    assert process.returncode == code
    assert says in log
