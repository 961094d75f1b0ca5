"""The lists that the user names by a path, a name in the source, or a pattern (``style_*.csv``)."""

from collections.abc import Sequence
from pathlib import Path

from labelling.sources.containers.containers import Content, FileContainer, OptionError, SourceError
from labelling.sources.given_lists import MAX_LIST_BYTES
from labelling.sources.listing import Listing
from labelling.sources.lists.files.families import fits, is_pattern
from labelling.sources.lists.list_format import ListFile


def named_lists(
    given: str, source: Path, container: FileContainer, listing: Listing
) -> Sequence[ListFile]:
    """Read the lists that ``given`` names.

    Args:
        given: a path, a name or a pattern.
        source: the path of the source.
        container: the source.
        listing: its table of contents.

    Raises:
        OptionError: there is no such list.
        SourceError: it cannot be read.
    """
    path = Path(given).expanduser()
    if is_pattern(given) and not path.exists():
        inside = path.relative_to(source).as_posix() if path.is_relative_to(source) else given
        entries = [e for e in listing.lists if fits(listing.name_of(e), inside) or fits(e, inside)]
    else:
        entries = [e for e in listing.lists if path.as_posix() in (e, listing.name_of(e))]
    if entries and not path.exists():
        return [_in_source(entry, given, container, listing) for entry in sorted(entries)]
    try:
        data = path.read_bytes()
    except OSError as error:
        raise OptionError(
            f"--labels-from {given}: {error.strerror or error}; give the path of a list, "
            "or parent, top, path, none"
        ) from error
    whole = path.resolve()
    if source.is_dir() and whole.is_relative_to(source):
        return [ListFile(listing.name_of(whole.relative_to(source).as_posix()), data)]
    return [ListFile(path.name, data)]


def _in_source(entry: str, given: str, container: FileContainer, listing: Listing) -> ListFile:
    for content in container.contents([entry], MAX_LIST_BYTES):
        if isinstance(content, Content):
            return ListFile(listing.name_of(entry), content.data)
        raise SourceError(f"{given}: {content.reason}")
    raise SourceError(f"{given}: cannot be read")
