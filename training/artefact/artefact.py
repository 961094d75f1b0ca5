"""The model artefact, ``model.tar.gz``: an ONNX graph, a state dict and a manifest. No pickle.

The manifest contains the SHA-256 of every other member, so the SHA-256 of the manifest identifies
the whole artefact: it is called *the digest* everywhere.
"""

import gzip
import hashlib
import io
import os
import shutil
import tarfile
import tempfile
import zlib
from pathlib import Path, PurePosixPath
from typing import IO, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from training.config import ExportPrecision, Resize
from training.errors import ArtefactError
from training.images.preprocessing import Interpolation

Task = Literal["single_label", "multi_label"]

MANIFEST = "manifest.json"
ONNX_MODEL = "model.onnx"
TORCH_MODEL = "model.pt"
MEMBERS = (MANIFEST, ONNX_MODEL, TORCH_MODEL)
DEFAULT_MAX_BYTES = 4 * 1024**3
_MAX_MANIFEST_BYTES = 16 * 1024**2
_CHUNK = 1024 * 1024


class ArtefactManifest(BaseModel):
    """What ``manifest.json`` says of a model.

    ``thresholds`` holds a probability for each label (multi_label only); ``temperature``
    divides the logits and is already inside the ONNX graph, as is the resizing
    (``interpolation``, ``resize``); ``precision`` is the one that it is served in; ``members`` maps the name of each other file of the artefact to its sha256
    (hex).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    task: Task
    labels: tuple[str, ...] = Field(min_length=2)
    input_size: int = Field(ge=1, description="Side of the square the net sees, in pixels.")
    interpolation: Interpolation = "bilinear"
    resize: Resize = "squash"
    thresholds: dict[str, float] = {}
    temperature: float = Field(1.0, gt=0)
    dataset_version: str
    code_version: str
    model_version: str
    recipe: str
    architecture: str
    opset: int = Field(ge=1)
    members: dict[str, str]
    precision: ExportPrecision = "fp32"
    created_by: str

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if len(set(self.labels)) != len(self.labels):
            raise ValueError("labels holds a label twice")
        wanted = set(self.labels) if self.task == "multi_label" else set()
        if set(self.thresholds) != wanted:
            raise ValueError("thresholds must name every label of a multi_label model, else none")
        if set(self.members) != set(MEMBERS) - {MANIFEST}:
            raise ValueError(f"members must be {ONNX_MODEL} and {TORCH_MODEL}")
        return self

    def canonical(self) -> bytes:
        """Return the bytes of ``manifest.json``; equal manifests give equal bytes."""
        # Manifests of older versions have none of these fields and mean these values: their bytes, and
        # so the models' digests, must stay.
        former = {"interpolation": "bilinear", "resize": "squash", "precision": "fp32"}
        absent = {name for name, value in former.items() if getattr(self, name) == value}
        return (self.model_dump_json(indent=2, exclude=absent) + "\n").encode()


def sha256_file(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_manifest(folder: Path, **fields: object) -> ArtefactManifest:
    """Build and write the manifest of the model in ``folder``, which has the other members.

    Args:
        folder: holds ``model.onnx`` and ``model.pt``; gets ``manifest.json``.
        fields: the fields of ``ArtefactManifest`` except ``members``.
    """
    members = {name: sha256_file(folder / name) for name in MEMBERS if name != MANIFEST}
    manifest = ArtefactManifest.model_validate({**fields, "members": members})
    temporary = folder / f".{MANIFEST}.tmp"
    temporary.write_bytes(manifest.canonical())
    temporary.replace(folder / MANIFEST)
    return manifest


def read_artefact_manifest(folder: Path) -> ArtefactManifest:
    """Read the manifest of an unpacked artefact.

    Raises:
        ArtefactError: it is missing or not a manifest.
    """
    path = folder / MANIFEST
    try:
        return ArtefactManifest.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise ArtefactError(f"{folder} holds no {MANIFEST}: it is not a model artefact") from None
    except ValidationError as error:
        raise ArtefactError(f"{path} is not a model's manifest: {error}") from error


def digest(source: ArtefactManifest | Path) -> str:
    """Return the digest of an artefact (SHA-256, hex) from its manifest or its unpacked folder."""
    manifest = source if isinstance(source, ArtefactManifest) else read_artefact_manifest(source)
    return hashlib.sha256(manifest.canonical()).hexdigest()


def pack(folder: Path, target: Path) -> Path:
    """Write ``folder``'s members to ``target`` (.tar.gz), atomically.

    Equal members give equal bytes (no times, no owners).
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    # Weights hardly compress: the fastest level costs 1 % in size and saves most of the time.
    with (
        temporary.open("wb") as raw,
        gzip.GzipFile("", "wb", compresslevel=1, fileobj=raw, mtime=0) as zipped,
        tarfile.open(fileobj=zipped, mode="w", format=tarfile.USTAR_FORMAT) as tar,
    ):
        for name in sorted(MEMBERS):
            info = tarfile.TarInfo(name)
            info.size = (folder / name).stat().st_size
            with (folder / name).open("rb") as member:
                tar.addfile(info, member)
    temporary.replace(target)
    return target


def unpack(
    archive: Path | bytes, into: Path, *, max_bytes: int = DEFAULT_MAX_BYTES
) -> ArtefactManifest:
    """Unpack a ``model.tar.gz`` and verify every member.

    Only the known members are accepted, as regular files, and ``into`` is created by one rename
    after all are verified.

    Args:
        archive: the file, or its bytes.
        into: folder to create; missing or empty.
        max_bytes: largest total size of the members.

    Raises:
        ArtefactError: the archive is unreadable or too big, has other members, or a member
            differs from the manifest.
        FileExistsError: ``into`` is not empty.
    """
    if into.exists() and any(into.iterdir()):
        raise FileExistsError(f"{into} is not empty; unpack a model into a folder of its own")
    name = "the archive" if isinstance(archive, bytes) else str(archive)
    into.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{into.name}.", dir=into.parent))
    try:
        with io.BytesIO(archive) if isinstance(archive, bytes) else archive.open("rb") as raw:
            _extract(raw, scratch, max_bytes)
        manifest = verify(scratch)
        scratch.replace(into)
    except (tarfile.TarError, EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ArtefactError(f"{name} is not a readable model.tar.gz: {error}") from error
    except ArtefactError as error:
        raise ArtefactError(f"{name}: {error}") from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return manifest


def _extract(raw: IO[bytes], folder: Path, max_bytes: int) -> None:
    """Write the members to ``folder``; the archive is read as a stream."""
    left = max_bytes
    with tarfile.open(fileobj=raw, mode="r|gz") as tar:
        for info in tar:
            name = str(PurePosixPath(info.name))  # ./model.onnx in SageMaker's archives
            if info.isdir() and name == ".":
                continue
            if name not in MEMBERS or not info.isfile():
                raise ArtefactError(f"unexpected member {info.name!r}")
            left -= info.size
            if left < 0 or (name == MANIFEST and info.size > _MAX_MANIFEST_BYTES):
                raise ArtefactError(f"member {name} is too big (limit {max_bytes} bytes in all)")
            member = tar.extractfile(info)
            try:
                with (folder / name).open("xb") as target:
                    shutil.copyfileobj(member, target, _CHUNK)  # type: ignore[arg-type] # isfile(), so never None
            except FileExistsError:
                raise ArtefactError(f"member {name} occurs twice") from None


def verify(folder: Path) -> ArtefactManifest:
    """Check every member of an unpacked artefact against its manifest, and return the manifest.

    Raises:
        ArtefactError: the manifest or a member is missing, or a member differs.
    """
    manifest = read_artefact_manifest(folder)
    for name, expected in manifest.members.items():
        path = folder / name
        if not path.exists():
            raise ArtefactError(f"member {name} is missing")
        if (actual := sha256_file(path)) != expected:
            raise ArtefactError(
                f"member {name} has sha256 {actual[:12]}…, the manifest says {expected[:12]}…"
            )
    return manifest
