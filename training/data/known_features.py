"""Features of test images that an evaluation leaves for those of later models.

The models of a probe differ in their heads. An image whose features are known from an earlier evaluation
needs no net: the head answers it. Some of these images are answered by the whole graph, too, so that the
evaluated model is provably the one that is served.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from training.artefact.predictor import OnnxPredictor
from training.artefact.split import SplitModel
from training.data.inference import Answers, Sample, compute, predict
from training.data.manifest import ShardReader

TEST_FEATURES = "test_features.parquet"
"""Output of an evaluation of a probe. A row is an image (sha256) and its features, float32 [width]."""

BODY = "body"
"""Key in the file's metadata: the digest of the body that computed the features."""

CHECKED_IMAGES = 16
"""Number of images with known features that the whole graph answers, too."""

MOST_DIFFERENCE = 1e-4
"""Of a probability; float32 sums in another order differ by some 1e-6."""

MOST_BYTES = 256 * 2**20
"""Of more features none are left: the outputs of a job are read at once."""


@dataclass(frozen=True)
class KnownFeatures:
    """The features of test images.

    Attributes:
        model: the model, as body and head.
        by_image: features that are known, float32 [width] by sha256.
        target: file for the features of this evaluation.
        say: is told how many features were known.
        warn: is told why they are not used.
    """

    model: SplitModel
    by_image: dict[str, np.ndarray]
    target: Path
    say: Callable[[str], object]
    warn: Callable[[str], object]

    @classmethod
    def of_model(
        cls,
        model: OnnxPredictor,
        artefact: Path,
        earlier: Path | None,
        output: Path,
        say: Callable[[str], object],
        warn: Callable[[str], object],
    ) -> Self | None:
        """Read what is known; ``None`` for a model that is not a probe's, is served in another
        precision than fp32, or cannot be split.

        Args:
            model: to be evaluated.
            artefact: folder that it was unpacked to.
            earlier: folder with ``TEST_FEATURES`` of an earlier evaluation; ``None``: there is none.
            output: folder for the outputs.
            say: is told how many features were known.
            warn: is told why they are not used.
        """
        probed = model.manifest.recipe == "probe" and model.manifest.precision == "fp32"
        split = SplitModel.load(artefact) if probed else None
        if split is None:
            return None
        known = _read(earlier / TEST_FEATURES, split, warn) if earlier else {}
        return cls(split, known, output / TEST_FEATURES, say, warn)

    def answer(
        self,
        model: OnnxPredictor,
        samples: Sequence[Sample],
        reader: ShardReader,
        on_progress: Callable[[int], None],
    ) -> Answers:
        """Predict on every image: with the head where features are known, else with the whole graph.

        If the whole graph disagrees with the head on an image, it predicts on all of them.

        Args:
            model: the model, whole.
            samples: the images.
            reader: of the data set's shards.
            on_progress: called with the number of images done since the last call.
        """
        found, features, known = self._computed(model, samples, reader, on_progress)
        some = [place for place in known or range(len(samples)) if place not in found.unreadable]
        some = some[:: max(1, len(some) // CHECKED_IMAGES)][:CHECKED_IMAGES]
        whole = predict(model, [samples[place] for place in some], reader, lambda _: None)
        read = [number for number in range(len(some)) if number not in whole.unreadable]
        difference = abs(whole.probabilities - found.probabilities[some])[read].max(initial=0.0)
        if not np.isfinite(found.probabilities).all() or not difference <= MOST_DIFFERENCE:
            self.warn(
                f"whole graph and head differ by up to {difference:.1e} of a probability: the whole "
                "graph answers all images"
            )
            return predict(model, samples, reader, on_progress)
        on_progress(len(known))
        self.say(
            f"features of {len(known)} of {len(samples)} test images were known; whole graph and head "
            f"differ by at most {difference:.1e} of a probability on {len(read)} images"
        )
        readable = [place for place in range(len(samples)) if place not in found.unreadable]
        self._leave([samples[place].sha256 for place in readable], features[readable])
        return replace(
            found,
            seconds=found.seconds + whole.seconds,
            computed=found.computed + whole.computed,
        )

    def _computed(
        self,
        model: OnnxPredictor,
        samples: Sequence[Sample],
        reader: ShardReader,
        on_progress: Callable[[int], None],
    ) -> tuple[Answers, np.ndarray, list[int]]:
        """Predict as ``answer`` does, without a check.

        Returns:
            Predictions; features, float32 [n, width]; places of the images whose features were known.
        """
        known = [place for place, sample in enumerate(samples) if sample.sha256 in self.by_image]
        fresh = sorted({*range(len(samples))} - {*known})
        width, fit = self.model.width, model.manifest.input_size
        images = [samples[place] for place in fresh]
        columns = width + len(model.labels)
        computed = compute(self.model.answer, columns, images, reader, fit, on_progress)
        values = np.zeros((len(samples), columns), np.float32)
        values[fresh] = computed.values
        features, probabilities = values[:, :width], values[:, width:]
        if known:
            features[known] = [self.by_image[samples[place].sha256] for place in known]
            probabilities[known] = self.model.probabilities(features[known])
        unreadable = {fresh[place]: why for place, why in computed.unreadable.items()}
        decided = model.decide(probabilities)
        answers = Answers(probabilities, decided, computed.seconds, len(fresh), unreadable)
        return answers, features, known

    def _leave(self, images: Sequence[str], features: np.ndarray) -> None:
        """Write the features, float32 [n, width], of images (sha256)."""
        if not images or features.nbytes > MOST_BYTES:
            return
        values = pa.FixedSizeListArray.from_arrays(pa.array(features.ravel()), features.shape[1])
        rows = pa.table({"sha256": images, "features": values})
        rows = rows.replace_schema_metadata({BODY: self.model.body_digest})
        pq.write_table(rows, self.target, compression="none", use_dictionary=False)


def _read(path: Path, model: SplitModel, warn: Callable[[str], object]) -> dict[str, np.ndarray]:
    """Read features, float32 [width], by sha256; nothing if they are another body's, or damaged.

    Args:
        path: of the file.
        model: whose body must have computed them.
        warn: is told of damage.
    """
    try:
        rows = pq.read_table(path)
        if (rows.schema.metadata or {})[BODY.encode()].decode() != model.body_digest:
            return {}  # another net, image size or version of ONNX Runtime
        flat = rows["features"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
        features = flat.astype(np.float32).reshape(rows.num_rows, model.width)
        images = rows["sha256"].to_pylist()
        if not np.isfinite(features).all():
            raise ValueError("a value is not finite")
    except (pa.ArrowException, OSError, KeyError, ValueError, AttributeError) as error:
        warn(
            f"{path.name} of an earlier evaluation cannot be read ({type(error).__name__}: "
            f"{str(error)[:200]}): all features are computed"
        )
        return {}
    return dict(zip(images, features, strict=True))
