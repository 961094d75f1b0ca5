"""CVAT's XML for images, if it holds tags: labels of whole images.

https://docs.cvat.ai/docs/dataset_management/formats/format-cvat/ (``<image name subset>`` with
``<tag label>`` beside ``<box>``, ``<polygon>`` and the like). Without tags it is detection, which
``detection`` names.
"""

import io
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Iterator

from labelling.sources.lists.list_format import (
    ListFile,
    ListReading,
    ListRefusedError,
    Surroundings,
)
from labelling.sources.lists.statements import Statements, split_of
from labelling.sources.reading import ReadingOptions

_HEAD = 1 << 14


class Cvat:
    """``<annotations><image id="0" name="a.jpg"><tag label="cat"/></image></annotations>``."""

    name = "CVAT's XML"

    def read(
        self, file: ListFile, options: ReadingOptions, source: Surroundings
    ) -> ListReading | None:
        """Read the tags of the images.

        Args:
            file: the list: its name and its bytes.
            options: what the user decided.
            source: the files around the list; not used.

        Returns:
            What the tags say; ``None`` if it is not CVAT's XML, or has no tags.

        Raises:
            ListRefusedError: the XML is broken or declares entities.
        """
        if b"<annotations" not in file.data[:_HEAD] or b"<tag " not in file.data:
            return None
        statements = Statements(file.name, options)
        drawn: Counter[str] = Counter()
        try:
            for number, image in enumerate(_images(file), 1):
                tags = [part.get("label") for part in image if part.tag == "tag"]
                drawn.update(part.tag for part in image if part.tag != "tag")
                place = f"{file.name} image {image.get('id', number)}"
                split = split_of(image.get("subset"))
                statements.add(place, image.get("name"), tags or None, split)
        except ListRefusedError:
            raise
        except (ET.ParseError, ValueError, LookupError) as error:  # the last two from decoding
            raise ListRefusedError(
                f"{file.name} is CVAT's XML and broken ({error}); export or copy it again"
            ) from None
        kinds = ", ".join(sorted(drawn))
        left = [f"only tags are read; other annotations ({kinds}) are left out"]
        return statements.reading("CVAT's XML, tags of whole images", left if drawn else ())


def _images(file: ListFile) -> Iterator[ET.Element]:
    """Yield each image element and clear it afterwards, to save memory."""
    if (
        b"<!DOCTYPE" in file.data or b"<!ENTITY" in file.data
    ):  # entity expansion: a few bytes become gigabytes
        raise ListRefusedError(f"{file.name} declares entities, which CVAT's XML never does")
    for _, element in ET.iterparse(io.BytesIO(file.data)):  # noqa: S314 - without entities
        if element.tag == "image":
            yield element
            element.clear()
