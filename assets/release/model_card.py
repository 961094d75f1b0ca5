"""The model card: what a model is, how good it is, and whose work it uses."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError

from assets import markdown
from assets.evaluation.scores import sentence
from object_store.contents.damage import DamagedObject
from object_store.errors import KeyMissing
from resources.compute.compute import Compute
from training.artefact.artefact import Task

MOST_GENERATIONS = 1000
"""Models, each trained on from the one before, that are looked up for the first one's licences."""

LICENCES = "licences.json"
"""A file of the training job; see ``training.train``."""


class Licence(BaseModel):
    """A row of ``licences.json``; see ``training.backbones.licences.NetLicence``."""

    net: str
    weights: str
    weights_license: str
    library: str
    library_license: str
    parent: str = ""


def read_licences(compute: Compute, model_version: str) -> list[Licence] | None:
    """Return the licences of the nets of a model; ``None`` if its job noted none.

    Those of weights that came from a model trained before are the licences of that one's.
    """
    found = _noted(compute, model_version)
    inherited = found
    for _ in range(MOST_GENERATIONS):
        parent = next((one.parent for one in inherited or () if one.parent), "")
        if not parent:
            break
        inherited = _noted(compute, parent)
    if found is None or not inherited or inherited is found:
        return found
    known = {one.net: one for one in inherited if not one.parent}
    return [
        one.model_copy(
            update={
                "weights": f"{one.weights}, first {known[one.net].weights}",
                "weights_license": known[one.net].weights_license,
            }
        )
        if one.net in known
        else one
        for one in found
    ]


def _noted(compute: Compute, model_version: str) -> list[Licence] | None:
    try:
        data = compute.open_output(model_version, LICENCES, "training")
        return TypeAdapter(list[Licence]).validate_json(data)
    except (KeyMissing, DamagedObject, ValidationError):  # the card says that they are unknown
        return None


def model_card(evaluation: Mapping[str, Any], licences: Sequence[Licence] | None) -> str:
    """Write the model card, in Markdown.

    Args:
        evaluation: record of the model's evaluation.
        licences: of its nets; ``None``: unknown.
    """
    task: Task = evaluation["task"]
    kind = "any number of labels" if task == "multi_label" else "exactly one label"
    labels = ", ".join(markdown.prose(label) for label in evaluation["labels"])
    metrics = evaluation["metrics"]
    parts = [
        f"# {markdown.prose(evaluation['model_version'])}",
        f"Gives an image {kind} of: {labels}.",
        f"Trained on data set {evaluation['dataset_version']} by training code "
        f"{evaluation['code_version']}. On {metrics.get('test_images', 0):.0f} test images, from which "
        f"nothing was learnt: {sentence(metrics, task)}.",
        "## Pretrained weights and their licences",
        _weights(licences),
    ]
    return "\n\n".join(parts) + "\n"


def _weights(licences: Sequence[Licence] | None) -> str:
    if licences is None:
        return "Unknown: the training job noted none."
    if not licences:
        return "None: it was trained from random weights."
    columns = ["net", "weights", "licence of the weights", "code of the net", "licence of the code"]
    rows = (
        [one.net, one.weights, one.weights_license, one.library, one.library_license]
        for one in licences
    )
    return markdown.table(columns, rows)


def licence_sentence(licences: Sequence[Licence] | None) -> str:
    """Return the licences of the weights in one line, without markup."""
    if licences is None:
        return "licences of pretrained weights unknown"
    if not licences:
        return "no pretrained weights"
    named = ", ".join(f"{one.net} {one.weights_license}" for one in licences)
    return f"pretrained weights and their licences: {named}"
