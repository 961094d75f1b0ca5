"""A test whether two images with near perceptual hashes show the same picture.

A 64-bit hash of a grey 32 × 32 image is equal for frames of a fixed camera, for products on the same
background, and for colour swatches. A *fingerprint* is the image at 32 × 32 in luma and at 16 × 16 in
both colour differences. Two fingerprints show the same picture if they differ as after re-encoding,
resizing, a slight crop or a change of brightness: a little everywhere, mostly at edges. They do not
if some cells differ by far more than the others, as where somebody walks through a scene, or if the
colours differ.

The test has no weights and nothing learned, so groups do not depend on installed packages.
``VERSION`` changes with every change of a result. docs/decisions.md has the measured error rates.
"""

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image

VERSION = 1
LUMA = 32
"""Cells per side in luma; colour has half of that, as in a JPEG."""
COLOUR = LUMA // 2
SIZE = LUMA * LUMA + 2 * COLOUR * COLOUR
"""Bytes of a fingerprint."""

_FLAT = 4.0
"""Standard deviation in levels below which an image is flat: it shows only one colour."""
_FLAT_BOUND = 3.0
"""Levels by which any cell of two flat images may differ."""
_CONTRAST = 2.0
"""Factor by which contrasts may differ, as after changes of brightness and contrast."""
_SATURATION = 1.5
"""Factor by which saturations may differ."""
_FAINT = 4.0
"""Levels of colour that are added to saturations, so that fainter ones do not count."""
_COLOUR_SHIFT = 5.0
"""Levels by which the mean colours may differ."""
_CORRELATION = 0.85
"""Least correlation in luma. After a crop of 2 %, 96 of 100 photos have at least this."""
_REST = 2.0
"""Levels of difference that are ignored: rounding, and noise of a JPEG."""
_TIMES = 5.0
"""A cell that differs by more than this many times the 90% quantile shows another object."""
_QUANTILE = 0.9
_EDGE = 8.0
"""Levels that are added to each cell's steepness: JPEG and noise cause differences in flat parts."""
_MOST = {"luma": 0.9, "colour": 0.6}
"""Upper bound of the 90% quantile of differences, per level of steepness."""
_STEP = LUMA // COLOUR
"""The 90% quantile of luma is taken of every second cell per side, which is accurate enough."""
_RANK = int(_QUANTILE * COLOUR * COLOUR)
_TAIL_RANK = COLOUR * COLOUR - 1 - (COLOUR * COLOUR - 1 - _RANK) // 2
"""Rank of the bound for one image: half of the cells above the 90% quantile may be due to it."""
_TOP = 4
"""Cells of an image that are compared first: those in which it differs most from its scene."""
_SCENES = 32
"""Most scenes, such as a camera's, that are distinguished for this."""
_LIKE = 0.7
"""Correlation from which on an image belongs to a scene."""
_CHUNK = 64
"""Pairs that are compared at a time, so that their data fit into a processor's cache."""
_GLANCED = 128
"""The same where only few cells of each pair are compared."""
_MARGIN = 1e-4
"""Safety margin of the quick test over the whole test, which rounds floats differently."""


def fingerprint(picture: Image.Image) -> bytes:
    """Compute the fingerprint of an ``RGB`` image, ``SIZE`` bytes."""
    luma, *colours = picture.convert("YCbCr").split()
    box = Image.Resampling.BOX
    parts = [luma.resize((LUMA, LUMA), box)]
    parts += [channel.resize((COLOUR, COLOUR), box) for channel in colours]
    return b"".join(part.tobytes() for part in parts)


class Prints:
    """Fingerprints prepared for comparisons with one another, about 15 kB each."""

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
        """Find each member's cells that differ most from the scene's mean, and a bound of its tail.

        The 90% quantile of the differences of two members is at most the sum of their bounds.
        """
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
        """Find which images show the same picture as ``one``.

        Args:
            one: position.
            others: int [n], positions.

        Returns:
            bool [n].
        """
        good = self._at_a_glance(one, others)
        good[good] = self.wholly_same(one, others[good])
        return good

    def wholly_same(self, one: int, others: np.ndarray) -> np.ndarray:
        """Return what :meth:`same` does, by the whole test of each pair, which defines the result."""
        found = [
            self._same(one, others[start : start + _CHUNK])
            for start in range(0, len(others), _CHUNK)
        ]
        return np.concatenate([np.empty(0, bool), *found])

    def _at_a_glance(self, one: int, others: np.ndarray) -> np.ndarray:
        """Find which images may show the same picture, with a quick test: bool [n].

        It is true for every pair that the whole test confirms. It saves most of the time for frames
        of a camera that sees many objects, of which few show the same picture.
        """
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
        """Whether the most unusual cells of both images allow the same picture: bool [n]."""
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
        """Return the 90% quantile of differences in luma, per level of steepness: float32 [n].

        -1 where it is above the bound, or too small for the largest difference of the same cells.
        """
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
        """Return the least 90% quantile of differences with which pairs can be the same picture.

        Args:
            planes: shape and steepness of the cells to compare.
            one: position.
            others: int [n], positions; at most ``_GLANCED``.

        Returns:
            The least quantile less the margin, per level of steepness, float [n]; and the cells'
            differences, float32 [n, cells], in memory that is reused.
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
        """Compare contrast, saturation and mean colour: bool [n]."""
        with np.errstate(divide="ignore", invalid="ignore"):  # flat images are tested otherwise
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
    """Whether the 90% quantile of differences is at most ``most``, and no cell is far above it.

    Args:
        differ: absolute differences of each pair, float32 [n, side, side], in units of ``scale``.
        steep: steepness of both, float32 [n, side, side], in the same units.
        scale: levels per unit, float32 [n].
        most: bound of the quantile, per level of steepness.

    Returns:
        bool [n].
    """
    levels = scale[:, None, None]
    differ, steep = differ * levels, steep * levels + _EDGE
    every = differ.shape[1] // COLOUR
    ratios = (differ[:, ::every, ::every] / steep[:, ::every, ::every]).reshape(len(differ), -1)
    usual = np.partition(ratios, _RANK, axis=1)[:, _RANK]
    bound = _REST + _TIMES * usual[:, None, None] * steep
    return np.asarray((usual <= most) & (differ <= bound).all(axis=(1, 2)))


def _needed(differ: np.ndarray, steep: np.ndarray, level: np.ndarray) -> np.ndarray:
    """Return the least 90% quantile with which these differences are allowed, less the margin."""
    ratios = (differ - _REST * level) / (steep + _EDGE * level)
    return np.asarray(ratios.max(axis=1, initial=0) * ((1 - _MARGIN) / _TIMES))


def _scenes(shapes: np.ndarray, which: np.ndarray) -> np.ndarray:
    """Assign images to scenes: an image belongs to the scene of the first image it correlates with.

    Args:
        shapes: float32 [n, cells], standardised luma.
        which: int [m], positions of the images to assign.

    Returns:
        Number of the scene, int [n]; -1 for other images, and those beyond ``_SCENES`` scenes.
    """
    scene = np.full(len(shapes), -1)
    for number in range(_SCENES):
        if not len(which):
            break
        like = shapes[which] @ shapes[which[0]] >= _LIKE * shapes.shape[1]
        scene[which[like]] = number
        which = which[~like]
    return scene


def _steepness(plane: np.ndarray) -> np.ndarray:
    """Return each cell's greatest step between neighbours in the 3 × 3 cells around it."""
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
