"""The first ``imgclf.toml``."""

from enum import Enum
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from imgclf_dagster.settings.root import Settings

_NOT_OFFERED = {"parent_digest"}
"""Fields that are no settings: ``imgclf run --from`` sets them."""


def settings_template() -> str:
    """Return the first ``imgclf.toml``: every setting with default and description, as comments."""
    head = (
        "# imgclf settings. Every line shows a default; remove the # to change it.\n"
        "# Variables override this file: IMGCLF_TRAINING__EPOCHS=20, IMGCLF_PROFILE=local, …\n"
    )
    plain, sections = [], []
    for name, field in Settings.model_fields.items():
        if name == "home":
            continue
        default = field.get_default(call_default_factory=True)
        if isinstance(default, BaseModel):
            sections += _template_sections(name, default)
        else:
            plain.append(_template_row(name, field, default))
    return "\n".join([head, *plain, "", "\n\n".join(sections), ""])


def _template_sections(name: str, defaults: BaseModel) -> list[str]:
    """Return the text of a section, followed by its sub-sections."""
    rows, below = [], []
    for key, field in type(defaults).model_fields.items():
        value = getattr(defaults, key)
        if key in _NOT_OFFERED:
            continue
        if isinstance(value, BaseModel):
            below += _template_sections(f"{name}.{key}", value)
        else:
            rows.append(_template_row(key, field, value))
    return ["\n".join([f"[{name}]", *rows]), *below]


def _template_row(name: str, field: FieldInfo, default: Any) -> str:
    choices = get_args(field.annotation)
    meaning = field.description or (
        f"one of {', '.join(map(str, choices))}" if choices and type(None) not in choices else ""
    )
    return f"# {name} = {_toml(default)}" + (f"    # {meaning}" if meaning else "")


def _toml(value: Any) -> str:
    match value:
        case bool():
            return str(value).lower()
        case int() | float():
            return str(value)
        case tuple() | list():
            return "[" + ", ".join(_toml(item) for item in value) + "]"
        case None:
            return '""'
        case Enum():
            return _toml(value.value)
        case _:
            return f'"{value}"'
