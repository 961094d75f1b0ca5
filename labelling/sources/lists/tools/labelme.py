"""LabelMe's flags of whole images (``labelme --flags``), in one JSON for each image.

https://github.com/wkentaro/labelme/tree/main/examples/classification: ``flags`` has every flag that
was offered, true or false, and ``shapes`` is empty. A file with shapes is detection.
"""

from collections.abc import Mapping
from typing import Any

from labelling.sources.lists.list_format import ListReading, Surroundings
from labelling.sources.lists.plain_json.document import JsonDocument
from labelling.sources.lists.statements import Statements
from labelling.sources.reading import ReadingOptions


class LabelMeFlags:
    """``{"flags": {"cat": true, "dog": false}, "shapes": [], "imagePath": "a.jpg"}``."""

    name = "LabelMe's flags"

    def read(
        self, document: JsonDocument, options: ReadingOptions, source: Surroundings
    ) -> ListReading | None:
        """Read the flags of one image.

        Args:
            document: the list, decoded record by record.
            options: what the user decided.
            source: the files around the list; not used.

        Returns:
            The flags that are set, as labels; ``None`` if it is not in this format or has shapes.

        Raises:
            ListRefusedError: many images have several labels where the task is single_label, or the
                labels are a hierarchy.
        """
        value = document.value
        if not isinstance(value, dict) or not _is_ours(value):
            return None
        flags = value["flags"]
        # Without a flag, the image may not have been looked at.
        labels = [name for name, is_set in flags.items() if is_set] or None
        statements = Statements(document.name, options)
        statements.add(document.name, value["imagePath"], labels)
        return statements.reading(self.name)


def _is_ours(value: Mapping[str, Any]) -> bool:
    """Whether it is LabelMe's, offers flags, and has no shapes."""
    flags = value.get("flags")
    return (
        value.get("shapes") == []
        and "imagePath" in value
        and isinstance(flags, dict)
        and bool(flags)
        and all(isinstance(is_set, bool) for is_set in flags.values())
    )
