"""Names that vary within a series of pictures: magnifications, channels, planes, times.

Microscopes, scanners and multispectral cameras name their folders so. A single such name may be a
class; only all folders together are conclusive.
"""

import re
from collections.abc import Collection
from itertools import pairwise

from labelling.sources.names.words import folded, words

_MAGNIFICATION = re.compile(r"(?:mag|magnification|obj|objective)?[ _-]?\d+(?:[.,]\d+)?\s?[x×](?:[ _-]?(?:mag|magnification|obj|objective|lens|zoom))?", re.I)  # fmt: skip
_X_IN_FRONT = re.compile(r"[x×](?:1|2|2[.,]5|4|5|10|16|20|25|32|40|50|60|63|100|150|200|250|400|500|1000)", re.I)  # fmt: skip
_DURATION = re.compile(r"[tT]?[-_ =]?\d+(?:[.,]\d+)?[ _-]?(?:h|hr|hrs|hours?|min|mins|minutes?|sec|secs|dpi|hpi|dpf|hpf|ms)", re.I)  # fmt: skip
_NUMBERED = re.compile(
    r"(?:z|ch|chan|channel|zslice|zstack|zplane|tp|timepoint|timestep|frame|slice|plane|focus|"
    r"section|replicate|rep|biorep|techrep|magnification|mag|objective|exposure|angle|view|position"
    r"|time|band|repeat|focalplane|wavelength)s?(?:[-_ ]?(?:slice|stack|plane))?[-_ =]?"
    r"\d+(?:[.,]\d+)?(?:nm|um|µm|ms)?",
    re.I,
)
_LETTER = re.compile(r"(?P<letter>[tTdDcC])[-_ =]?(?P<number>\d+)")


def _listed(text: str) -> frozenset[str]:
    return frozenset(text.split())


_CHANNELS = _listed(
    """dapi hoechst gfp egfp rfp yfp cfp bfp mcherry tdtomato fitc tritc cy3 cy5 cy7 texasred
    alexa488 alexa555 alexa568 alexa594 alexa647 a488 a555 a568 a594 a647 af488 af555 af568 af594
    af647 dic mitotracker phalloidin draq5 sytox rhodamine pe apc tagbfp mkate mruby iba1 gfap
    nir swir lwir mwir rededge ndvi"""
)
"""Stains, light channels and spectral bands, which are hardly ever classes."""

_BESIDE_CHANNELS = _listed(
    """brightfield bf phase phasecontrast pc merge merged overlay composite red green blue rgb vis
    visible ir infrared thermal tir pan panchromatic uv depth nuclei nucleus actin tubulin tf
    transmitted greyscale grayscale gray grey"""
)
"""Names that are channels only beside those."""

_CHANNELS_AT_MOST = 5
_LONG_STEP = 6


def are_of_one_series(names: Collection[str]) -> bool:
    """Whether the names of folders beside one another give how, where in a sample or when pictures
    were taken: ``10x/20x``, ``DAPI/GFP``, ``ch00/ch01``, ``z01/z02``, ``T0/T24/T48``.

    Similar sets of classes are excluded: stages of tumours (``T1/T2/T3``) and numbered classes
    (``c0`` to ``c9``).
    """
    found = [name.strip() for name in names]
    if len(found) < 2:
        return False
    forms = (_MAGNIFICATION, _DURATION, _NUMBERED)
    if any(all(map(form.fullmatch, found)) for form in forms):
        return True
    # X1 and X5 alone may be models of a car.
    if all(map(_X_IN_FRONT.fullmatch, found)) and any(len(name) > 2 for name in found):
        return True
    return _are_channels(found) or _are_steps(found)


def _are_channels(names: Collection[str]) -> bool:
    plain = [_without_signs(name) for name in names]
    if {*plain} == {"r", "g", "b"}:
        return True
    return not _CHANNELS.isdisjoint(plain) and all(
        name in _CHANNELS or name in _BESIDE_CHANNELS for name in plain
    )


def _without_signs(name: str) -> str:
    """``Texas Red``, ``01_DAPI`` and ``DAPI_channel`` in the form of the lists."""
    named = [word for word in words(name) if word not in ("ch", "channel", "chan", "c")]
    whole = "".join(filter(str.isalnum, folded(name)))
    return whole if whole in _CHANNELS else "".join(named)


def _are_steps(names: Collection[str]) -> bool:
    """Whether all are one letter and a number, as for times (``T0``, ``D7``) and channels (``C0``):
    from 0 on, or with large steps."""
    found = [_LETTER.fullmatch(name) for name in names]
    letters = {match["letter"].casefold() for match in found if match}
    if None in found or len(letters) != 1:
        return False
    numbers = sorted(int(match["number"]) for match in found if match)
    if letters == {"c"}:
        return numbers[0] == 0 and len(numbers) <= _CHANNELS_AT_MOST
    steps = [after - before for before, after in pairwise(numbers)]
    return numbers[0] == 0 or min(steps) >= _LONG_STEP
