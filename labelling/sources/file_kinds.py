"""The kind of a file by its name alone: an image, a list of labels, or neither."""

import re
from typing import Literal

FileKind = Literal["image", "table", "text", "spreadsheet", "array", "other", "archive", "video"]
"""``image``: also a file with an unknown suffix or none; its bytes decide. ``table``: a file type
of lists of labels. ``text``: sometimes a list. ``array``: named like labels, in a format of NumPy,
Python or Matlab. ``other``: never an image."""

_SUFFIXES: dict[str, FileKind] = {
    **dict.fromkeys(
        ("csv", "tsv", "tab", "psv", "jsonl", "ndjson", "manifest", "parquet"), "table"
    ),
    **dict.fromkeys(("txt", "json", "xml", "lst", "cls"), "text"),
    **dict.fromkeys(("xlsx", "xls", "xlsm", "ods", "numbers", "feather"), "spreadsheet"),
    **dict.fromkeys(
        ("zip", "tar", "gz", "tgz", "bz2", "tbz2", "xz", "txz", "7z", "rar"), "archive"
    ),
    **dict.fromkeys(("mp4", "mov", "avi", "mkv", "webm", "m4v", "wmv", "mpg", "mpeg"), "video"),
    **dict.fromkeys(("mts", "3gp", "flv"), "video"),
    **dict.fromkeys(
        ("md", "rst", "html", "htm", "css", "js", "pdf", "doc", "docx", "rtf"), "other"
    ),
    **dict.fromkeys(("odt", "pptx", "tex", "log", "yaml", "yml", "toml", "ini", "cfg"), "other"),
    **dict.fromkeys(
        ("py", "ipynb", "sh", "bat", "m", "r", "lock", "url", "lnk", "torrent"), "other"
    ),
    **dict.fromkeys(("pkl", "pickle", "npy", "npz", "h5", "hdf5", "mat", "pt", "pth"), "other"),
    **dict.fromkeys(("onnx", "db", "sqlite", "arrow", "tfrecord", "lmdb", "mdb", "cache"), "other"),
    **dict.fromkeys(("xmp", "aae", "thm", "exe", "dll", "wav", "mp3", "license", "bib"), "other"),
    **dict.fromkeys(("names", "data", "pbtxt", "prototxt", "caffemodel", "md5", "sha256"), "other"),
    **dict.fromkeys(("dvc", "tfw", "jgw", "pgw", "wld", "prj", "vtt", "srt"), "other"),
    **dict.fromkeys(("sha1", "crc", "nfo", "sql", "kml", "geojson", "shp", "dbf"), "other"),
}
_ARRAYS = {"npy", "npz", "pkl", "pickle", "joblib", "mat", "h5", "hdf5"}
_CALLED_LABELS = re.compile(r"label|anno(s|t|$)|ground.?truth|target|^y(_\w+)?$")
_ABOUT_LABELS = re.compile(r"encoder|binarizer|names|map")
_WHOLE_NAMES = {
    *("readme", "license", "licence", "copying", "makefile", "dockerfile", "notice", "changelog"),
    *("authors", "citation", "md5sums", "sha256sums", "checksums"),
}


def file_kind(name: str) -> FileKind:
    """The kind of a file by its name.

    Args:
        name: of the file, with or without folders.
    """
    base = name.rpartition("/")[2].casefold()
    if base == "readme.md":
        return "text"  # of a data set of Hugging Face: it names the classes
    stem, dot, suffix = base.rpartition(".")
    if not dot:
        return "other" if base in _WHOLE_NAMES else "image"
    if not stem:
        return "image"
    if suffix in _ARRAYS and _CALLED_LABELS.search(stem) and not _ABOUT_LABELS.search(stem):
        return "array"
    return _SUFFIXES.get(suffix, "image")
