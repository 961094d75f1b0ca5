"""What a training job notes of the comparison of its exported graph with its net.

In a module without torch, for the assets that store it.
"""

from pydantic import BaseModel, ConfigDict

from training.config import ExportPrecision

EXPORT_CHECK = "export_check.json"
"""Output of a training job: an ``ExportCheck``."""

MOST_DIFFERENCE: dict[ExportPrecision, float] = {"bf16": 0.25, "int8": 0.35}
"""Of a single probability, of a graph that is served in a lower precision. bfloat16 has 8 significant
bits. Measured: 0.06 to 0.20, and 0.16 to 0.30 in int8."""

CHECKED_BODIES = "checked-bodies"
"""Channel with the comparisons of earlier jobs, by ``comparison_file``."""


class CheckedBody(BaseModel):
    """The comparison of a body with its net.

    Attributes:
        body: SHA-256 (hex) of the body, ONNX Runtime's version and PyTorch's.
        images: number of images compared.
        difference: largest difference of a probability among them.
        model_version: the model whose graph was compared.
    """

    model_config = ConfigDict(frozen=True, protected_namespaces=(), ser_json_inf_nan="constants")

    body: str
    images: int
    difference: float
    model_version: str


def comparison_file(checked: CheckedBody) -> str:
    """Return the name of the file with a comparison; a later job's replaces none that is damaged."""
    return f"{checked.body}-{checked.images:04d}-{checked.model_version}.json"


class ExportCheck(BaseModel):
    """What ``export_check.json`` says.

    Attributes:
        difference: largest difference of a probability between graph and net.
        images: number of images on which whole graph and net were compared.
        features: number of images on whose features the heads were compared; 0: not needed.
        body: the comparison of the body, of this job or an earlier one; ``None`` for a model without a
            head that can be split off.
    """

    model_config = ConfigDict(frozen=True, ser_json_inf_nan="constants")

    difference: float
    images: int
    features: int = 0
    body: CheckedBody | None = None

    @property
    def images_checked(self) -> int:
        """The number of images on which this graph's body was compared, now or earlier."""
        return self.body.images if self.body else self.images
