"""What became of challengers (recipe auto), and their scores beside the model that they challenged."""

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

from assets.evaluation.scores import numbers_of
from assets.records.challenger_model import ChallengerModelRecord
from assets.records.materialization_record import MATERIALIZATIONS
from object_store.contents.damage import DamagedObject
from object_store.contents.reading import parse_object, read_record
from object_store.errors import KeyMissing
from object_store.store import ObjectStore
from resources.compute.outputs import JobOutputs
from training.evaluation.report import EvaluationReport


class Challenges:
    """The challengers in a store; reads a record or report when it is asked for, and once."""

    def __init__(self, store: ObjectStore) -> None:
        """Read nothing yet.

        Args:
            store: with the records.
        """
        self._store = store
        self._damaged: list[str] = []

    def of(self, version: str) -> ChallengerModelRecord | None:
        """Return the newest record of a model as a challenger; ``None``: there is none.

        Args:
            version: of the model.
        """
        return self._records.get(version)

    @property
    def damage(self) -> str:
        """The records that cannot be read, and may be of any model; "" if all can."""
        _ = self._records
        return "; ".join(self._damaged)

    def scores(self, challenge: ChallengerModelRecord) -> dict[str, Any] | None:
        """Read the report of a challenger's comparison.

        Args:
            challenge: its record.

        Returns:
            ``task``, ``dataset_version`` and ``metrics`` as of an evaluation; ``None``: it was compared
            with no model, or the report was deleted.

        Raises:
            DamagedObject: the report cannot be read.
        """
        if not challenge.compared_with:
            return None
        if challenge.comparison:
            try:
                report = self._report(challenge.comparison)
            except KeyMissing:
                return None
        else:
            sides = challenge.model_version, challenge.compared_with
            found = self._reports_by_sides.get(sides)
            if found is None:
                return None
            report = found
        metrics = numbers_of(report, report["task"])
        return {
            "task": report["task"],
            "dataset_version": report["dataset_version"],
            "metrics": {**metrics, "test_images": float(report["n_test"])},
        }

    @cached_property
    def _records(self) -> Mapping[str, ChallengerModelRecord]:
        infos = self._store.list(f"{MATERIALIZATIONS}{ChallengerModelRecord.asset}")
        found = {}
        for info in sorted(infos, key=lambda info: (info.last_modified, info.key)):
            try:
                record = read_record(self._store, info.key, ChallengerModelRecord)
            except DamagedObject as damage:
                self._damaged.append(f"{damage.key} is damaged ({damage.flaw})")
            except KeyMissing:  # deleted since the listing
                continue
            else:
                found[record.model_version] = record
        return found

    def _report(self, job: str) -> dict[str, Any]:
        data = JobOutputs(self._store, job, "processing")["report.json"]
        key = f"models/{job}/processing/report.json"
        return parse_object(self._store, key, data, EvaluationReport)

    @cached_property
    def _reports_by_sides(self) -> Mapping[tuple[str, str], dict[str, Any]]:
        """The readable reports by both models: records of older code do not name the comparison."""
        return {
            (report["model_version"], report["champion"]["model_version"]): report
            for report in self._reports()
            if report["champion"]
        }

    def _reports(self) -> Iterator[dict[str, Any]]:
        infos = [
            info
            for info in self._store.list("models")
            if info.key.startswith("models/eval-") and info.key.endswith("/processing/report.json")
        ]
        for info in sorted(infos, key=lambda info: (info.last_modified, info.key)):
            try:
                yield self._report(info.key.split("/")[1])
            except (DamagedObject, KeyMissing):  # it may be of any model; imgclf doctor tells of it
                continue
