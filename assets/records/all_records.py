"""All kinds of records, by asset."""

from collections.abc import Mapping

from assets.records.annotations import AnnotationsRecord
from assets.records.challenger_model import ChallengerModelRecord
from assets.records.dataset import DatasetRecord
from assets.records.embeddings import EmbeddingsRecord
from assets.records.evaluation_report import EvaluationReportRecord
from assets.records.hyperparameters import HyperparametersRecord
from assets.records.labelling_queue import LabellingQueueRecord
from assets.records.materialization_record import MaterializationRecord
from assets.records.raw_images import RawImagesRecord
from assets.records.release_approval import ReleaseApprovalRecord
from assets.records.trained_model import TrainedModelRecord

RECORDS: Mapping[str, type[MaterializationRecord]] = {
    kind.asset: kind
    for kind in (
        RawImagesRecord,
        AnnotationsRecord,
        DatasetRecord,
        TrainedModelRecord,
        ChallengerModelRecord,
        HyperparametersRecord,
        EvaluationReportRecord,
        EmbeddingsRecord,
        LabellingQueueRecord,
        ReleaseApprovalRecord,
    )
}
"""Name of the asset to the class of its records."""
