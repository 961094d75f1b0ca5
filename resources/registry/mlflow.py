"""The model registry in MLflow: on SQLite, or any MLflow server."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from filelock import FileLock

from resources.registry import mlflow_database
from resources.registry.mlflow_database import TaggedVersion
from resources.registry.mlflow_training import (
    PARENT_TAG,
    TRAINING_TAG,
    log_training,
    note_test_scores,
    training_run_of,
)
from resources.registry.mlflow_writes import (
    DECISION_TAG_PREFIX,
    approval_tags,
    database_of,
    ensure_database,
    log_run,
    write_tags,
)
from resources.registry.registry import (
    ApprovalStatus,
    ModelPackage,
    ModelRegistry,
    PackageMissing,
    RegistryError,
)
from resources.registry.training_run import TrainingRun
from training.container.quick_imports import without_collection

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

_DESCRIPTION_CHARACTERS = 5000
"""Most characters of MLflow's column of descriptions."""

_IDENTITY_TAGS = ("model_version", "digest", "dataset_version", "code_version")


class MlflowRegistry(ModelRegistry):
    """MLflow as the registry: one registered model named after the project, a version a package.

    ``tracking_uri`` is a SQLite URL (artefacts then lie beside the database) or the address of
    any MLflow server. The approval lies in tags of the model version, so that it can be seen,
    and the status changed, in MLflow's own UI.
    """

    tracking_uri: str

    def prepare(self) -> None:
        """Create the database and the experiment; see :meth:`ModelRegistry.prepare`."""
        with self._locked() as client:
            self._experiment(client)

    def register(self, package: ModelPackage) -> ModelPackage:
        """See :meth:`ModelRegistry.register`."""
        with self._locked() as client:
            known = self._find(package.model_version)
            if known is None:
                self._create(client, package.immutable())
                known = self._find(package.model_version)
        if known is None:
            raise RegistryError(f"{package.model_version} is not listed after registering it")
        return self._same(known[1], package)

    def get(self, model_version: str) -> ModelPackage:
        """See :meth:`ModelRegistry.get`."""
        return self._require(model_version)[1]

    def list(self) -> Sequence[ModelPackage]:
        """See :meth:`ModelRegistry.list`."""
        found: dict[str, ModelPackage] = {}
        for version in self._versions():
            package = _package(version)
            found.setdefault(package.model_version, package)
        return tuple(reversed(found.values()))

    def set_approval(
        self,
        model_version: str,
        status: ApprovalStatus,
        *,
        by: str,
        reason: str,
        digest: str,
        after: int | None = None,
    ) -> ModelPackage:
        """Record a decision as tags of the model version; see :meth:`ModelRegistry.set_approval`.

        Args:
            model_version: name of the model version.
            status: the decision.
            by: name of the approver.
            reason: of the decision.
            digest: of the model that was judged: SHA-256, 64 hex digits.
            after: ``decision_order`` of the package as the caller read it.
        """
        self._require_decision(model_version, status, by)
        with self._lock():
            version, package = self._require(model_version)
            self._require_digest(package, digest)
            self._require_newest(package, after)
            decided = (_package(known).decision_order for known in self._versions())
            number = max(decided, default=0) + 1
            tags = approval_tags(status, by=by, reason=reason, number=number)
            database = self._database()
            if not database or not mlflow_database.set_tags(database, version, tags):
                write_tags(self._client(), version, tags)
        return self.get(model_version)

    def decisions(self, model_version: str) -> Sequence[ModelPackage]:
        """Read the decisions from tags of the model version; see :meth:`ModelRegistry.decisions`.

        Raises:
            PackageMissing: the model version is not registered.
            RegistryError: a tag is damaged.
        """
        version, package = self._require(model_version)
        kept = sorted(key for key in version.tags if key.startswith(DECISION_TAG_PREFIX))
        fields = package.model_dump()
        try:
            return tuple(
                ModelPackage.model_validate({**fields, **json.loads(version.tags[key])})
                for key in kept
            )
        except (ValueError, TypeError) as error:
            flaw = str(error).partition("\n")[0]
            raise RegistryError(
                f"a decision about {model_version} in MLflow cannot be read ({flaw}): decide again "
                "(imgclf approve, imgclf reject), and delete the damaged tag decision… in MLflow"
            ) from None

    def log_training(self, run: TrainingRun) -> str:
        """Log a training as an MLflow run; see :meth:`ModelRegistry.log_training`."""
        database = self._database()
        if database and database.exists():  # a line without news needs no import of MLflow
            known = mlflow_database.finished_run(database, TRAINING_TAG, run.model_version)
            if known:
                return known
        with self._locked() as client:
            return log_training(client, self._experiment(client), self.project, run)

    def log_evaluation(
        self,
        model_version: str,
        *,
        params: Mapping[str, str],
        metrics: Mapping[str, float],
        artifacts: Mapping[str, Path],
    ) -> str:
        """Log an evaluation as an MLflow run; see :meth:`ModelRegistry.log_evaluation`.

        It is shown below the training run of the model version, which gets the model's scores, too.

        Args:
            model_version: name of the model version.
            params: of the run, as text.
            metrics: of the run.
            artifacts: local files by their path under the run.
        """
        with self._locked() as client:
            experiment = self._experiment(client)
            training = training_run_of(client, experiment, model_version)
            run = log_run(
                client,
                experiment,
                model_version,
                params=params,
                metrics=metrics,
                artifacts=artifacts,
                tags={PARENT_TAG: training.info.run_id} if training else {},
            )
            if training:
                note_test_scores(client, training, metrics)
            return run

    def _client(self) -> "MlflowClient":
        os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
        # A server's client would print to standard output, which may carry a command's JSON.
        os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"
        # By default it tries a server that does not answer for 15 minutes.
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")
        with without_collection("mlflow.tracking"):
            from mlflow.tracking import MlflowClient

        database = self._database()
        if database:
            ensure_database(database)
            _require_sqlite(database)
        return MlflowClient(tracking_uri=self.tracking_uri, registry_uri=self.tracking_uri)

    def _database(self) -> Path | None:
        return database_of(self.tracking_uri)

    @contextmanager
    def _locked(self) -> "Iterator[MlflowClient]":
        client = self._client()
        with self._lock():
            yield client

    def _lock(self) -> "FileLock | nullcontext[None]":
        """Return the lock of a local database: MLflow has no create-only write.

        A server is not locked; if two processes register the same there, `_find` takes the first.
        """
        database = self._database()
        return FileLock(f"{database}.lock") if database else nullcontext()

    def _experiment(self, client: "MlflowClient") -> str:
        experiment = client.get_experiment_by_name(self.project)
        if experiment is None:
            database = self._database()
            # Without this, MLflow would write ./mlruns into the working directory.
            place = (database.absolute().parent / "artifacts").as_uri() if database else None
            created: str = client.create_experiment(self.project, artifact_location=place)
            return created
        if experiment.lifecycle_stage == "deleted":
            client.restore_experiment(experiment.experiment_id)
        known: str = experiment.experiment_id
        return known

    def _versions(self) -> Sequence[TaggedVersion]:
        """Return MLflow's model versions that this program registered, oldest first."""
        database = self._database()
        if (
            database and not database.exists()
        ):  # MLflow's client would create it, which takes seconds
            return []
        if database:
            _require_sqlite(database)
        found = mlflow_database.model_versions(database, self.project) if database else None
        if found is None:
            found = list(self._versions_of_the_client())
        ours = (version for version in found if "imgclf.package" in version.tags)
        return sorted(ours, key=lambda version: version.version)

    def _versions_of_the_client(self) -> Iterator[TaggedVersion]:
        client, query, token = self._client(), f"name = '{self.project}'", None
        while token is None or token:
            page = client.search_model_versions(query, max_results=1000, page_token=token)
            for found in page:
                yield TaggedVersion(
                    found.name, int(found.version), found.creation_timestamp, found.tags
                )
            token = page.token or ""

    def _find(self, model_version: str) -> tuple[TaggedVersion, ModelPackage] | None:
        named = (
            version
            for version in self._versions()
            if version.tags.get("model_version") == model_version
        )
        first = next(named, None)
        return (first, _package(first)) if first else None

    def _require(self, model_version: str) -> tuple[TaggedVersion, ModelPackage]:
        found = self._find(model_version)
        if found is None:
            raise PackageMissing(
                f"no package {model_version!r} in the registry {self.tracking_uri}",
                "`imgclf status` lists what is registered",
            )
        return found

    def _create(self, client: "MlflowClient", package: ModelPackage) -> None:
        from mlflow.exceptions import MlflowException

        try:
            client.create_registered_model(self.project)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        source = package.model_uri or package.model_key
        if self._database() is None and (source.startswith("file:") or "://" not in source):
            # A server refuses local paths, which would be on its own machine.
            source = f"imgclf-store:///{package.model_key}"
        client.create_model_version(
            self.project,
            source=source,
            run_id=package.evaluation_run or None,
            description=package.card[:_DESCRIPTION_CHARACTERS] or None,
            tags={
                **{name: getattr(package, name) for name in _IDENTITY_TAGS},
                # The card is the description: a tag has at most 8,000 characters.
                "imgclf.package": package.model_dump_json(exclude={"card"}),
                "approval_status": package.approval_status,
            },
        )


def _package(version: TaggedVersion) -> ModelPackage:
    """Build the package from a version's tags. Raises RegistryError, naming the version."""
    try:
        return _parse_package(version)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        flaw = str(error).partition("\n")[0]
        raise RegistryError(
            f"version {version.version} of {version.name} in MLflow is damaged ({flaw}): correct "
            "its tags in MLflow, or delete the version there and run the line again (imgclf "
            "run), which registers the model again, to be approved again"
        ) from None


def _require_sqlite(database: Path) -> None:
    """Check that a file is a SQLite database, or still empty. Raises RegistryError."""
    with database.open("rb") as file:
        begin = file.read(len(_SQLITE))
    if begin not in (b"", _SQLITE):
        raise RegistryError(
            f"the model registry {database} is damaged (it is no SQLite database): restore it "
            "from a backup; without one, move it away: imgclf run makes a new one, in which "
            "models are registered and approved again, and what serves goes on serving"
        )


_SQLITE = b"SQLite format 3\0"


def _parse_package(version: TaggedVersion) -> ModelPackage:
    tags = version.tags
    package = json.loads(tags["imgclf.package"])
    status = tags.get("approval_status", "")
    if status not in get_args(ApprovalStatus):
        raise RegistryError(
            f"{package['model_version']} has the approval_status {status!r} in MLflow; "
            f"it must be one of {', '.join(get_args(ApprovalStatus))}"
        )
    created_at = datetime.fromtimestamp(version.creation_timestamp / 1000, tz=UTC)
    return ModelPackage.model_validate(
        {
            **package,
            "approval_status": status,
            "approver": tags.get("approver", ""),
            "approval_reason": tags.get("approval_reason", ""),
            "approval_changed_at": tags.get("approval_changed_at"),
            "decision": int(tags.get("decision", 0)),
            "registry_version": str(version.version),
            "created_at": created_at,
        }
    )
