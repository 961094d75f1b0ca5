"""Where images go: into class folders, or all into the folder of their split."""

from collections.abc import Callable, Collection, Iterable, Mapping
from itertools import count

from labelling.exports.contents import CannotHold, Contents, ExportImage
from labelling.exports.file_names import UniqueNames, safe_name, stem_and_suffix, suffix_for
from labelling.sources.folders.names import kind_of, original_of
from labelling.sources.names.dates import has_year
from labelling.sources.names.series import are_hash_prefixes, are_wells, is_identifier
from labelling.sources.names.splits import sounds_like_split

HOLD_SEVERAL = "huggingface, coco or label-studio"
"""The formats that hold any number of labels of an image."""

TORCHVISION = frozenset({".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp"})
"""The suffixes that torchvision's ImageFolder looks at (``IMG_EXTENSIONS``)."""

SHOWN = 3


def require_one_label(contents: Contents, format_name: str) -> None:
    """Check that each image has exactly one label, as class folders need.

    Raises:
        CannotHold: an image has several labels or none.
    """
    other = [image for image in contents.images if len(image.labels) != 1]
    if other:
        first = other[0]
        has = "|".join(first.labels) if first.labels else "no label"
        raise CannotHold(
            f"{format_name} cannot hold this data set: an image lies in the folder of one class, "
            f"and {len(other):,} of {len(contents.images):,} images have several labels or none "
            f"(such as {first.file}: {has}); use --format {HOLD_SEVERAL}"
        )


def class_folders(labels: Iterable[str]) -> dict[str, str]:
    """The folder name of each label: the label itself if every file system accepts it."""
    names = UniqueNames()
    folders = {}
    # Labels that can keep their name come first, so that no other label takes it.
    for label in sorted(labels, key=lambda label: (safe_name(label) != label, label)):
        folders[label] = names.take("", safe_name(label), map(str, count(2)), is_file=False)
    return folders


def in_class_folders(
    contents: Contents,
    folders: Mapping[str, str],
    splits: Mapping[str, str],
    read: Collection[str],
) -> dict[str, str]:
    """``<split>/<class>/<name>`` for each image, by its sha256.

    Args:
        contents: images of one label each.
        folders: the folder of each label.
        splits: the folder of each split.
        read: the suffixes that the format's reader looks at.
    """
    return _placed(
        contents, read, lambda image: f"{splits[image.split]}/{folders[image.labels[0]]}"
    )


def side_by_side(
    contents: Contents, splits: Mapping[str, str], read: Collection[str]
) -> dict[str, str]:
    """``<split>/<name>`` for each image, by its sha256.

    Args:
        contents: the images.
        splits: the folder of each split.
        read: the suffixes that the format's reader looks at.
    """
    return _placed(contents, read, lambda image: splits[image.split])


def unread(
    contents: Contents, paths: Mapping[str, str], read: Collection[str], reader: str
) -> list[str]:
    """Describe the images that a reader skips because of their suffix.

    Args:
        contents: the images.
        paths: the path of each image in the export, by sha256.
        read: the suffixes that the reader looks at, lower case with the dot.
        reader: its name, for the sentence.

    Returns:
        One sentence with the suffixes and how many images have each; empty if the reader skips
        none.
    """
    by_suffix: dict[str, int] = {}
    for image in contents.images:
        suffix = stem_and_suffix(paths[image.sha256].rpartition("/")[2])[1].lower()
        if suffix not in read:
            by_suffix[suffix] = by_suffix.get(suffix, 0) + 1
    if not by_suffix:
        return []
    kinds = ", ".join(f"{number:,} × {suffix or 'none'}" for suffix, number in by_suffix.items())
    return [f"{reader} passes over files with these suffixes: {kinds}; the bytes are as ingested"]


def renamed(folders: Mapping[str, str]) -> dict[str, str]:
    """The labels whose folder has a different name, with that name."""
    return {label: folder for label, folder in folders.items() if folder != label}


def folders_say_it(contents: Contents, folders: Mapping[str, str]) -> bool:
    """Whether ``imgclf ingest`` can read the labels from the names of the folders alone: each
    folder has the name of its label, and none looks like a split, a date, a container of images
    (``images``) or an identifier."""
    used = {label for image in contents.images for label in image.labels}
    return (
        len(used) > 1
        and not are_hash_prefixes(used)
        and not are_wells(used, "plate")
        and not all(map(has_year, used))
        and not any(
            folders[label] != label
            or is_identifier(label)
            or kind_of(label) != "name"
            or original_of(label) != label
            or sounds_like_split(label)
            for label in used
        )
    )


def renamed_labels_note(changed: Mapping[str, str], exact: str) -> list[str]:
    """A sentence about labels that cannot name a folder, if there are any.

    Args:
        changed: the folder of each such label.
        exact: the file that has the exact labels.
    """
    if not changed:
        return []
    some = ", ".join(f"{label!r} is {folder!r}" for label, folder in list(changed.items())[:SHOWN])
    more = f" and {len(changed) - SHOWN} more" if len(changed) > SHOWN else ""
    return [f"labels that cannot name a folder everywhere: {some}{more}; {exact} has them exactly"]


def _placed(
    contents: Contents, read: Collection[str], folder_of: Callable[[ExportImage], str]
) -> dict[str, str]:
    names = UniqueNames()
    paths = {}
    for image in contents.images:
        folder = folder_of(image)
        name = image.file.rpartition("/")[2]
        name = safe_name(name + suffix_for(name, image.format, read))
        tags = (image.sha256[:8], image.sha256)
        paths[image.sha256] = f"{folder}/{names.take(folder, name, tags)}"
    return paths
