"""The blocking checks of the newest data set and model, with their numbers and remedies."""

from collections.abc import Mapping
from typing import Any

from assets.dataset.splits import class_floor
from assets.evaluation.candidate import candidate_of
from assets.records.annotations import AnnotationsRecord
from assets.records.challenger_model import ChallengerModelRecord
from assets.records.dataset import DatasetRecord
from assets.records.raw_images import RawImagesRecord
from assets.records.trained_model import TrainedModelRecord
from assets.release.verdicts import (
    DATASET_CHECKS,
    MODEL_CHECKS,
    SOURCE_CHECKS,
    STAGING_CHECKS,
    newest_verdict,
)
from imgclf_dagster.status.made import NewestRecords
from object_store.contents.damage import DamagedObject
from object_store.errors import StoreError
from object_store.store import ObjectStore

REMEDIES = {
    "images_readable": "take what is no image out of raw/ (raw_images names it), or raise "
    "max_unreadable_share under [ingestion] in imgclf.toml; then imgclf run",
    "labels_known": "correct these labels, or add their classes to names under [labels], or raise "
    "max_unknown_label_share under [gates] in imgclf.toml; then imgclf run",
    "no_label_conflicts": "label these images again (imgclf ingest, or Label Studio); then "
    "imgclf run",
    "no_split_leakage": "make the data set again: imgclf run",
    "class_floor_met": "do what the check says of each class: more images (imgclf ingest), "
    "another setting in imgclf.toml, or imgclf splits deal-again; then imgclf run",
    "export_matches_training": "train again (other [training] settings, or more labels), or raise "
    "max_export_difference under [gates] in imgclf.toml; then imgclf run",
    "beats_champion": "label more images (imgclf queue says which), or allow a loss by "
    "champion_tolerance under [gates] in imgclf.toml; then imgclf run",
    "no_slice_regression": "label more images of the classes named, or allow a loss by "
    "slice_tolerance under [gates] in imgclf.toml; then imgclf run",
    "calibration_within_bound": "label more images, or raise max_calibration_error under [gates] "
    "in imgclf.toml; then imgclf run",
    "staging_serves_digest": "see the endpoint's log, then stage it again: imgclf run",
    "staging_latency_within_budget": "measure it again when this machine has less to do (imgclf "
    "run), or raise max_staging_latency_ms under [gates] in imgclf.toml",
}
"""Remedy of each blocking check, by its name."""

WITHOUT_CHAMPION = (
    "label more images (imgclf queue says which), or change [training] in imgclf.toml; then "
    "imgclf run"
)
"""Remedy of ``beats_champion`` where the candidate was compared with the majority baseline, for
which there is no tolerance."""

BETTER_WITH_EPOCHS = {"beats_champion", "no_slice_regression"}
MORE_EPOCHS = (
    "train for more epochs (training.epochs, which was {epochs}: the validation loss was still "
    "falling at the end), or "
)

Facts = dict[str, Any]


def blocking_checks(store: ObjectStore, newest: NewestRecords) -> list[Facts]:
    """Return every check that blocks the newest version of an asset, in the order of the line."""
    found = []
    images = newest.of(RawImagesRecord)
    labels = newest.of(AnnotationsRecord)
    for source in (images, labels):
        if source is not None:
            checks = SOURCE_CHECKS[source.asset]
            found += _blocking(store, source.asset, source.content_version, checks)
    made = newest.of(DatasetRecord)
    found += _blocking(store, "dataset", made.dataset_version if made else "", DATASET_CHECKS)
    model = newest.of(TrainedModelRecord)
    candidate = candidate_of(model, newest.of(ChallengerModelRecord)) if model else None
    version = candidate.model_version if candidate else ""
    blocking = _blocking(store, "trained_model", version, (*MODEL_CHECKS, *STAGING_CHECKS))
    if model and model.epochs_too_few:
        for fact in blocking:
            if fact["check"] in BETTER_WITH_EPOCHS:
                fact["remedy"] = MORE_EPOCHS.format(epochs=model.epochs_too_few) + fact["remedy"]
    return [*found, *blocking]


def checks_failed(store: ObjectStore, asset: str, version: str) -> Mapping[str, str]:
    """Return the reasons of the failed blocking checks of a version, by the check's name.

    Args:
        store: holds the verdicts.
        asset: ``dataset`` or ``trained_model``.
        version: data set version or model version.
    """
    checks = {"dataset": DATASET_CHECKS, "trained_model": (*MODEL_CHECKS, *STAGING_CHECKS)}[asset]
    return {item["check"]: item["reason"] for item in _blocking(store, asset, version, checks)}


def _blocking(store: ObjectStore, asset: str, version: str, checks: tuple[str, ...]) -> list[Facts]:
    found: list[Facts] = []
    for check in checks if version else ():
        subject = f"{asset}/{version}"
        try:
            verdict = newest_verdict(store, subject, check)
        except (
            StoreError,
            ValueError,
        ) as error:  # an unreadable verdict counts as blocking
            reason = error.message if isinstance(error, DamagedObject) else str(error)
            remedy = error.remedy if isinstance(error, DamagedObject) else ""
            remedy = remedy or "make the check again: imgclf run"
            found.append(_fact(check, subject, reason, {}, remedy))
            continue
        if verdict is not None and verdict.blocks:
            numbers = dict(verdict.numbers)
            found.append(_fact(check, subject, verdict.reason, numbers, _remedy(check, numbers)))
    return found


def _remedy(check: str, numbers: Facts) -> str:
    if check == "beats_champion" and "majority_baseline_accuracy" in numbers:
        return WITHOUT_CHAMPION
    if check == "class_floor_met" and (way := class_floor.remedy(numbers)):
        return f"{way}; then imgclf run"
    return REMEDIES[check]


def _fact(check: str, subject: str, reason: str, numbers: Facts, remedy: str) -> Facts:
    return {
        "check": check,
        "subject": subject,
        "reason": reason,
        "numbers": numbers,
        "remedy": remedy,
    }
