"""Warm start: a net begins with the weights of a model that was trained before, its parent."""

import pickle
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import torch

from training.artefact.artefact import (
    TORCH_MODEL,
    ArtefactManifest,
    Task,
    digest,
    unpack,
)
from training.config import Hyperparameters
from training.container.container import JobContainer
from training.errors import ArtefactError, PermanentFailure
from training.fitting.architectures import Classifier, architecture_name

CHANNEL = "parent"
"""Input channel with the parent's ``model.tar.gz``."""


@dataclass(frozen=True)
class Parent:
    """A trained model whose weights a net starts from.

    Attributes:
        manifest: of its artefact.
        weights: state dict of its net.
    """

    manifest: ArtefactManifest
    weights: Mapping[str, torch.Tensor]

    @classmethod
    def of_job(cls, container: JobContainer, parameters: Hyperparameters) -> Self | None:
        """Read the parent of a job; ``None``: the job has none.

        Raises:
            PermanentFailure: the channel lacks it, or it is another model than was asked for, or one
                that this recipe or architecture cannot start from.
        """
        if not parameters.parent_digest:
            return None
        found = sorted(container.channel(CHANNEL).rglob("model.tar.gz"))
        if len(found) != 1:
            raise PermanentFailure(
                f"channel {CHANNEL} holds {len(found)} files model.tar.gz; give it one"
            )
        into = container.scratch_dir / CHANNEL
        shutil.rmtree(into, ignore_errors=True)  # of an earlier attempt
        try:
            manifest = unpack(found[0], into)
            state = torch.load(into / TORCH_MODEL, map_location="cpu", weights_only=True)
        except (ArtefactError, RuntimeError, pickle.UnpicklingError, EOFError) as error:
            raise PermanentFailure(
                f"the model to start from cannot be read ({error}); name another version"
            ) from error
        _require_the_same_net(manifest, parameters)
        return cls(manifest, state)

    def give_backbone(self, net: Classifier) -> None:
        """Load all weights but the head's into ``net``.

        Raises:
            PermanentFailure: they do not fit.
        """
        given = {name: one for name, one in self.weights.items() if name.startswith("backbone.")}
        try:
            net.backbone.load_state_dict(
                {name.removeprefix("backbone."): one for name, one in given.items()}
            )
        except RuntimeError as error:
            raise PermanentFailure(
                f"the weights of {self.manifest.model_version} do not fit the net "
                f"({str(error)[:300]}); set image_size = {self.manifest.input_size} as it had, or "
                "train without start_from"
            ) from error

    def give_head(self, net: Classifier, labels: Sequence[str], task: Task) -> None:
        """Load the rows of ``net``'s head for labels that the parent knows; others keep theirs.

        With another task nothing is loaded: its logits mean something else.

        Args:
            net: its head may have been fitted on the training images.
            labels: of the net, in its order.
            task: of the net.
        """
        known = [label for label in labels if label in self.manifest.labels]
        if task != self.manifest.task or not known:
            return
        here = [labels.index(label) for label in known]
        there = [self.manifest.labels.index(label) for label in known]
        with torch.no_grad():
            for name, rows in (("weight", net.head.weight), ("bias", net.head.bias)):
                theirs = self.weights[f"head.{name}"][there]
                if task == "single_label":
                    # A softmax takes no notice of what is added to all rows, so the rows of two
                    # heads fit together only when the mean over their common labels is the same.
                    rows.add_(theirs.mean(0) - rows[here].mean(0))
                rows[here] = theirs


def _require_the_same_net(manifest: ArtefactManifest, parameters: Hyperparameters) -> None:
    own = architecture_name(parameters)
    if parameters.recipe == "probe":
        raise PermanentFailure(
            "recipe probe keeps the pretrained weights, so it cannot start from a model; set "
            'recipe = "finetune", or train without start_from'
        )
    if digest(manifest) != parameters.parent_digest:
        raise PermanentFailure(
            f"the model to start from has the digest {digest(manifest)[:12]}…, the job asks for "
            f"{parameters.parent_digest[:12]}…; start the training again"
        )
    if manifest.architecture != own:
        raise PermanentFailure(
            f"{manifest.model_version} is a {manifest.architecture}, whose weights do not fit "
            f"{own}; set architecture = {manifest.architecture!r} under [training] in imgclf.toml, "
            "or name another version"
        )
