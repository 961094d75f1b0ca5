"""The sensor for labels, in Label Studio and in the store."""

import functools
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict, ValidationError

from assets.annotations.label_index import (
    ANNOTATIONS,
    labels_table,
    new_snapshots,
    schema_version,
    snapshot_rows,
    view_of,
)
from assets.annotations.label_studio_poll import PollCursor, poll
from assets.dataset.retraining import retraining
from assets.line import Line, fingerprint
from assets.records.annotations import AnnotationsRecord
from assets.records.dataset import DatasetRecord
from assets.records.materializations import newest_materialization
from assets.records.trained_model import TrainedModelRecord
from imgclf_dagster.runs.asking import Tick, ask, under_way
from imgclf_dagster.runs.jobs import LINE
from labelling.labels.snapshots import LABEL_STUDIO_PREFIX
from object_store.contents.damage import DamagedObject
from object_store.store import ObjectStore
from resources.arrivals.arrivals import LABEL_ARRIVALS, pending_notices
from resources.label_studio.client import LabelStudioClient
from resources.label_studio.types import LabelStudioError, ProjectMissing

LABEL_PAGE_S = 30.0
"""Interval of listing a bucket's annotations, for each thousand of them (seconds)."""

LABELS_LISTED = 100_000
"""Maximum number of snapshots that a tick lists: some 10 s with a real bucket."""

TO_THE_MODEL = ("dataset", "trained_model", "evaluation_report")
"""Assets after ``annotations`` that share its run, which saves the start of processes."""

NO_LABELS = "no new annotation snapshots"
NO_PROJECT = "Label Studio has no project of ours yet"


class LabelsCursor(BaseModel):
    """What the sensor remembers: when it looked, when it listed the bucket's snapshots (seconds
    since 1970), and of Label Studio."""

    model_config = ConfigDict(extra="ignore")

    looked_at: float = 0.0
    listed_at: float = 0.0
    label_studio: PollCursor = PollCursor()

    @classmethod
    def parse(cls, text: str | None) -> "LabelsCursor":
        """Parse a cursor, also of former versions; one that cannot be read becomes an empty one."""
        # With an empty cursor everything is looked at again; nothing is written twice.
        try:
            return cls.model_validate_json(text or "{}")
        except ValidationError:
            return cls()


@dg.sensor(
    target=["annotations", *TO_THE_MODEL],
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Copies new annotations from Label Studio into the store, and starts annotations "
    "when there are new snapshots or the label schema changed. When enough labels are new "
    "([retraining]), the same run trains a model.",
)
def annotations_change_sensor(
    context: dg.SensorEvaluationContext,
    store: dg.ResourceParam[ObjectStore],
    line: dg.ResourceParam[Line],
    label_studio: LabelStudioClient,
) -> Tick:
    """Read changes from Label Studio, and request ``annotations`` if there are any.

    Args:
        context: Dagster's context.
        store: the object store.
        line: the settings of the line.
        label_studio: the Label Studio server; it may be not configured.

    Returns:
        A run request, or the reason for none.
    """
    store.require()
    cursor = LabelsCursor.parse(context.cursor)
    cursor.looked_at = time.time()
    trouble = _poll(context, store, line, label_studio, cursor.label_studio)
    schema = schema_version(line.labels)
    try:
        made = newest_materialization(context.instance, store, AnnotationsRecord)
        made_under = (made.label_schema if made else None) or schema
        if store.is_bucket and made_under == schema:
            tick = _look_for_labels(context, store, line, made, cursor)
        else:
            table = labels_table(store)
            fresh, rows = new_snapshots(store, table), table.read(["snapshot_key"]).num_rows
            # A killed run may have indexed snapshots without a materialization.
            changed = fresh or made_under != schema or rows != (made.snapshots if made else 0)
            token = fingerprint([fresh, made_under, schema, rows])
            tick = _ask(context, store, line, token, fresh) if changed else dg.SkipReason(NO_LABELS)
            if not changed or isinstance(tick, dg.SensorResult):
                cursor.label_studio.unindexed = False
    except DamagedObject as damage:  # the asset moves it aside and rebuilds its content
        context.log.warning(str(damage))
        tick = ask(context.instance, "annotations", fingerprint([damage.key, damage.flaw]))
    context.update_cursor(cursor.model_dump_json(exclude_defaults=True))
    if trouble and isinstance(tick, dg.SkipReason):
        return dg.SkipReason(f"{tick.skip_message}; {trouble}")
    return tick


def when_hinted(
    look: Callable[..., Tick], interval_s: float, hint_file: Path
) -> Callable[..., Tick]:
    """Wrap a sensor's function, which can then be called often.

    It is executed every ``interval_s`` seconds, and earlier when ``hint_file`` was touched.

    Args:
        look: the sensor's function, with a :class:`LabelsCursor` as its cursor.
        interval_s: seconds between two executions.
        hint_file: touched when Label Studio's webhook reports a change.
    """

    # A webhook is sent once and may be lost, so the interval stays.
    @functools.wraps(look)
    def look_if_due(context: dg.SensorEvaluationContext, **resources: Any) -> Tick:
        looked_at = LabelsCursor.parse(context.cursor).looked_at
        hinted_at = hint_file.stat().st_mtime if hint_file.exists() else 0.0
        if hinted_at < looked_at <= time.time() < looked_at + interval_s:
            return dg.SkipReason(f"looked {time.time() - looked_at:.0f} s ago")
        return look(context, **resources)

    return look_if_due


def _poll(
    context: dg.SensorEvaluationContext,
    store: ObjectStore,
    line: Line,
    label_studio: LabelStudioClient,
    cursor: PollCursor,
) -> str:
    """Copy new annotations from Label Studio, if one is configured.

    Returns:
        A problem that a person should know; "" without one.
    """
    if not label_studio.configured:
        return ""
    try:
        poll(label_studio, store, cursor, line.labelling, context.log.warning)
    except DamagedObject as damage:
        context.log.error(str(damage))
        return str(damage)
    except LabelStudioError as error:
        cursor.reconciled_at = 0.0  # it may come back restored from a backup
        if isinstance(error, ProjectMissing) and cursor.project is None:
            return NO_PROJECT  # none can be created before there are labels
        context.log.error(str(error))
        return str(error)
    if cursor.note:
        context.log.warning(cursor.note)
    return cursor.note


def _look_for_labels(
    context: dg.SensorEvaluationContext,
    store: ObjectStore,
    line: Line,
    made: AnnotationsRecord | None,
    cursor: LabelsCursor,
) -> Tick:
    """Request a run for new snapshots in a bucket: by notices, else by listing.

    The more snapshots there are, the longer the interval of listing. Too many for a tick are listed
    by the run.
    """
    notices = pending_notices(store, LABEL_ARRIVALS)
    snapshots, now = made.snapshots if made else 0, time.time()
    if notices and not cursor.label_studio.unindexed:
        return ask(context.instance, "annotations", fingerprint(notices[0]))
    pause = min(snapshots // 1000 * LABEL_PAGE_S, line.ingestion.reconcile_every_s)
    if 0 <= now - cursor.listed_at < pause and not cursor.label_studio.unindexed:
        return dg.SkipReason(f"{NO_LABELS} are announced; all are listed every {pause:.0f} s")
    if snapshots > LABELS_LISTED or not made:
        some = snapshots or store.window(ANNOTATIONS, None, 1)[0].num_rows
        token = str(int(now)) if made else "first"
        tick = ask(context.instance, "annotations", token) if some else None
    else:
        fresh = new_snapshots(store, labels_table(store))
        tick = _ask(context, store, line, fingerprint(fresh), fresh) if fresh else None
    if tick is None or isinstance(tick, dg.SensorResult):
        cursor.listed_at = float(int(now))
        cursor.label_studio.unindexed = False
    return tick or dg.SkipReason(NO_LABELS)


def _ask(
    context: dg.SensorEvaluationContext,
    store: ObjectStore,
    line: Line,
    token: str,
    fresh: Sequence[str],
) -> Tick:
    """Request a run for ``fresh`` snapshots, up to the model if training is due by them.

    Only snapshots of Label Studio count for that.
    """
    instance = context.instance
    also: tuple[str, ...] = ()
    ours = [key for key in fresh if key.startswith(LABEL_STUDIO_PREFIX)]
    if ours and not under_way(instance, ("annotations", *TO_THE_MODEL[1:]), (LINE,)):
        also = TO_THE_MODEL if _is_due(instance, store, line, ours) else ()
    # A data set without these labels is being made; the next one has to wait for it anyway.
    if also and (run_id := under_way(instance, ("dataset",), ())):
        return dg.SkipReason(f"run {run_id} makes a data set; afterwards one run makes the model")
    return ask(instance, "annotations", token, also=also)


def _is_due(
    instance: dg.DagsterInstance, store: ObjectStore, line: Line, fresh: Sequence[str]
) -> bool:
    """Whether training is due once the snapshots at ``fresh`` are in the label table.

    Labels count that are not in the newest data set: these, and those indexed since it was made.
    """
    made = newest_materialization(instance, store, DatasetRecord)
    if made is None or newest_materialization(instance, store, TrainedModelRecord) is None:
        return False  # the first model is trained by its automation condition
    indexed = labels_table(store).read()
    rows = pa.concat_tables([indexed, snapshot_rows(store, list(fresh))])
    known = indexed.num_rows if made.label_rows is None else made.label_rows
    since = rows.slice(min(known, indexed.num_rows))
    since = since.filter(pc.equal(since["source"], "label_studio"))
    found = retraining(
        instance,
        store,
        made.dataset_version,
        view_of(rows, line.labels),
        line.retraining,
        fresh=set(since["sha256"].to_pylist()),
    )
    return found.is_due(time.time())
