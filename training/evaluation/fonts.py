"""Fonts for labels in any script, from packages, so that plots look the same on every machine.

matplotlib includes DejaVu Sans, which has Latin, Greek, Cyrillic and some other scripts; other
characters come from Noto fonts (SIL Open Font License 1.1) in the packages ``PACKAGES``.
"""

import unicodedata
import warnings
from collections.abc import Iterable
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from PIL.ImageFont import FreeTypeFont

PACKAGES = {
    "manimgx_fonts": "manimgx-fonts",
    "noto_cjk_sans_jp_regular": "noto-cjk-sans-jp-regular",
}
"""Modules with font files, and their packages' names. The second has all Chinese, Japanese and Korean
characters, in regular weight."""

DEFAULT = "DejaVu Sans"
_INSTALLED = (
    "Noto Sans CJK JP",
    "Noto Sans CJK SC",
    "WenQuanYi Zen Hei",
    "Hiragino Sans",
    "Arial Unicode MS",
    "Microsoft YaHei",
)
"""Fonts of the machine that are used if a package is missing."""

_UNSEEN = {"Cc", "Cf", "Cs", "Zs", "Zl", "Zp"}
"""Unicode categories of characters that are not drawn."""

_VARIATIONS = range(0xFE00, 0xFE10)
_SHOWN = 5


def use_fonts(figure: "Figure") -> None:
    """Set fonts that have all characters for every text of ``figure``.

    Characters that no font has are reported once per process, with the remedy.
    """
    from matplotlib.text import Text

    texts = [found for found in figure.findobj(Text) if isinstance(found, Text)]
    families, missing = families_for(set().union(*(text.get_text() for text in texts)))
    for text in texts:
        text.set_fontfamily(families)
    new = sorted(missing - _named)
    if new:
        _named.update(new)
        warnings.warn(_remedy(new), stacklevel=2)


def families_for(characters: Iterable[str]) -> tuple[list[str], set[str]]:
    """Return the fonts needed for ``characters``, and the characters that none of them has."""
    from matplotlib.font_manager import findfont

    wanted = {
        character
        for character in characters
        if unicodedata.category(character) not in _UNSEEN and ord(character) not in _VARIATIONS
    }
    families, missing = [DEFAULT], wanted - _characters(findfont(DEFAULT))
    if missing:
        for family, path in (*_packaged(), *_of_machine()):
            found = missing & _characters(path)
            if found:
                families.append(family)
                missing -= found
    return families, missing


def file_with(text: str) -> str:
    """Return the file of the font that has most characters of ``text``, for Pillow."""
    from matplotlib.font_manager import findfont

    wanted = set(text)
    families, _ = families_for(wanted)
    files = [findfont(family) for family in families]
    return max(files, key=lambda path: len(wanted & _characters(path)))


def sized(path: str, pixels: int) -> "FreeTypeFont":
    """Open a font file for Pillow, in a size in pixels."""
    from PIL import ImageFont

    return ImageFont.truetype(path, pixels)


_named: set[str] = set()


def _remedy(missing: list[str]) -> str:
    named = ", ".join(
        f"U+{ord(character):04X} {unicodedata.name(character, '')}".strip()
        for character in missing[:_SHOWN]
    )
    more = f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
    absent = [package for module, package in PACKAGES.items() if find_spec(module) is None]
    remedy = (
        f"install {' and '.join(absent)} (pip install {' '.join(absent)})"
        if absent
        else "install a font of the machine that has them, or choose other labels"
    )
    return f"plots show boxes for {named}{more}: no font has these characters; {remedy}"


@cache
def _packaged() -> tuple[tuple[str, str], ...]:
    """Register the packages' fonts with matplotlib; returns name and file of each."""
    from matplotlib.font_manager import fontManager

    found = []
    for module in PACKAGES:
        spec = find_spec(module)
        for folder in (spec.submodule_search_locations or []) if spec else []:
            for path in sorted(Path(folder).glob("*.[ot]tf")):
                if "Italic" not in path.name:
                    fontManager.addfont(str(path))
                    found.append((fontManager.ttflist[-1].name, str(path)))
    return tuple(found)


@cache
def _of_machine() -> tuple[tuple[str, str], ...]:
    from matplotlib.font_manager import fontManager

    return tuple((font.name, font.fname) for font in fontManager.ttflist if font.name in _INSTALLED)


@cache
def _characters(path: str) -> frozenset[str]:
    """Return the characters that a font file has."""
    from matplotlib.ft2font import FT2Font

    return frozenset(map(chr, FT2Font(path).get_charmap()))
