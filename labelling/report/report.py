"""The labelling report: all values of its page, as stored beside it in JSON."""

from datetime import datetime

from pydantic import AwareDatetime, BaseModel, ConfigDict

from labelling.labels.agreement import Agreement
from labelling.labels.schema import Task
from labelling.report.curve_law import Estimate
from labelling.report.curve_report import CurveReport
from labelling.report.statistics import Statistics


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


class PairSummary(_Frozen):
    """Two annotators: see ``labelling.labels.agreement.PairAgreement``."""

    annotator_a: str
    annotator_b: str
    images: int
    same: float
    kappa: float | None


class ClassSummary(_Frozen):
    """One label: see ``labelling.labels.agreement.ClassAgreement``."""

    label: str
    images: int
    same: float
    alpha: float | None


class AgreementSummary(_Frozen):
    """Agreement of the annotators: see ``labelling.labels.agreement.Agreement``."""

    images: int
    same: float | None
    alpha: float | None
    disagreements: int
    pairs: list[PairSummary]
    classes: list[ClassSummary]

    @classmethod
    def of(cls, found: Agreement) -> "AgreementSummary":
        """The numbers of ``found``, without the images."""
        return cls(
            images=found.images,
            same=found.same,
            alpha=found.alpha,
            disagreements=len(found.disagreements),
            pairs=[
                PairSummary(
                    annotator_a=pair.annotator_a,
                    annotator_b=pair.annotator_b,
                    images=pair.images,
                    same=pair.same,
                    kappa=pair.kappa,
                )
                for pair in found.pairs
            ],
            classes=[
                ClassSummary(label=one.label, images=one.images, same=one.same, alpha=one.alpha)
                for one in found.classes
            ],
        )


class LabellingReport(_Frozen):
    """The report.

    Attributes:
        at: when it was made.
        labelled: images that have a label now, from whatever source.
        conflicts: images whose labels contradict each other.
        open_tasks: tasks that wait for a person; ``None`` where nobody knows.
        curve: ``None`` as long as there is no model; ``why_no_curve`` says so.
        label_studio_url: where people label; empty: not shown.
    """

    project: str
    task: Task
    at: AwareDatetime
    labelled: int
    conflicts: int
    open_tasks: int | None
    statistics: Statistics
    agreement: AgreementSummary
    curve: CurveReport | None
    why_no_curve: str
    label_studio_url: str

    @property
    def saved(self) -> Estimate | None:
        """Labels saved against random order; ``None`` if that is not known."""
        return saved_labels(self.curve)

    def same_as(self, other: "LabellingReport") -> bool:
        """Whether both reports are equal except for their time."""
        moment = datetime.fromtimestamp(0, tz=self.at.tzinfo)
        return self.model_copy(update={"at": moment}) == other.model_copy(update={"at": moment})


def saved_labels(curve: CurveReport | None) -> Estimate | None:
    """How many fewer labels were needed for the present score than in random order.

    Random images alone (ingested with a label, or drawn at random) tell how many labels in random
    order the present score needs; the actual number is subtracted. Assumption: images that came
    with a label are as informative as random ones. ``None`` if it cannot be estimated.
    """
    if curve is None or curve.saved.needed is None or curve.saved.needed.low is None:
        return None
    there = curve.saved.chosen + curve.saved.random
    needed = curve.saved.needed
    return Estimate(
        value=None if needed.value is None else needed.value - there,
        low=(needed.low or 0.0) - there,
        high=None if needed.high is None else needed.high - there,
    )


def advice(curve: CurveReport | None) -> list[str]:
    """Sentences on the expected gain of more labels, the most useful first."""
    if curve is None:
        return []
    gains = [
        (
            one.gain.value or 0.0,
            f"{one.more:,} more of {one.label}: {gain_text(one.gain)} points of F1",
        )
        for one in curve.classes
        if one.gain is not None
    ]
    found = [text for _, text in sorted(gains, reverse=True)]
    if curve.gain is not None:
        found.append(
            f"{curve.more:,} more of all kinds: {gain_text(curve.gain)} points of "
            f"{curve.score_name}"
        )
    return found


def gain_text(gain: Estimate) -> str:
    """A gain in percentage points with its 80 % interval, such as ``expected +1.4 ± 0.6``."""
    value, reach = 100 * (gain.value or 0.0), 100 * gain.reach
    sign = "+" if value > 0 else "−" if value < 0 else ""
    return f"expected {sign}{abs(value):.1f} ± {reach:.1f}"
