"""The unfinished runs, and the last failed run whose assets were not materialized since."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import dagster as dg
from dagster import DagsterEventType

from imgclf_dagster.line.progress import OF_DAGSTER, failed_steps, is_check_step
from imgclf_dagster.runs.asking import UNFINISHED
from imgclf_dagster.runs.orphans import gone_process, gone_words, is_gone

LOOKED_AT = 5
"""Number of last failed runs looked at; times 20, the number of a run's events searched."""

Facts = dict[str, Any]


def runs_under_way(instance: dg.DagsterInstance) -> list[Facts]:
    """Return the unfinished runs with a live process, oldest first, with step and last message."""
    records = instance.get_run_records(dg.RunsFilter(statuses=UNFINISHED))
    return [
        _under_way(instance, record)
        for record in reversed(records)
        if gone_process(instance, record.dagster_run) is None
    ]


def _under_way(instance: dg.DagsterInstance, record: dg.RunRecord) -> Facts:
    run = record.dagster_run
    stats = instance.get_run_step_stats(run.run_id)
    steps = [
        step for step in stats if step.start_time and not step.end_time and step.status is not None
    ]
    done = [step.step_key for step in stats if step.end_time and not is_check_step(step.step_key)]
    since = record.start_time or record.create_timestamp.timestamp()
    return {
        "run_id": run.run_id,
        "makes": _made(instance, run),
        "job": "" if run.asset_selection else run.job_name,
        "status": run.status.value.lower(),
        "since": _moment(since),
        "step": ", ".join(step.step_key for step in steps),
        "step_since": _moment(min(s.start_time or since for s in steps)) if steps else None,
        "done": done,
        "said": _last_words(instance, run.run_id),
    }


def _last_words(instance: dg.DagsterInstance, run_id: str) -> str:
    """Return the last message of a run's step, such as "images evaluated: 100 of 399"; "" if none."""
    page = instance.get_records_for_run(run_id, limit=20 * LOOKED_AT, ascending=False)
    messages = (
        record.event_log_entry.user_message
        for record in page.records
        if record.event_log_entry.dagster_event is None
        and record.event_log_entry.step_key
        and not record.event_log_entry.user_message.startswith(OF_DAGSTER)
    )
    return next(messages, "")


def last_failure(instance: dg.DagsterInstance) -> Facts | None:
    """Return the last failed run, or ``None``.

    Runs whose failed steps were materialized later, or after which one of the same selection
    succeeded, and runs that failed only by a check, do not count.
    """
    for record, why in _failures(instance):
        if why and not (_made_since(instance, set(why), record) or _done_since(instance, record)):
            reasons = list(dict.fromkeys(why.values()))
            return {
                "run_id": record.dagster_run.run_id,
                "what": ", ".join(why),
                "why": "; ".join(reasons),
                "interrupted": all(is_gone(reason) for reason in reasons),
                "at": _moment(record.end_time or record.update_timestamp.timestamp()),
            }
    return None


def _failures(instance: dg.DagsterInstance) -> Iterator[tuple[dg.RunRecord, dict[str, str]]]:
    """Yield the last failed runs, newest first, with the reasons of their failed steps.

    Unfinished runs whose process has ended count as failed.
    """
    failed = instance.get_run_records(
        dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE, *UNFINISHED]), limit=LOOKED_AT
    )
    for record in failed:
        run = record.dagster_run
        if run.status is dg.DagsterRunStatus.FAILURE:
            steps = failed_steps(instance, run.run_id)
            why = {
                step: reason.partition("\n\n")[0]  # what follows is detail
                for step, reason in steps.items()
                if not is_check_step(step)
            }
            yield record, why if steps else dict.fromkeys(_asked(run), _end(instance, run.run_id))
        elif (process := gone_process(instance, run)) is not None:
            yield record, dict.fromkeys(_asked(run), gone_words(process))


def _end(instance: dg.DagsterInstance, run_id: str) -> str:
    """Return why a run failed without a failed step."""
    page = instance.get_records_for_run(run_id, of_type=DagsterEventType.RUN_FAILURE)
    events = [record.event_log_entry.dagster_event for record in page.records]
    return next((event.message or "" for event in events if event), "") or "it failed"


def _made_since(instance: dg.DagsterInstance, assets: set[str], record: dg.RunRecord) -> bool:
    """Whether all of ``assets`` were materialized after the run started."""
    began = record.start_time or record.create_timestamp.timestamp()
    made = (instance.get_latest_materialization_event(dg.AssetKey(asset)) for asset in assets)
    return all(event is not None and event.timestamp > began for event in made)


def _done_since(instance: dg.DagsterInstance, record: dg.RunRecord) -> bool:
    """Whether a later run of the same job, and of all its assets, succeeded."""
    run = record.dagster_run
    later = instance.get_run_records(
        dg.RunsFilter(
            job_name=run.job_name,
            statuses=[dg.DagsterRunStatus.SUCCESS],
            created_after=record.create_timestamp,
        ),
        limit=LOOKED_AT,
    )
    asked = run.asset_selection
    selections = [other.dagster_run.asset_selection for other in later]
    return any(other is None or (asked is not None and asked <= other) for other in selections)


def _asked(run: dg.DagsterRun) -> list[str]:
    """Return the names of a run's selected assets, or of its job."""
    selected = sorted(key.to_user_string() for key in run.asset_selection or ())
    return selected or [run.job_name]


def _made(instance: dg.DagsterInstance, run: dg.DagsterRun) -> list[str]:
    """Return the names of the assets that a run makes; those of the whole job without a selection."""
    if run.asset_selection or not run.execution_plan_snapshot_id:
        return _asked(run)
    plan = instance.get_execution_plan_snapshot(run.execution_plan_snapshot_id)
    return [key for key in plan.step_keys_to_execute if not is_check_step(key)] or _asked(run)


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
