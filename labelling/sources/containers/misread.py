"""File names that were decoded in the wrong encoding before they were written to disk.

``├¿`` is a misread Chinese 猫, ``KÃ¤fer`` a misread Käfer. Such names are valid, and would become
classes.
"""

from labelling.sources.containers.name_encodings import guess_encoding

_SHOWN = 3
_BOXES = range(0x2500, 0x25A0)
_UTF8_LEADS = "ÂÃÄÅÎÏÐÑ×ØÙàáâãåæçèéêëìíï"


def misread(text: str) -> str | None:
    """The original name, if ``text`` was decoded in the wrong encoding; else ``None``.

    "" stands for a damaged name that cannot be recovered.
    """
    if text.isascii():
        return None
    if "\ufffd" in text:
        return ""
    return _of_utf8(text) or _of_code_page(text)


def _of_utf8(text: str) -> str | None:
    """Recover UTF-8 that was decoded as cp1252 or latin-1."""
    if not any(char in _UTF8_LEADS for char in text):
        return None
    for codec in ("cp1252", "latin-1"):
        try:
            return text.encode(codec).decode("utf-8")
        except UnicodeError:
            continue
    return None


def _of_code_page(text: str) -> str | None:
    """Recover any other encoding that was decoded as cp437."""
    if not any(ord(char) in _BOXES for char in text):
        return None
    try:
        raw = text.encode("cp437")
    except UnicodeEncodeError:
        return ""
    found = guess_encoding([raw])
    return raw.decode(found.encoding) if found.encoding and found.certain else ""


class Misread:
    """Collects names of folders, which may become classes, that were probably misread."""

    def __init__(self) -> None:
        self._checked: set[str] = set()
        self._found: dict[str, str] = {}

    def look_at(self, name: str) -> None:
        """Check the folders of a path."""
        folder = name.rpartition("/")[0]
        if folder.isascii() or folder in self._checked:
            return
        self._checked.add(folder)
        for segment in folder.split("/"):
            if (meant := misread(segment)) is not None:
                self._found[segment] = meant

    def warnings(self) -> tuple[str, ...]:
        """One sentence about all of them, if there are any."""
        if not self._found:
            return ()
        pairs = [f"{name} ({meant}?)" if meant else name for name, meant in self._found.items()]
        more = f" and {len(pairs) - _SHOWN:,} more" if len(pairs) > _SHOWN else ""
        return (
            "these folders look as if they had been unpacked in the wrong encoding: "
            f"{', '.join(pairs[:_SHOWN])}{more}; rename them, or ingest the original archive, "
            "whose names are read in the right encoding",
        )
