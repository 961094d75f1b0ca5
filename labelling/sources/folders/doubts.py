"""Folders that are asked about because of their names alone."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from labelling.sources.folders.tree import FolderNode
from labelling.sources.names.leftovers import is_class_beside
from labelling.sources.names.partitions import value_of
from labelling.sources.names.series import are_wells
from labelling.sources.names.words import words

_SHARED = 5
"""The letters that a word and its opposite must have in common (``unsorted``)."""


@dataclass(slots=True)
class NamesInDoubt:
    """Such folders by kind; one question is asked about all of a kind.

    Attributes:
        unsorted: perhaps images that are not labelled yet.
        leftovers: bins, duplicates, old versions.
        wells: of plates.
    """

    unsorted: list[FolderNode] = field(default_factory=list)
    leftovers: list[FolderNode] = field(default_factory=list)
    wells: list[FolderNode] = field(default_factory=list)

    def look_at(self, node: FolderNode, known: Collection[str], source: str) -> None:
        """Check the folders in ``node`` that are taken for classes.

        Args:
            node: a folder whose subfolders have their roles.
            known: the existing classes.
            source: the name of the source.
        """
        classes = [child for child in node.children.values() if child.role == "class"]
        if len(classes) < 2:
            return
        names = [child.name for child in classes]
        new = [child for child in classes if child.label not in known]
        self.unsorted += [
            c for c in new if c.kind == "perhaps unlabelled" and not _is_sign(c, names)
        ]
        self.leftovers += [
            c
            for c in new
            if c.kind == "leftover"
            if not is_class_beside(c.name, [name for name in names if name != c.name])
        ]
        if new and are_wells(names, f"{source}/{node.path}"):
            self.wells += classes

    def questions(self) -> list[str]:
        """The questions, in words."""
        found = []
        if self.unsorted:
            found.append(
                f"{listed(self.unsorted)} may hold images that nobody has labelled yet, or be a "
                "class (if they are not labelled yet, call the folder unlabelled)"
            )
        if self.leftovers:
            found.append(
                f"{listed(self.leftovers)} "
                f"{look(self.leftovers, 'a bin, copies or an old version')}, or may be a class "
                "(if it is none, take it out of the source)"
            )
        if self.wells:
            found.append(
                f"{listed(self.wells)} look like wells of a plate, which say where a picture was "
                "taken, not what it shows"
            )
        return found


def has_opposite(node: FolderNode, classes: Sequence[FolderNode]) -> bool:
    """Whether a class beside ``node`` has the opposite name, so that both may be classes:
    ``labelled`` beside ``unlabelled``, ``with label`` beside ``no label``."""
    name_words = words(value_of(node.name))
    return any(
        _are_alike(one, two)
        for child in classes
        if child.images and child is not node
        for one in words(value_of(child.name))
        for two in name_words
    )


def _are_alike(one: str, two: str) -> bool:
    if one == two and len(one) > 3:
        return True
    need = _SHARED if one.isascii() else 2
    ends = min(len(one), len(two), need)
    return ends == need and (one[-need:] == two[-need:] or one[:need] == two[:need])


def _is_sign(node: FolderNode, names: Collection[str]) -> bool:
    """Whether a name without letters is one of several signs, which are classes (``?`` beside
    ``+``)."""
    if any(map(str.isalnum, node.name)):
        return False
    return any(name != node.name and len(name.strip()) == 1 for name in names)


def look(nodes: Sequence[FolderNode], what: str) -> str:
    """``looks like`` or ``look like``, for the number of ``nodes``."""
    return f"look{'s' if len(nodes) == 1 else ''} like {what}"


def listed(nodes: Sequence[FolderNode]) -> str:
    """The first three folders, and how many more there are."""
    names = [f"{node.path}/" for node in nodes[:3]]
    more = f" and {len(nodes) - 3} more" if len(nodes) > 3 else ""
    if len(names) > 1 and not more:
        return f"{', '.join(names[:-1])} and {names[-1]}"
    return ", ".join(names) + more
