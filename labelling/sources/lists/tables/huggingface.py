"""Names of classes in Hugging Face data sets.

Their card (``README.md``) has them in its YAML front matter, their Parquet files in the schema
(https://huggingface.co/docs/datasets/repository_structure,
https://huggingface.co/docs/datasets/about_dataset_features).
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

_HEAD = re.compile(r"\A\ufeff?---[ \t]*\n(.*?)\n---[ \t]*(?:\n|\Z)", re.DOTALL)
_LONGEST_HEAD = 1 << 20

ClassesByColumn = Mapping[str, Mapping[str, str]]


def classes_of_card(text: str) -> ClassesByColumn:
    """The names of classes by column and number, from the front matter of a data set card."""
    import yaml

    head = _HEAD.match(text.replace("\r\n", "\n")[:_LONGEST_HEAD])
    if head is None:
        return {}
    try:
        content = yaml.safe_load(head[1])
    except (yaml.YAMLError, ValueError, RecursionError):
        return {}
    infos = content.get("dataset_info") if isinstance(content, dict) else None
    found: dict[str, Mapping[str, str]] = {}
    for info in infos if isinstance(infos, list) else [infos]:
        features = info.get("features") if isinstance(info, dict) else None
        for feature in features if isinstance(features, list) else []:
            if isinstance(feature, dict) and (names := next(_class_labels(feature), None)):
                # Configurations of a data set with different names are ambiguous.
                same = found.setdefault(str(feature.get("name")), names) == names
                found[str(feature.get("name"))] = names if same else {}
    return found


def classes_of_schema(metadata: Mapping[bytes, bytes] | None) -> ClassesByColumn:
    """The names of classes by column and number, from the metadata of a Parquet file."""
    try:
        content = json.loads((metadata or {}).get(b"huggingface", b"{}"))
        features = content["info"]["features"]
    except (ValueError, KeyError, TypeError):
        return {}
    if not isinstance(features, dict):
        return {}
    return {
        str(column): names
        for column, feature in features.items()
        if (names := next(_class_labels(feature), None))
    }


def _class_labels(feature: Any) -> Iterator[Mapping[str, str]]:
    """The names in a feature, also if it is a sequence of labels."""
    if not isinstance(feature, dict):
        return
    names = feature.get("names")
    if isinstance(names, list):
        yield {str(at): str(name) for at, name in enumerate(names)}
    elif isinstance(names, dict):
        yield {str(at): str(name) for at, name in names.items()}
    for part in feature.values():
        yield from _class_labels(part)
