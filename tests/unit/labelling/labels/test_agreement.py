"""How well annotators agree: against published numbers, and against other people's code."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labelling.labels.agreement import agreement, agreement_of, krippendorff_alpha, masi_distance
from labelling.labels.table import LABELS_SCHEMA

pytestmark = pytest.mark.unit

KRIPPENDORFF_2011 = """
1 2 3 3 2 1 4 1 2 . . .
1 2 3 3 2 2 4 1 2 5 . 3
. 3 3 3 2 3 4 2 2 5 1 .
1 2 3 3 2 4 4 1 2 5 1 .
"""


def statements(**images: dict[str, str]) -> dict[str, dict[str, frozenset[str]]]:
    return {
        image: {who: frozenset(labels.split()) for who, labels in by.items()}
        for image, by in images.items()
    }


def test_alpha_is_that_of_krippendorffs_own_example():
    observers = [line.split() for line in KRIPPENDORFF_2011.strip().splitlines()]
    units = [
        [frozenset([value]) for value in unit if value != "."]
        for unit in zip(*observers, strict=True)
    ]
    assert krippendorff_alpha(units) == pytest.approx(0.743, abs=0.0005)


units = st.lists(
    st.lists(st.frozensets(st.sampled_from("abc"), min_size=1), min_size=2, max_size=4),
    min_size=2,
    max_size=8,
)


@settings(deadline=None)
@given(units, st.booleans())
def test_alpha_is_that_of_nltk(given_units, masi):
    agreement_module = pytest.importorskip(
        "nltk.metrics.agreement", reason="nltk comes with label-studio-sdk: install the product"
    )
    from nltk.metrics.distance import binary_distance
    from nltk.metrics.distance import masi_distance as their_masi

    ours = krippendorff_alpha(given_units, masi=masi)
    data = [
        (str(coder), str(item), value)
        for item, unit in enumerate(given_units)
        for coder, value in enumerate(unit)
    ]
    task = agreement_module.AnnotationTask(data, distance=their_masi if masi else binary_distance)
    if ours is None:
        assert len({value for unit in given_units for value in unit}) == 1
    else:
        assert ours == pytest.approx(task.alpha())


def test_masi_of_its_own_examples():
    """R. Passonneau, LREC 2006: distance is one minus Jaccard times monotonicity."""
    a = frozenset
    assert masi_distance(a("xy"), a("xy")) == 0
    assert masi_distance(a("x"), a("xy")) == pytest.approx(1 - 1 / 2 * 2 / 3)
    assert masi_distance(a("xy"), a("yz")) == pytest.approx(1 - 1 / 3 * 1 / 3)
    assert masi_distance(a("x"), a("y")) == 1


def test_pairs_classes_and_disagreements():
    found = agreement_of(
        statements(
            one={"ann": "cat", "bea": "cat"},
            two={"ann": "dog", "bea": "dog", "cem": "dog"},
            three={"ann": "cat", "bea": "dog"},
            four={"ann": "cat"},
        ),
        "single_label",
    )
    assert (found.images, found.annotators) == (3, ("ann", "bea", "cem"))
    assert found.same == pytest.approx(2 / 3)
    pairs = {(pair.annotator_a, pair.annotator_b): pair for pair in found.pairs}
    assert pairs["ann", "bea"].images == 3
    assert pairs["ann", "bea"].same == pytest.approx(2 / 3)
    # By hand: seen 2/3, by chance 2/3 * 1/3 + 1/3 * 2/3 = 4/9; (2/3 - 4/9) / (1 - 4/9) = 0.4.
    assert pairs["ann", "bea"].kappa == pytest.approx(0.4)
    assert pairs["ann", "cem"].kappa is None  # one image, one label: nothing to say
    classes = {item.label: item for item in found.classes}
    assert (classes["cat"].images, classes["cat"].same) == (2, 0.5)
    (disputed,) = found.disagreements
    assert (disputed.sha256, disputed.labels) == ("three", {"ann": ("cat",), "bea": ("dog",)})


def test_of_several_labels_an_overlap_is_half_an_agreement():
    sets = statements(
        one={"a": "x y", "b": "x"}, two={"a": "z", "b": "z"}, three={"a": "x", "b": "x"}
    )
    multi, single = agreement_of(sets, "multi_label"), agreement_of(sets, "single_label")
    assert multi.alpha > single.alpha
    assert -1 <= multi.pairs[0].kappa <= 1


def test_nobody_twice_is_nothing_to_compare():
    for table in (LABELS_SCHEMA.empty_table(),):
        found = agreement(table)
        assert (found.images, found.same, found.alpha) == (0, None, None)
        assert found.pairs == found.classes == found.disagreements == ()
    assert agreement_of(statements(one={"a": "x", "b": "x"}), "single_label").alpha is None


def test_chance_is_zero():
    random = np.random.default_rng(0)
    sets = {
        str(n): {who: frozenset(random.choice(["x", "y", "z"])) for who in "ab"}
        for n in range(3000)
    }
    found = agreement_of(sets, "single_label")
    assert abs(found.alpha) < 0.05
    assert abs(found.pairs[0].kappa) < 0.05
