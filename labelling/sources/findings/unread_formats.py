"""Images in unsupported formats, and placeholder files, reported before an ingest.

A suffix decides unless the first bytes contradict it: a JPEG that is called ``.heic`` is read.
Files with the suffix of an image are sampled; if one of the sample is not an image, all are
checked. No pixel is decoded. Ingest validates whole files, so whatever is missed here is reported
there.
"""

import re
from collections.abc import Iterator, Sequence

from labelling.sources.containers.containers import FileContainer, Rejection
from labelling.sources.listing import Listing
from labelling.sources.lists.files.index import has_image_suffix

HEIC = "HEIC is not supported; convert it to JPEG, PNG, WebP or AVIF"
RAW = "a camera's raw file, of which only a small preview could be read; export it as JPEG or TIFF"
_VECTOR = "a vector drawing, not a picture of pixels; export it as PNG"
_PAINT = "a document of a paint program; export it as PNG or JPEG"
_SCIENCE = "a format of medicine, microscopy or astronomy; export it as PNG or TIFF"
_OTHER = "an image in a format that is not read; convert it to PNG or JPEG"
NONE = "not an image in a supported format (JPEG, PNG, WebP, AVIF, GIF, TIFF, BMP, PNM, JPEG 2000)"
LFS = "a pointer of Git LFS, not the image itself; run `git lfs pull` there, and ingest again"
_ANNEX = "a pointer of git-annex, not the image itself; run `git annex get` there, and ingest again"

_SUFFIXES = {
    **dict.fromkeys(("heic", "heif", "hif", "heics", "heifs"), HEIC),
    **dict.fromkeys(("cr2", "cr3", "crw", "nef", "nrw", "arw", "srf", "sr2", "orf", "rw2"), RAW),
    **dict.fromkeys(("raf", "dng", "pef", "srw", "3fr", "fff", "iiq", "erf", "mrw", "x3f"), RAW),
    **dict.fromkeys(("kdc", "dcr", "mos", "mef", "rwl", "gpr"), RAW),
    **dict.fromkeys(("svg", "svgz", "ai", "eps", "ps", "wmf", "emf", "cdr", "dxf"), _VECTOR),
    **dict.fromkeys(("psd", "psb", "xcf", "kra", "clip", "ora", "afphoto", "procreate"), _PAINT),
    **dict.fromkeys(("dcm", "dicom", "nii", "mha", "nrrd", "fits", "fts", "czi", "lif"), _SCIENCE),
    **dict.fromkeys(("jxl", "jxr", "wdp", "exr", "hdr", "ico", "icns", "cur", "tga"), _OTHER),
    **dict.fromkeys(("pcx", "sgi", "xbm", "xpm", "dds", "djvu", "bpg", "flif", "qoi"), _OTHER),
}
_BEGINNINGS = (
    (b"version https://git-lfs.github.com/spec/", LFS),
    (b"version https://hawser.github.com/spec/", LFS),
    (b"/annex/objects/", _ANNEX),
    (b"8BPS", _PAINT),
)
_HEIC_BRANDS = {b"heic", b"heix", b"hevc", b"mif1", b"msf1"}
_AVIF = re.compile(rb"avi[fs]")
_READ = re.compile(rb"\xff\xd8\xff|\x89PNG|GIF8|RIFF....WEBP|....ftypavi[fs]", re.DOTALL)
_MAY_BE_READ = re.compile(
    rb"\xff\xd8\xff|\x89PNG|GIF8|RIFF....WEBP|....ftyp(avif|avis|mif1|msf1)"
    rb"|II[\x2a\x2b]\0|MM\0[\x2a\x2b]|MM\x2a\0|II\0\x2a|P[0-7Ffyz]|BM"
    rb"|\xff\x4f\xff\x51|\0\0\0\x0cjP  |[\x0c\x28\x34\x38\x40\x6c\x7c]\0\0\0",
    re.DOTALL,
)
"""The signatures of Pillow's readers of ``training.images.images.FORMATS``; the last are DIB
headers."""

_WHOLE = 16
"""The least bytes of an image."""

SAMPLE = 256
_MOST_UNKNOWN = 2000
"""The most files without a known suffix that are checked."""


def set_aside(container: FileContainer, listing: Listing) -> None:
    """Move files that are not readable images from ``listing.images`` to the rejections.

    Args:
        container: the source.
        listing: its table of contents; ``images``, ``rejections`` and ``refused`` change.
    """
    by_name = {entry: why for entry in listing.images if (why := by_suffix(entry))}
    heads = dict(container.heads(by_name))
    refused = {e: why for e, why in by_name.items() if not _READ.match(heads.get(e, b""))}
    others = [entry for entry in listing.images if entry not in by_name]
    refused |= _by_bytes(container, others)
    if not refused:
        return
    listing.images = [entry for entry in listing.images if entry not in refused]
    for entry, why in refused.items():
        name = listing.name_of(entry)
        listing.rejections.append(Rejection(name, why))
        listing.refused[name] = why


def by_suffix(name: str) -> str | None:
    """Why a file of this name is probably not readable; ``None`` if it may be."""
    stem, _, suffix = name.rpartition(".")
    return _SUFFIXES.get(suffix.lower()) if stem else None


def by_head(head: bytes) -> str | None:
    """Why a file with these first bytes is not a readable image; ``None`` if it may be one."""
    if head[4:8] == b"ftyp" and head[8:12] in _HEIC_BRANDS and not _AVIF.search(head):
        return HEIC
    for beginning, why in _BEGINNINGS:
        if head.startswith(beginning):
            return why
    return NONE if len(head) >= _WHOLE and not _MAY_BE_READ.match(head) else None


def _by_bytes(container: FileContainer, entries: Sequence[str]) -> dict[str, str]:
    if not container.has_cheap_heads:
        return {}
    unknown = [entry for entry in entries if not has_image_suffix(entry)]
    found = dict(_no_images(container, _spread(unknown, _MOST_UNKNOWN)))
    known = entries if not unknown else [entry for entry in entries if has_image_suffix(entry)]
    if next(_no_images(container, _spread(known, SAMPLE)), None):
        found |= dict(_no_images(container, known))
    return found


def _no_images(container: FileContainer, entries: Sequence[str]) -> Iterator[tuple[str, str]]:
    for entry, head in container.heads(entries):
        if why := by_head(head):
            yield entry, why


def _spread(entries: Sequence[str], most: int) -> Sequence[str]:
    """At most ``most`` of the entries, evenly spaced."""
    return entries if len(entries) <= most else entries[:: -(-len(entries) // most)]
