"""The names in an archive: decoded, validated, and classified as those of a folder."""

from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass

from labelling.sources.containers.containers import Entry, Passed, Rejection, safe_name
from labelling.sources.containers.litter import (
    EMPTY,
    PACKED,
    SIDECAR,
    image_of_sidecar,
    is_archive,
    litter_of_source,
)
from labelling.sources.containers.misread import Misread
from labelling.sources.containers.name_encodings import guess_encoding
from labelling.sources.doubt import Doubt

TWICE = "there is a second file of this name in the archive; the last one counts"
_EXAMPLES = 3


class Sieve:
    """Classifies the members of one archive, in their order."""

    def __init__(self) -> None:
        self._names: set[str] = set()
        self._reported: set[Passed] = set()
        self._held: list[str] = []
        self._folders: dict[str, Passed | None] = {}
        self._named_folders: set[str] = set()
        self._misread = Misread()
        self.repeated: Counter[str] = Counter()
        """How many further members have the same name."""

    def sort(self, raw: str, problem: str | None) -> Iterator[Entry]:
        """Classify a member; nothing is yielded for one that :meth:`rest` yields.

        Args:
            raw: its path, as the archive gives it.
            problem: why its bytes cannot be read; ``None`` if they can.
        """
        try:
            name = safe_name(raw)
        except ValueError as error:
            yield Rejection(raw, str(error))
            return
        if (passed := self._passed(name)) is not None:
            if passed not in self._reported:
                self._reported.add(passed)
                yield passed
        elif problem is not None or is_archive(name):
            yield Rejection(name, problem or PACKED)
        elif name in self._names:
            self.repeated[name] += 1
            yield Passed(name, TWICE)
        else:
            self._names.add(name)
            self._misread.look_at(name)
            if image_of_sidecar(name):
                self._held.append(name)  # the image may come later
            else:
                yield name

    def folder(self, raw: str) -> None:
        """Remember a folder that the archive lists: it may be empty."""
        with suppress(ValueError):
            self._named_folders.add(safe_name(raw.rstrip("/")))

    @property
    def warnings(self) -> tuple[str, ...]:
        """Warnings about the names; known after all were sorted."""
        return self._misread.warnings()

    def _passed(self, name: str, *, is_folder: bool = False) -> Passed | None:
        """The first part of a path that is skipped, as in ``walk.walk``."""
        folder, _, last = name.rpartition("/")
        if folder and folder not in self._folders:
            upper = self._passed(folder, is_folder=True)
            self._folders[folder] = (
                Passed(f"{upper.name.rstrip('/')}/", upper.reason) if upper else None
            )
        if (above := self._folders.get(folder)) is not None:
            return above
        reason = litter_of_source(last, folder=is_folder)
        return Passed(name, reason) if reason else None

    def rest(self) -> Iterator[Entry]:
        """The entries that depend on all names: sidecars of images, and empty folders."""
        for name in self._held:
            beside = self._names.intersection(image_of_sidecar(name))
            yield Passed(name, SIDECAR) if beside else name
        above = {name.rpartition("/")[0] for name in self._named_folders}
        for name in sorted(self._named_folders - above - self._folders.keys()):
            if self._passed(f"{name}/") is None:
                yield Passed(f"{name}/", EMPTY)


@dataclass(frozen=True, slots=True)
class NamesRead:
    """How names without a declared encoding are decoded.

    Attributes:
        codec: the codec; ``None`` if none fits.
        doubts: the open question.
        warnings: decisions that the user should check.
        needed: whether there are such names.
    """

    codec: str | None
    doubts: tuple[Doubt, ...] = ()
    warnings: tuple[str, ...] = ()
    needed: bool = True

    def decode(self, raw: bytes) -> str | None:
        """The name; ``None`` if it is not in the encoding."""
        try:
            return raw.decode(self.codec) if self.codec else None
        except UnicodeDecodeError:
            return None


def read_names(archive: str, raw: Collection[bytes], given: str | None) -> NamesRead:
    """Decide how names without a declared encoding are decoded.

    Args:
        archive: the archive's name, for messages.
        raw: paths, some of them not ASCII.
        given: the codec that the user named.
    """
    if not raw:
        return NamesRead("utf-8", needed=False)
    found = guess_encoding(raw)
    no_encoding = f"the names in {archive} do not say their encoding"
    utf8 = found.certain and found.encoding == "utf-8"
    if given is not None and not utf8:
        return NamesRead(given)
    if given not in {None, "utf-8"}:
        shown = ", ".join(found.readings[0][1])
        return NamesRead("utf-8", warnings=(f"the names in {archive} are UTF-8: {shown}",))
    if found.certain and found.encoding is not None:
        name, words = found.readings[0]
        chosen = (
            f"{no_encoding}; they were read as {name}: {', '.join(words)} (--encoding overrides "
            "this)"
        )
        return NamesRead(found.encoding, warnings=() if utf8 else (chosen,))
    answers = tuple(
        (f"--encoding {name}", f"names: {', '.join(words)}") for name, words in found.readings
    )
    other = ("--encoding NAME", "the code page of the system that packed it (gbk, cp932, cp949, …)")
    question = f"{no_encoding} ({_shown(raw)})"
    return NamesRead(found.encoding, doubts=(Doubt(question, (*answers, other)),))


def _shown(raw: Collection[bytes]) -> str:
    examples = [repr(name)[2:-1] for name in list(raw)[:_EXAMPLES]]
    more = len(raw) - len(examples)
    return ", ".join(examples) + (f" and {more:,} more" if more else "")


def undecodable(raw: bytes, names: NamesRead) -> Rejection:
    """The rejection of a member whose name cannot be decoded."""
    wanted = names.codec or "any encoding that is tried"
    return Rejection(
        raw.decode("utf-8", "backslashreplace"),
        f"its name is not {wanted}; name the right one with --encoding",
    )
