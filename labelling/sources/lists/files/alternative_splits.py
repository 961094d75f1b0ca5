"""Lists of alternative splits of the same images: DTD's ``train1.txt`` … ``train10.txt``."""

import re

from labelling.sources.lists.files.finder import folder_of
from labelling.sources.lists.files.index import FileIndex, base_name, without_suffix
from labelling.sources.names.columns import is_train_and_val, split_of_list

_NUMBER = re.compile(r"[-_ ]?\d+$")
ALTERNATIVE = (
    "lists that split the same images in several ways, of which none is read; to keep the splits "
    "of one (--keep-splits), remove the others from the source"
)


def is_alternative(name: str, files: FileIndex) -> bool:
    """Whether there are lists with the same name except for the number at the end."""
    stem = without_suffix(base_name(name))
    alike = _NUMBER.sub("", stem)
    if alike == stem or not (split_of_list(stem) or is_train_and_val(stem)):
        return False
    beside = (without_suffix(base_name(other)) for other in files.texts_in(folder_of(name)))
    return any(other != stem and _NUMBER.sub("", other) == alike for other in beside)
