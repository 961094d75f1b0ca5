"""Inter-annotator agreement: Cohen's kappa of each pair, Krippendorff's alpha of all annotators.

Kappa is scikit-learn's. Alpha is implemented here, because no package fits: ``krippendorff`` is
GPL, ``simpledorff`` is unmaintained since 2020, and NLTK takes seconds to import.
``tests/unit/labelling/labels/test_agreement.py`` checks it against the worked examples of its
author and against NLTK.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pyarrow as pa

from labelling.labels.consensus import LabelSet, newest_vote_by_annotator
from labelling.labels.schema import Task

Statements = Mapping[str, Mapping[str, LabelSet]]
"""Image (sha256) to annotator to the set of labels they gave."""


@dataclass(frozen=True)
class PairAgreement:
    """Agreement of two annotators on the ``images`` that both labelled: the share with equal labels
    (0…1), and Cohen's kappa (-1…1; 0 is chance), which needs two labels in use."""

    annotator_a: str
    annotator_b: str
    images: int
    same: float
    kappa: float | None


@dataclass(frozen=True)
class ClassAgreement:
    """Agreement on one label, as a yes or no question: the images with two annotators or more of
    whom one gave the label, the share of them on which all did, and Krippendorff's alpha."""

    label: str
    images: int
    same: float
    alpha: float | None


@dataclass(frozen=True)
class Disagreement:
    """An image with different labels of its annotators: labels by annotator."""

    sha256: str
    labels: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Agreement:
    """Agreement on the ``images`` that two annotators or more labelled. ``alpha`` is 1 for perfect
    agreement and 0 for chance; ``None`` if it is undefined."""

    images: int
    annotators: tuple[str, ...]
    same: float | None
    alpha: float | None
    pairs: tuple[PairAgreement, ...]
    classes: tuple[ClassAgreement, ...]
    disagreements: tuple[Disagreement, ...]


def agreement(labels: pa.Table, task: Task = "single_label") -> Agreement:
    """Measure the agreement of Label Studio's annotators.

    Args:
        labels: in ``labelling.labels.table.LABELS_SCHEMA``; each annotator's newest standing
            annotation of an image counts.
        task: for ``multi_label``, kappa is the mean over labels, and alpha weights a disagreement
            by the overlap of the two sets (MASI).
    """
    return agreement_of(
        {
            image: {who: statement.labels for who, statement in answers.items()}
            for image, answers in newest_vote_by_annotator(labels).items()
        },
        task,
    )


def agreement_of(statements: Statements, task: Task) -> Agreement:
    """Measure the agreement of ``statements``; see :func:`agreement`."""
    several = {image: answers for image, answers in sorted(statements.items()) if len(answers) > 1}
    units = [tuple(answers.values()) for answers in several.values()]
    same = [len(set(unit)) == 1 for unit in units]
    disputed = [item for item, agreed in zip(several.items(), same, strict=True) if not agreed]
    return Agreement(
        images=len(several),
        annotators=tuple(sorted({who for answers in several.values() for who in answers})),
        same=float(np.mean(same)) if same else None,
        alpha=krippendorff_alpha(units, masi=task == "multi_label"),
        pairs=_pairs(several, task),
        classes=_classes(units),
        disagreements=tuple(
            Disagreement(image, {who: tuple(sorted(labels)) for who, labels in answers.items()})
            for image, answers in disputed
        ),
    )


def krippendorff_alpha(units: Sequence[Sequence[LabelSet]], *, masi: bool = False) -> float | None:
    """Krippendorff's alpha for any number of annotators and missing values.

    K. Krippendorff, "Computing Krippendorff's Alpha-Reliability" (2011), section C: one minus
    observed over expected disagreement, from the coincidences within units.

    Args:
        units: the label sets of each image's annotators; images with one annotator are left out.
        masi: use the MASI distance between sets (R. Passonneau, LREC 2006), else 0 for equal sets
            and 1 for different ones.

    Returns:
        -1…1, or ``None`` if nothing can be compared or all values are equal.
    """
    pairable = [unit for unit in units if len(unit) > 1]
    values = sorted({value for unit in pairable for value in unit}, key=sorted)
    if len(values) < 2:
        return None
    index = {value: number for number, value in enumerate(values)}
    coincidences = np.zeros((len(values), len(values)))
    for unit in pairable:
        counts = Counter(index[value] for value in unit)
        for a, times_a in counts.items():
            for b, times_b in counts.items():
                ordered = times_a * (times_b - (a == b))
                coincidences[a, b] += ordered / (len(unit) - 1)
    totals = coincidences.sum(axis=0)
    if masi:
        distances = np.array([[masi_distance(a, b) for b in values] for a in values])
    else:
        distances = 1.0 - np.eye(len(values))
    expected = (np.outer(totals, totals) * distances).sum() / (totals.sum() - 1)
    return float(1 - (coincidences * distances).sum() / expected)


def masi_distance(a: LabelSet, b: LabelSet) -> float:
    """0 for equal sets, 1 for disjoint ones; else one minus Jaccard's index times 2/3 if one set
    contains the other, or times 1/3 if not."""
    if a == b:
        return 0.0
    shared = len(a & b)
    if not shared:
        return 1.0
    weight = 2 / 3 if a <= b or b <= a else 1 / 3
    return 1 - shared / len(a | b) * weight


def _pairs(several: Statements, task: Task) -> tuple[PairAgreement, ...]:
    both: dict[tuple[str, str], list[tuple[LabelSet, LabelSet]]] = defaultdict(list)
    for answers in several.values():
        for a, b in combinations(sorted(answers), 2):
            both[a, b].append((answers[a], answers[b]))
    return tuple(
        PairAgreement(
            a,
            b,
            len(answers),
            float(np.mean([x == y for x, y in answers])),
            _cohen_kappa(answers, task),
        )
        for (a, b), answers in sorted(both.items())
    )


def _cohen_kappa(pairs: Sequence[tuple[LabelSet, LabelSet]], task: Task) -> float | None:
    """Cohen's kappa; of several labels an image the mean over labels, each a yes or no."""
    labels = sorted({label for pair in pairs for one in pair for label in one})
    if task == "single_label":
        found = [
            _kappa(["|".join(sorted(a)) for a, _ in pairs], ["|".join(sorted(b)) for _, b in pairs])
        ]
    else:
        found = [
            _kappa([name in a for a, _ in pairs], [name in b for _, b in pairs]) for name in labels
        ]
    known = [value for value in found if value is not None]
    return float(np.mean(known)) if known else None


def _kappa(a: Sequence[object], b: Sequence[object]) -> float | None:
    from sklearn.metrics import cohen_kappa_score

    return float(cohen_kappa_score(a, b)) if len({*a, *b}) > 1 else None


def _classes(units: Sequence[Sequence[LabelSet]]) -> tuple[ClassAgreement, ...]:
    found = []
    for label in sorted({label for unit in units for answer in unit for label in answer}):
        answers = [tuple(frozenset([str(label in answer)]) for answer in unit) for unit in units]
        named = [unit for unit in units if any(label in answer for answer in unit)]
        same = float(np.mean([all(label in answer for answer in unit) for unit in named]))
        found.append(ClassAgreement(label, len(named), same, krippendorff_alpha(answers)))
    return tuple(found)
