"""The record of a materialization of ``labelling_queue``."""

from typing import ClassVar

from pydantic import BaseModel, ConfigDict

from assets.records.materialization_record import MaterializationRecord

NOTHING_CHOSEN = "no image was chosen: the queue is long enough, or no image is left"


class ChosenImage(BaseModel):
    """One of the images that were chosen: its key, the reason in words, and its score."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    key: str
    why: str
    score: float


class LabellingQueueRecord(MaterializationRecord):
    """The open tasks in Label Studio, or without Label Studio the images that would become tasks.

    Attributes:
        open: number of open tasks.
        wanted: number of open tasks that the annotators' pace requires; ``None``: unknown.
        left: number of unlabelled images that have no task and were not skipped, for the project
            in its present state: images whose tasks are deleted are counted again; ``None``:
            unknown.
        added: number of new tasks.
        withdrawn: number of tasks withdrawn.
        in_doubt: number of images whose labels are in doubt.
        labels_per_day: the annotators' pace.
        corrections: number of the predictor's corrections that it took into account.
        model_version: model whose predictions annotators see; empty: none.
        batch: id of the new batch; empty: nothing was chosen.
        chosen: number of images in it.
        first: the first of them.
        project: page of Label Studio's project; ``None`` without Label Studio.
        project_made: when the project was created, ISO 8601.
        tasks: number of its tasks.
        review_link: page of the tasks in doubt; empty: there are none.
        problems: warnings, none of which stopped the run.
        is_connected: whether a Label Studio is connected.
    """

    asset: ClassVar[str] = "labelling_queue"

    open: int = 0
    wanted: int | None = None
    left: int | None = None
    added: int = 0
    withdrawn: int = 0
    in_doubt: int = 0
    labels_per_day: float = 0.0
    corrections: int = 0
    model_version: str = ""
    batch: str = ""
    chosen: int = 0
    first: tuple[ChosenImage, ...] = ()
    project: str | None = None
    project_made: str | None = None
    tasks: int | None = None
    review_link: str = ""
    problems: tuple[str, ...] = ()
    is_connected: bool = True
