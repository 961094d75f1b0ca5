"""The embedding job, run whole in process: what it computes, resumes, shares and refuses."""

import copy
import hashlib
import io
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from torch import nn

from object_store.contents.segments import digests_of, encode
from training import embed
from training.artefact.artefact import pack, write_manifest
from training.artefact.export import ServingNet, probabilities_of
from training.backbones.sources import NetSource
from training.config import Hyperparameters, Resize
from training.embedding import images as embed_images
from training.embedding.features import features_of, half_features_of
from training.embedding.features import probabilities_of as read_probabilities
from training.errors import PermanentFailure, WeightsUnavailable
from training.fitting.architectures import Classifier, build
from training.images.images import decode, to_array
from training.images.preprocessing import Preprocessing

pytestmark = pytest.mark.unit

SIZE = 16
LABELS = ("red", "green", "blue")


def png(number: int) -> bytes:
    sink = io.BytesIO()
    pixels = np.random.default_rng(number).integers(0, 256, (20, 24, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(sink, "PNG")
    return sink.getvalue()


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def net(seed: int = 0, recipe: str = "scratch", **parameters: Any) -> Classifier:
    torch.manual_seed(seed)
    given = Hyperparameters(recipe=recipe, image_size=SIZE, **parameters)
    return build(given, len(LABELS)).eval()


@dataclass
class Job:
    """A processing container on disk, run in this process."""

    root: Path
    monkeypatch: pytest.MonkeyPatch
    arguments: list[str] = field(default_factory=list)

    def file(self, name: str, data: bytes, channel: str = "images") -> None:
        path = self.root / "processing" / "input" / channel / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    def model(self, number: int, model: Classifier, version: str, **fields: Any) -> None:
        folder = self.root / "made" / version
        folder.mkdir(parents=True)
        (folder / "model.onnx").write_bytes(b"not looked at")
        torch.save(model.state_dict(), folder / "model.pt")
        given = {
            "task": "single_label",
            "labels": LABELS,
            "input_size": SIZE,
            "temperature": 0.7,
            "dataset_version": "d" * 16,
            "code_version": "1",
            "model_version": version,
            "recipe": "scratch",
            "architecture": "small_convnet",
            "opset": 20,
            "created_by": "tests",
        }
        write_manifest(folder, **{**given, **fields})
        pack(folder, self.root / f"processing/input/model-{number}/{version}/output/model.tar.gz")

    def run(self) -> dict[str, Any]:
        self.monkeypatch.setattr(sys, "argv", ["embed", *self.arguments])
        embed.main()
        return json.loads((self.output / "embedding.json").read_text())

    @property
    def output(self) -> Path:
        return self.root / "processing" / "output"

    def features(self) -> dict[str, np.ndarray]:
        rows = pq.read_table(self.output / "features.parquet")
        return dict(zip(rows["sha256"].to_pylist(), features_of(rows), strict=True))

    def probabilities(self, version: str) -> dict[str, np.ndarray]:
        rows = pq.read_table(self.output / embed.probabilities_file(version))
        found = read_probabilities(rows)
        return dict(zip(rows["sha256"].to_pylist(), found, strict=True))


@pytest.fixture
def new_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Job]:
    def lay_out(name: str) -> Job:
        root = tmp_path / name
        (root / "config").mkdir(parents=True)
        (root / "config" / "processingjobconfig.json").write_text("{}")
        monkeypatch.setenv("IMGCLF_ML_ROOT", str(root))
        return Job(root, monkeypatch)

    return lay_out


@pytest.mark.parametrize(("resize", "start"), [("squash", "16-"), ("pad", "16pad-")])
def test_probabilities_are_those_that_the_model_answers_with(
    new_job: Any, resize: Resize, start: str
) -> None:
    model, job = net(), new_job("one")
    pictures = [png(number) for number in range(7)]
    for number, data in enumerate(pictures):
        job.file(f"some/{number}.png", data)
    job.model(0, model, "train-a", resize=resize)
    summary = job.run()
    how = Preprocessing(size=SIZE, resize=resize)
    serving = ServingNet(model, preprocessing=how, temperature=0.7, task="single_label")
    answers = probabilities_of(serving, [to_array(decode(data, fit=SIZE)) for data in pictures])
    found = job.probabilities("train-a")
    assert list(found) == sorted(found, key=[sha(data) for data in pictures].index)
    for data, answer in zip(pictures, answers, strict=True):
        assert found[sha(data)] == pytest.approx(answer, abs=0.02)  # pixels rounded, half floats
    assert summary["images"] == 7
    assert summary["dimension"] == 96
    assert summary["models"]["train-a"]["labels"] == list(LABELS)
    assert summary["backbone"].startswith(f"small_convnet-{start}")


def test_stored_features_keep_their_names() -> None:
    def name(how: Preprocessing) -> str:
        return embed.backbone_name(Classifier(nn.Flatten(), 192, 2, how), "net")

    bicubic = Preprocessing((0.5,) * 3, (0.25,) * 3, 8, "bicubic")
    assert name(Preprocessing(size=8)) == "net-8-020a7c91e307"
    assert name(bicubic) == "net-8-ed768d0b1758"
    assert name(replace(bicubic, resize="crop")) == "net-8crop-ed768d0b1758"


def test_labels_of_a_multi_label_model_are_independent(new_job: Any) -> None:
    job = new_job("multi")
    job.file("a.png", png(1))
    job.model(0, net(), "train-a", task="multi_label", thresholds=dict.fromkeys(LABELS, 0.4))
    assert job.run()["models"]["train-a"]["thresholds"] == dict.fromkeys(LABELS, 0.4)
    (row,) = job.probabilities("train-a").values()
    assert row.sum() != pytest.approx(1, abs=1e-3)


def test_images_that_cannot_be_read_are_named_and_the_rest_goes_on(new_job: Any) -> None:
    job = new_job("broken")
    job.file("good.png", png(1))
    job.file("cut.png", png(2)[:60])
    job.file("text.jpg", b"no picture")
    job.model(0, net(), "train-a")
    summary = job.run()
    assert summary["images"] == 1
    assert {item["file"] for item in summary["rejected"]} == {"cut.png", "text.jpg"}
    assert all(item["reason"] for item in summary["rejected"])
    assert list(job.probabilities("train-a")) == [sha(png(1))]


@pytest.mark.parametrize("is_old", [False, True], ids=["segment", "parquet"])
def test_another_head_looks_at_no_pixel(
    new_job: Any, monkeypatch: pytest.MonkeyPatch, is_old: bool
) -> None:
    first, second = net(), net()
    with torch.no_grad():
        second.head.weight.mul_(-1)
        second.head.bias.mul_(-1)
    job = new_job("first")
    for number in range(5):
        job.file(f"{number}.png", png(number))
    job.model(0, first, "train-a")
    before = job.run()
    known = (job.output / "features.parquet").read_bytes()
    if not is_old:
        rows = pq.read_table(job.output / "features.parquet")
        known = encode(digests_of(rows["sha256"].to_pylist()), half_features_of(rows))
    kind = "parquet" if is_old else "vectors"
    old = job.probabilities("train-a")

    later = new_job("second")
    later.file(f"{before['backbone']}/0-0.{kind}", known, channel="features")
    later.file(f"small_convnet-16-000000000000/0-0.{kind}", b"never read", channel="features")
    later.model(0, second, "train-b")
    monkeypatch.setattr(embed_images, "decode", lambda *_: pytest.fail("looked at pixels"))
    summary = later.run()
    assert summary["backbone"] == before["backbone"]
    assert summary["images"] == 0
    new = later.probabilities("train-b")
    assert new.keys() == old.keys()
    assert any(new[key].argmax() != old[key].argmax() for key in old)


def test_two_models_of_one_backbone_and_a_stranger(new_job: Any) -> None:
    first, second, stranger = net(), net(), net(seed=5)
    with torch.no_grad():
        second.head.bias.add_(torch.tensor([3.0, 0, 0]))
    job = new_job("several")
    job.file("a.png", png(1))
    for number, (model, name) in enumerate(((first, "a"), (second, "b"), (stranger, "c"))):
        job.model(number, model, f"train-{name}")
    summary = job.run()
    assert set(summary["models"]) == {"train-a", "train-b"}
    assert set(summary["strangers"]) == {"train-c"}
    assert summary["strangers"]["train-c"]["backbone"] != summary["backbone"]
    assert summary["strangers"]["train-c"]["labels"] == list(LABELS)
    assert not (job.output / embed.probabilities_file("train-c")).exists()


def test_a_restart_goes_on_where_it_was(new_job: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embed_images, "PART_IMAGES", 3)
    job = new_job("restarted")
    for number in range(8):
        job.file(f"{number}.png", png(number))
    job.model(0, net(), "train-a")
    whole = embed_images._embed
    calls: list[int] = []

    def dies(model: Any, pictures: Any) -> Any:
        calls.append(len(pictures))
        if len(calls) == 3:
            raise MemoryError("killed")
        return whole(model, pictures)

    monkeypatch.setattr(embed_images, "_embed", dies)
    with pytest.raises(MemoryError):
        job.run()
    job.run()
    assert calls == [3, 3, 2, 2]
    assert set(job.features()) == {sha(png(number)) for number in range(8)}


def test_before_there_is_a_model_the_pretrained_net_looks(new_job: Any) -> None:
    from torchvision import models

    torch.manual_seed(0)
    whole = models.get_model("shufflenet_v2_x0_5", weights=None)
    sink = io.BytesIO()
    torch.save(whole.state_dict(), sink)
    settings = {"recipe": "probe", "architecture": "shufflenet_v2_x0_5", "image_size": "32"}
    job = new_job("cold")
    job.arguments = [
        part
        for key, value in settings.items()
        for part in (f"--{key}", value if value.isdigit() else json.dumps(value))
    ]
    job.file("a.png", png(1))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("training.fitting.architectures.download_weights", unreachable)
        with pytest.raises(WeightsUnavailable, match="put them there"):
            job.run()
    job.file("shufflenet_v2_x0_5.pth", sink.getvalue(), channel="weights-0")
    summary = job.run()
    assert summary["models"] == {}
    assert summary["dimension"] == 1024

    # The probe that comes of it later has the same backbone: nothing is embedded twice.
    given = Hyperparameters(architecture="shufflenet_v2_x0_5", image_size=32)
    probe = build(given, len(LABELS), (whole.state_dict(),)).eval()
    later = new_job("later")
    features = (job.output / "features.parquet").read_bytes()
    later.file(f"{summary['backbone']}/0-0.parquet", features, "features")
    of_it = {"recipe": "probe", "architecture": "shufflenet_v2_x0_5", "input_size": 32}
    later.model(0, copy.deepcopy(probe), "train-p", **of_it)
    assert later.run()["backbone"] == summary["backbone"]
    assert set(later.probabilities("train-p")) == {sha(png(1))}


def unreachable(source: NetSource) -> Any:
    raise WeightsUnavailable(f"no weights of {source.name}; put them there")


def test_a_model_that_cannot_be_loaded_is_named(new_job: Any) -> None:
    job = new_job("other")
    job.file("a.png", png(1))
    job.model(0, net(), "train-a", recipe="probe", architecture="squeezenet1_1")
    with pytest.raises(PermanentFailure, match="train-a.*squeezenet1_1"):
        job.run()


def test_without_a_model_or_weights_it_says_so(new_job: Any) -> None:
    job = new_job("nothing")
    job.arguments = ["--recipe", '"scratch"']
    with pytest.raises(PermanentFailure, match="there is no model yet"):
        job.run()
