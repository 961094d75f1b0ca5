"""The sensor that keeps enough tasks for annotators in the labelling queue."""

import dagster as dg

from assets.line import Line, fingerprint
from assets.queue.labelling_queue import state_of
from assets.queue.ledger import newest_key, unfinished
from assets.records.embeddings import EmbeddingsRecord
from assets.records.labelling_queue import LabellingQueueRecord
from assets.records.materializations import newest_materialization
from imgclf_dagster.runs.asking import Tick, ask
from imgclf_dagster.runs.jobs import LABELLING
from labelling.labels.corrections import CORRECTIONS_PREFIX
from object_store.store import ObjectStore
from resources.label_studio.client import LabelStudioClient
from resources.label_studio.types import LabelStudioError

QUEUE = "labelling_queue"
LOW_SHARE = 0.5
"""Share of the wanted open tasks below which the queue is filled up. Filling takes a minute, in which
annotators should not run out of tasks."""


@dg.sensor(
    target=QUEUE,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Starts labelling_queue when the queue in Label Studio runs low, after corrections "
    "in the predictor, or when the import of a batch was interrupted. Changes of models and labels "
    "start it by its automation condition.",
)
def labelling_queue_sensor(
    context: dg.SensorEvaluationContext,
    store: dg.ResourceParam[ObjectStore],
    line: dg.ResourceParam[Line],
    label_studio: LabelStudioClient,
) -> Tick:
    """Request ``labelling_queue`` when the queue runs low or has unfinished work.

    Args:
        context: Dagster's context.
        store: the object store.
        line: the settings of the line.
        label_studio: the Label Studio server; it may be not configured.

    Returns:
        A run request, or the reason for none.
    """
    if not label_studio.configured:
        return dg.SkipReason("no Label Studio is connected")
    store.require()
    made = newest_materialization(context.instance, store, LabellingQueueRecord)
    cut_short = unfinished(store)
    if cut_short:
        return _ask(context, "cut short", *[batch.batch for batch in cut_short])
    corrections = len(store.list(CORRECTIONS_PREFIX))
    if made is not None and corrections != made.corrections:
        return _ask(context, "corrections", corrections)
    return _look_how_long_it_is(context, store, line, label_studio, made)


def _look_how_long_it_is(
    context: dg.SensorEvaluationContext,
    store: ObjectStore,
    line: Line,
    label_studio: LabelStudioClient,
    made: LabellingQueueRecord | None,
) -> Tick:
    if newest_materialization(context.instance, store, EmbeddingsRecord) is None:
        return dg.SkipReason("nobody has looked at the images yet; embeddings come first")
    try:
        state = state_of(label_studio, label_studio.project.read())
        as_left = made and state == (made.project, made.project_made, made.tasks)
        if made and as_left and made.left == 0:
            return dg.SkipReason("no image is left to label")
        waiting = label_studio.tasks.count_untouched()
    except LabelStudioError as error:
        return dg.SkipReason(str(error))
    wanted = line.labelling.batch_min if made is None or made.wanted is None else made.wanted
    if waiting > LOW_SHARE * wanted:
        return dg.SkipReason(f"{waiting} tasks wait for annotators, {wanted} are wanted")
    # The same state may come again when tasks are deleted; the newest batch makes the token unique.
    return _ask(context, "low", *state, waiting, newest_key(store))


def _ask(context: dg.SensorEvaluationContext, why: str, *state: object) -> Tick:
    """Request a run, once for the same state."""
    # If no image is left to choose from, a second run would change nothing.
    return ask(context.instance, QUEUE, fingerprint([why, *state]), jobs=(LABELLING,))
