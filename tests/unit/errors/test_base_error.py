"""Every error that a user may be told of derives from one class, with a message and a remedy."""

import ast
import builtins
import pickle
from pathlib import Path

import pytest

from errors.base import ImgclfError
from object_store.contents.damage import DamagedObject
from resources.compute.outputs import OutputMissing

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parents[3]
PACKAGES = (
    "assets",
    "errors",
    "imgclf_dagster",
    "labelling",
    "object_store",
    "resources",
    "serving",
    "training",
    "ui",
)

EXCEPTIONS = {"dg.Failure"} | {
    name
    for name, found in vars(builtins).items()
    if isinstance(found, type) and issubclass(found, BaseException)
}

INTERNAL = {
    "imgclf_dagster.export.images.ImageUnreadable",  # becomes a line of the export's report
    "imgclf_dagster.export.target.NameRefused",  # likewise
    "labelling.sources.lists.plain_json.document.NotJsonError",  # becomes a SourceError
    "resources.compute.sagemaker_pipes.client.JobNameTaken",  # a Failure of Dagster's, for its pages
    "resources.compute.sagemaker_pipes.client.SageMakerJobFailed",  # likewise
    "resources.compute.failures.JobFailed",  # likewise
    "object_store.errors.Refusal",  # becomes a StoreError
    "object_store.contents.segments.SegmentFlaw",  # becomes a DamagedObject
    "training.step_time._EpochOver",  # ends a measurement
    "training.images.jpeg_whole.JpegIncomplete",  # becomes an ImageRejected
}
"""Classes that are caught before they reach a user, or that Dagster shows."""


def classes() -> dict[str, set[str]]:
    """The product's own classes, with the names of all that they derive from, read and not
    imported: importing every module takes 12 CPU seconds."""
    direct: dict[str, list[str]] = {}
    module_of: dict[str, str] = {}
    for path in (path for package in PACKAGES for path in (ROOT / package).rglob("*.py")):
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                direct.setdefault(node.name, []).extend(ast.unparse(base) for base in node.bases)
                module_of[node.name] = module

    def above(name: str) -> set[str]:
        return {name}.union(*(above(base) for base in direct.get(name, ()) if base != name))

    return {f"{module}.{name}": above(name) for name, module in module_of.items()}


def test_every_error_derives_from_the_base_or_never_reaches_a_user() -> None:
    errors = {name: above for name, above in classes().items() if above & EXCEPTIONS}
    others = {name for name, above in errors.items() if "ImgclfError" not in above}
    assert others == INTERNAL
    assert len(errors) > 60


def test_the_remedy_follows_the_message() -> None:
    assert str(ImgclfError("the disk is full", "free some space")) == (
        "the disk is full: free some space"
    )
    assert str(ImgclfError("uv says:\n  no route", "use another index")) == (
        "uv says:\n  no route\nuse another index"
    )
    assert str(ImgclfError("it is a link")) == "it is a link"


def test_the_remedy_survives_a_process_pool() -> None:
    copied = pickle.loads(pickle.dumps(ImgclfError("full", "free some space")))
    assert (copied.message, copied.remedy) == ("full", "free some space")


def test_classes_with_another_base_keep_message_and_remedy() -> None:
    assert str(OutputMissing("no metrics.json")) == "no metrics.json", "a KeyError quotes it"
    damage = DamagedObject("raw/a.jpg", "it is empty", "file:///s", "copy it again")
    assert damage.remedy == "copy it again"
    assert str(damage) == "raw/a.jpg in file:///s is damaged (it is empty): copy it again"
