"""Whether two pictures with near perceptual hashes are the same picture: a finer, fixed measure.

A 64-bit hash of a grey 32 × 32 picture calls frames of a fixed camera, products before one
background, and colour swatches one picture. A *fingerprint* is the picture at 32 × 32 in luma and
at 16 × 16 in both colour differences. Two fingerprints are the same picture if what differs looks
like what re-encoding, resizing, a slight crop or another brightness leave behind: a little
everywhere, most of it at edges. They are not if some cells differ by far more than the others do,
as where somebody walks through a scene, or if the colours differ.

No weights and nothing learned takes part, so groups do not depend on what is installed.
``VERSION`` changes with every change of a result. docs/decisions.md has the measured error rates.
"""

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image

VERSION = 1
LUMA = 32
"""Cells of a side in luma; colour has half of that, as in a JPEG."""
COLOUR = LUMA // 2
SIZE = LUMA * LUMA + 2 * COLOUR * COLOUR
"""Bytes of a fingerprint."""

_FLAT = 4.0
"""Levels of standard deviation below which a picture shows nothing but a colour."""
_FLAT_BOUND = 3.0
"""Levels by which any cell of two flat pictures may differ."""
_CONTRAST = 2.0
"""Factor by which contrasts may differ, as brightness and contrast change them."""
_SATURATION = 1.5
"""The same of colours."""
_FAINT = 4.0
"""Levels of colour that are no colour: of less no saturation is told."""
_COLOUR_SHIFT = 5.0
"""Levels by which the mean colours may differ."""
_CORRELATION = 0.85
"""Least correlation in luma. A crop of 2 % keeps as much in 96 of 100 photos."""
_REST = 2.0
"""Levels of which nothing is concluded: rounding, and noise of a JPEG."""
_TIMES = 5.0
"""A cell that differs this many times as much as nine of ten cells do shows another thing."""
_QUANTILE = 0.9
_EDGE = 8.0
"""Levels that count as an edge in each cell: in flat parts, JPEG and noise differ, too."""
_MOST = {"luma": 0.9, "colour": 0.6}
"""What nine of ten cells may differ by, per level of steepness."""
_STEP = LUMA // COLOUR
"""Of luma's cells every second of a side says what nine of ten differ by: a quarter tells as much."""
_RANK = int(_QUANTILE * COLOUR * COLOUR)
_TAIL_RANK = COLOUR * COLOUR - 1 - (COLOUR * COLOUR - 1 - _RANK) // 2
"""Of the cells that may differ by more than nine of ten do, one picture may have half."""
_TOP = 4
"""Cells of a picture that are looked at first: those in which it is most unusual."""
_SCENES = 32
"""Different scenes, such as a camera's, that are told apart for this."""
_LIKE = 0.7
"""Correlation from which on a picture is one of a scene."""
_CHUNK = 64
"""Pairs at a time: what they take stays in a processor's cache."""
_GLANCED = 128
"""The same where few cells of each are looked at."""
_MARGIN = 1e-4
"""By which a glance must be surer than the whole test, as floats are rounded otherwise in it."""


def fingerprint(picture: Image.Image) -> bytes:
    """The fingerprint of an ``RGB`` picture, of ``SIZE`` bytes."""
    luma, *colours = picture.convert("YCbCr").split()
    box = Image.Resampling.BOX
    parts = [luma.resize((LUMA, LUMA), box)]
    parts += [channel.resize((COLOUR, COLOUR), box) for channel in colours]
    return b"".join(part.tobytes() for part in parts)


class Prints:
    """Fingerprints, made ready to be compared with one another: some 15 kB each."""

    def __init__(self, fingerprints: Sequence[bytes]) -> None:
        self._cells = np.frombuffer(b"".join(fingerprints), np.uint8).reshape(-1, SIZE)
        count = len(self._cells)
        self._contrast = np.empty(count, np.float32)
        self._saturation = np.empty(count, np.float32)
        self._means = np.empty((count, 2), np.float32)
        self._shape = np.empty((count, LUMA, LUMA), np.float32)
        self._steep = np.empty_like(self._shape)
        self._tint = np.empty((count, 2, COLOUR, COLOUR), np.float32)
        self._tint_steep = np.empty_like(self._tint)
        whole = [each.reshape(count, LUMA * LUMA) for each in (self._shape, self._steep)]
        few = np.empty((2, 2, count, COLOUR * COLOUR), np.float32)
        self._planes = [*few, whole]
        self._memory = np.empty((3, min(count, _GLANCED) * LUMA * LUMA), np.float32)
        for start in range(0, count, _CHUNK):
            self._prepare(slice(start, start + _CHUNK))
        self._tail = np.full(count, np.inf, np.float32)
        self._top = np.zeros((count, _TOP), np.int64)
        self._scene = _scenes(self._planes[0][0], np.flatnonzero(self._contrast >= _FLAT))
        for number in range(self._scene.max(initial=-1) + 1):
            self._compare_with_scene(np.flatnonzero(self._scene == number))
        rows = np.arange(count)[:, None]
        self._tops = [whole[rows, self._top] for whole in self._planes[-1]]

    def _prepare(self, part: slice) -> None:
        luma, colour = self._luma(part), self._colour(part)
        self._contrast[part] = luma.std(axis=(1, 2))
        self._saturation[part] = np.sqrt((colour**2).mean(axis=(1, 2, 3)) + _FAINT**2)
        saturation = self._saturation[part]
        self._means[part] = colour.mean(axis=(2, 3)) / saturation[:, None]
        scale = np.maximum(self._contrast[part], 1e-3)[:, None, None]
        self._shape[part] = (luma - luma.mean(axis=(1, 2), keepdims=True)) / scale
        self._tint[part] = colour / saturation[:, None, None, None]
        self._steep[part] = _steepness(self._shape[part])
        for channel in range(2):
            self._tint_steep[part, channel] = _steepness(self._tint[part, channel])
        for offset, planes in enumerate(self._planes[:2]):
            for few, whole in zip(planes, (self._shape, self._steep), strict=True):
                cells = whole[part, offset::_STEP, offset::_STEP]
                few[part] = cells.reshape(-1, COLOUR * COLOUR)

    def _compare_with_scene(self, members: np.ndarray) -> None:
        """Find the cells in which a picture differs most from the mean of those like it, and a
        bound of what nine of ten cells differ by: between two pictures no more than both bounds
        together."""
        level = 1 / self._contrast[members].max()
        for planes in (self._planes[0], self._planes[-1]):
            mean = planes[0][members].mean(axis=0)
            least = planes[1][members].min(axis=0) + _EDGE * level
            for start in range(0, len(members), _CHUNK):
                part = members[start : start + _CHUNK]
                ratios = np.abs(planes[0][part] - mean) / least
                if planes is self._planes[0]:
                    self._tail[part] = np.partition(ratios, _TAIL_RANK, axis=1)[:, _TAIL_RANK]
                else:
                    self._top[part] = np.argpartition(ratios, -_TOP, axis=1)[:, -_TOP:]

    def _luma(self, which: slice | np.ndarray | int) -> np.ndarray:
        return self._cells[which, : LUMA * LUMA].reshape(-1, LUMA, LUMA).astype(np.float32)

    def _colour(self, which: slice | np.ndarray | int) -> np.ndarray:
        cells = self._cells[which, LUMA * LUMA :].reshape(-1, 2, COLOUR, COLOUR)
        return cells.astype(np.float32) - 128

    def same(self, one: int, others: np.ndarray) -> np.ndarray:
        """Which of ``others`` show the same picture as ``one`` (positions): bool."""
        good = self._at_a_glance(one, others)
        good[good] = self.wholly_same(one, others[good])
        return good

    def wholly_same(self, one: int, others: np.ndarray) -> np.ndarray:
        """The same by the whole test of each pair, which defines what :meth:`same` answers."""
        found = [
            self._same(one, others[start : start + _CHUNK])
            for start in range(0, len(others), _CHUNK)
        ]
        return np.concatenate([np.empty(0, bool), *found])

    def _at_a_glance(self, one: int, others: np.ndarray) -> np.ndarray:
        """Which may be the same: by what costs little, and none that the whole test confirms is
        missed. Frames of a camera that sees many things are hardly ever the same."""
        may = self._levels_near(one, others)
        flat = np.minimum(self._contrast[others], self._contrast[one]) < _FLAT
        left = np.flatnonzero(may & ~flat)
        may[left] = False
        left = left[self._top_may_be(one, others[left])]
        usual = self._usual(one, others[left])
        left, usual = left[usual >= 0], usual[usual >= 0]
        for planes in self._planes[1:]:
            parts = [
                self._needed(planes, one, others[left[start : start + _GLANCED]])[0]
                for start in range(0, len(left), _GLANCED)
            ]
            keep = np.concatenate([np.empty(0), *parts]) <= usual
            left, usual = left[keep], usual[keep]
        may[left] = True
        return np.asarray(may | flat)

    def _top_may_be(self, one: int, others: np.ndarray) -> np.ndarray:
        """Whether the cells in which either is unusual leave it open."""
        same_scene = self._scene[others] == self._scene[one]
        usual = np.where(same_scene, self._tail[others] + self._tail[one], np.inf)
        shape, steep = self._planes[-1]
        level = 1 / np.sqrt(self._contrast[others] * self._contrast[one])[:, None]
        at = self._top[others]
        differ = np.abs(self._tops[0][others] - shape[one][at])
        least = np.minimum(self._tops[1][others], steep[one][at])
        may = _needed(differ, least, level) <= usual
        left, at = np.flatnonzero(may), self._top[one]
        rows = others[left][:, None]
        differ = np.abs(shape[rows, at] - self._tops[0][one])
        least = np.minimum(steep[rows, at], self._tops[1][one])
        may[left] = _needed(differ, least, level[left]) <= usual[left]
        return np.asarray(may)

    def _usual(self, one: int, others: np.ndarray) -> np.ndarray:
        """What nine of ten cells of luma differ by, per level of steepness; -1 where it is too
        much, or too little for the cells that it is found by."""
        found = np.full(len(others), -1, np.float32)
        for start in range(0, len(others), _GLANCED):
            needed, ratios = self._needed(self._planes[0], one, others[start : start + _GLANCED])
            below = np.count_nonzero(ratios < needed[:, None], axis=1)
            left = np.flatnonzero(below <= _RANK)
            usual = np.partition(ratios[left], _RANK, axis=1)[:, _RANK]
            few = usual <= _MOST["luma"] * (1 + _MARGIN)
            found[start + left[few]] = usual[few]
        return found

    def _needed(
        self, planes: Sequence[np.ndarray], one: int, others: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """What nine of ten cells must differ by, per level of steepness, for the same picture.

        Args:
            planes: shape and steepness, of the cells that are looked at.
            one: compared (position) with ``others``.
            others: not more than ``_GLANCED``.

        Returns:
            This, less the margin; and what cells differ by (in memory that is used again).
        """
        shape, steep = planes
        level = 1 / np.sqrt(self._contrast[others] * self._contrast[one])[:, None]
        size = (len(others), shape.shape[1])
        differ, least, beyond = (part[: math.prod(size)].reshape(size) for part in self._memory)
        shape.take(others, axis=0, out=differ, mode="clip")
        differ -= shape[one]
        np.abs(differ, out=differ)
        steep.take(others, axis=0, out=least, mode="clip")
        np.minimum(least, steep[one], out=least)
        least += _EDGE * level
        np.subtract(differ, _REST * level, out=beyond)
        beyond /= least
        differ /= least
        return beyond.max(axis=1, initial=0) * ((1 - _MARGIN) / _TIMES), differ

    def _same(self, one: int, others: np.ndarray) -> np.ndarray:
        flat = np.minimum(self._contrast[others], self._contrast[one]) < _FLAT
        good = np.zeros(len(others), bool)
        good[flat] = self._same_flat(one, others[flat])
        rest = np.flatnonzero(~flat)
        for test in (self._near_enough, self._same_luma, self._same_colour):
            if len(rest):
                rest = rest[test(one, others[rest])]
        good[rest] = True
        return good

    def _same_flat(self, one: int, others: np.ndarray) -> np.ndarray:
        luma = np.abs(self._luma(others) - self._luma(one)).max(axis=(1, 2), initial=0)
        colour = np.abs(self._colour(others) - self._colour(one)).max(axis=(1, 2, 3), initial=0)
        return np.asarray(np.maximum(luma, colour) <= _FLAT_BOUND)

    def _near_enough(self, one: int, others: np.ndarray) -> np.ndarray:
        shapes = self._shape.reshape(len(self._shape), -1)
        correlation = shapes[others] @ shapes[one] / shapes.shape[1]
        return np.asarray(self._levels_near(one, others) & (correlation >= _CORRELATION))

    def _levels_near(self, one: int, others: np.ndarray) -> np.ndarray:
        """By contrast, saturation and mean colour, which cost little."""
        with np.errstate(divide="ignore", invalid="ignore"):  # of flat ones, which go another way
            contrast = np.abs(np.log(self._contrast[others] / self._contrast[one]))
        saturation = np.abs(np.log(self._saturation[others] / self._saturation[one]))
        scale = np.sqrt(self._saturation[others] * self._saturation[one])[:, None]
        shift = (np.abs(self._means[others] - self._means[one]) * scale).max(axis=1, initial=0)
        return np.asarray(
            (contrast <= np.log(_CONTRAST))
            & (saturation <= np.log(_SATURATION))
            & (shift <= _COLOUR_SHIFT)
        )

    def _same_luma(self, one: int, others: np.ndarray) -> np.ndarray:
        scale = np.sqrt(self._contrast[others] * self._contrast[one])
        differ = np.abs(self._shape[others] - self._shape[one])
        steep = np.minimum(self._steep[others], self._steep[one])
        return _alike(differ, steep, scale, _MOST["luma"])

    def _same_colour(self, one: int, others: np.ndarray) -> np.ndarray:
        scale = np.sqrt(self._saturation[others] * self._saturation[one])
        differ = np.abs(self._tint[others] - self._tint[one])
        steep = np.minimum(self._tint_steep[others], self._tint_steep[one])
        both = [_alike(differ[:, i], steep[:, i], scale, _MOST["colour"]) for i in range(2)]
        return both[0] & both[1]


def _alike(differ: np.ndarray, steep: np.ndarray, scale: np.ndarray, most: float) -> np.ndarray:
    """Whether no cell differs by far more than the others, and those by no more than ``most``.

    Args:
        differ: of each pair [n, side, side], in units of ``scale``.
        steep: how steep both are there, in the same units.
        scale: levels a unit.
        most: bound of what nine of ten cells differ by, per level of steepness.
    """
    levels = scale[:, None, None]
    differ, steep = differ * levels, steep * levels + _EDGE
    every = differ.shape[1] // COLOUR
    ratios = (differ[:, ::every, ::every] / steep[:, ::every, ::every]).reshape(len(differ), -1)
    usual = np.partition(ratios, _RANK, axis=1)[:, _RANK]
    bound = _REST + _TIMES * usual[:, None, None] * steep
    return np.asarray((usual <= most) & (differ <= bound).all(axis=(1, 2)))


def _needed(differ: np.ndarray, steep: np.ndarray, level: np.ndarray) -> np.ndarray:
    """What nine of ten cells must differ by for these to differ so, less the margin."""
    ratios = (differ - _REST * level) / (steep + _EDGE * level)
    return np.asarray(ratios.max(axis=1, initial=0) * ((1 - _MARGIN) / _TIMES))


def _scenes(shapes: np.ndarray, which: np.ndarray) -> np.ndarray:
    """The scene (number) that each of ``which`` pictures belongs to: that of the first picture
    which it correlates with; -1 for the others, and where there are too many scenes."""
    scene = np.full(len(shapes), -1)
    for number in range(_SCENES):
        if not len(which):
            break
        like = shapes[which] @ shapes[which[0]] >= _LIKE * shapes.shape[1]
        scene[which[like]] = number
        which = which[~like]
    return scene


def _steepness(plane: np.ndarray) -> np.ndarray:
    """Of each cell the greatest step between neighbours in the 3 × 3 cells around it."""
    edges = ((0, 0), (1, 1), (1, 1))
    across = np.abs(np.diff(plane, axis=2))
    down = np.abs(np.diff(plane, axis=1))
    steps = np.zeros_like(plane)
    for part, step in (
        (steps[:, :, 1:], across),
        (steps[:, :, :-1], across),
        (steps[:, 1:], down),
        (steps[:, :-1], down),
    ):
        np.maximum(part, step, out=part)
    wide = np.pad(steps, edges, mode="edge")
    rows = np.maximum(np.maximum(wide[:, :-2], wide[:, 1:-1]), wide[:, 2:])
    return np.asarray(np.maximum(np.maximum(rows[:, :, :-2], rows[:, :, 1:-1]), rows[:, :, 2:]))
