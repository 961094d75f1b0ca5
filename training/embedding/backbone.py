"""The name of a backbone, which says what its features are of."""

import hashlib
from typing import TYPE_CHECKING

from training.embedding.features import FEATURES_VERSION, backbone_start
from training.images.preprocessing import Preprocessing

if TYPE_CHECKING:
    from training.fitting.architectures import Classifier


def backbone_name(net: "Classifier", architecture: str) -> str:
    """Name a backbone by its weights; backbones with the same name compute the same features.

    Args:
        net: whose backbone.
        architecture: name of the architecture.

    Returns:
        ``<architecture>-<size>-<12 hex digits>``, a hash of the weights, their preprocessing and the
        code's version; a resizing other than squash follows the size.
    """
    used = net.preprocessing
    found = hashlib.sha256(" ".join(FEATURES_VERSION).encode())
    if used != Preprocessing(
        size=used.size, resize=used.resize
    ):  # that of all nets of older versions
        found.update(repr(used).encode())
    for name, tensor in net.backbone.state_dict().items():
        found.update(name.encode())
        found.update(tensor.cpu().contiguous().numpy().tobytes())
    return f"{backbone_start(architecture, used.size, used.resize)}{found.hexdigest()[:12]}"
