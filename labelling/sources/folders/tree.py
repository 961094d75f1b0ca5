"""The tree of a source's folders with their numbers of images, from which layouts are read."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal

from labelling.sources.folders.names import Kind
from labelling.sources.reading import Split

Role = Literal["class", "seen through", "unlabelled", "masks"]
"""The role of a folder: its name is a class or a part of one; says nothing; its images have no
labels; its images are masks."""

EXAMPLES = 3


@dataclass(slots=True, eq=False)
class FolderNode:
    """A folder that contains images, directly or in subfolders.

    Attributes:
        name: its own name; empty for the root.
        path: below the source, without slashes at its ends.
        images: number of images in the folder itself.
        examples: the first names of these.
        children: by name.
        kind: what the name looks like.
        role: its role.
        label: its name as a class.
        split: the split that the name means.
        classes: the classes directly below, including those in folders that are seen through.
    """

    name: str
    path: str
    images: int = 0
    examples: list[str] = field(default_factory=list)
    children: dict[str, "FolderNode"] = field(default_factory=dict)
    kind: Kind = "name"
    role: Role = "class"
    label: str = ""
    split: Split | None = None
    classes: frozenset[str] = frozenset()

    def walk(self) -> Iterator["FolderNode"]:
        """This folder and all below it, in the order of their names."""
        pending = [self]
        while pending:
            node = pending.pop()
            yield node
            pending += [node.children[name] for name in sorted(node.children, reverse=True)]

    def top_classes(self) -> Iterator["FolderNode"]:
        """The topmost folders below that are classes."""
        for child in self.children.values():
            if child.role == "class":
                yield child
            elif child.role == "seen through":
                yield from child.top_classes()


def folder_tree(names: Iterable[str]) -> FolderNode:
    """The tree of the folders of ``names``, which are paths of images below the source."""
    root = FolderNode("", "")
    known = {"": root}
    for name in names:
        folder, _, file = name.rpartition("/")
        node = known.get(folder) or _grown(known, folder)
        node.images += 1
        if len(node.examples) < EXAMPLES:
            node.examples.append(file)
    return root


def _grown(known: dict[str, FolderNode], folder: str) -> FolderNode:
    parts = folder.split("/")
    node = known[""]
    for depth, part in enumerate(parts, start=1):
        path = "/".join(parts[:depth])
        below = known.get(path)
        if below is None:
            below = node.children[part] = known[path] = FolderNode(part, path)
        node = below
    return node
