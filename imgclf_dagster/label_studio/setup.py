"""Setup of Label Studio: project, images, ML backend, webhook.

Repeating it changes nothing; what was removed by hand is created again.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from assets.ingestion.image_index import RAW
from errors.base import ImgclfError
from imgclf_dagster.home.home import is_prepared
from imgclf_dagster.label_studio.access import (
    Access,
    backend_url,
    backend_within_reach,
    credentials,
    find_access,
)
from imgclf_dagster.label_studio.client import build_label_studio
from imgclf_dagster.profiles.chosen import build_endpoints
from imgclf_dagster.profiles.store import open_store
from imgclf_dagster.settings.root import Settings, SettingsError

if TYPE_CHECKING:
    from resources.label_studio.client import LabelStudioClient
    from resources.label_studio.types import Overlap, Project

UNBLOCK = (
    "Label Studio keeps off private networks; start it with "
    "USE_DEFAULT_BANNED_SUBNETS=false and "
    "USER_ADDITIONAL_BANNED_SUBNETS=169.254.0.0/16,fe80::/10, which opens them and keeps cloud "
    "metadata closed"
)

REACHABLE = (
    "set label_studio.backend_url to where it can, and label_studio.backend_host to what the "
    "backend is to listen on"
)

KEYS_OF_THE_LINE = frozenset(
    [
        *("raw", "arrivals", "annotations", "corrections", "queue", "tables", "datasets"),
        *("embeddings", "predictions", "inputs", "pipes", "checkpoints", "models", "checks"),
        *("registry", "deployments", "endpoints", "captures", "reports", "damaged"),
        *("splits", "inspections", "materializations"),
    ]
)
"""First parts of the line's keys in the store."""

NO_MODEL = "no model yet"
"""Title of the backend until a model is served; then it is the model's version.

The title must not be a model version that the backend does not serve: Label Studio asks the backend
for the pre-labels of its title, and would show none."""


class NoLabelsYet(ImgclfError, RuntimeError):
    """Neither the settings nor a data set define labels."""


@dataclass(frozen=True)
class Wanted:
    """What Label Studio should show; a change requires another setup.

    Attributes:
        labels: labels that the project offers, in order.
        model_version: version of the served model; "" without one.
        has_images: whether the store has objects under ``raw/``; always True on profile ``local``.
    """

    labels: tuple[str, ...]
    model_version: str
    has_images: bool = True


@dataclass(frozen=True)
class SetUp:
    """The result of a setup.

    Attributes:
        project_id: id of the project.
        title: title of the project.
        link: address of the project's page.
        labels: labels that the project offers.
        problems: what failed, each with its remedy.
    """

    project_id: int
    title: str
    link: str
    labels: tuple[str, ...]
    problems: tuple[str, ...]


def wanted(settings: Settings, before: Wanted | None = None) -> Wanted:
    """Return what Label Studio should show, by the settings, the newest data set and deployments.

    Args:
        settings: the user's settings.
        before: the previous result; if it has images, the store is not asked again.
    """
    has_images = bool(before and before.has_images) or _has_images(settings)
    return Wanted(labels_of(settings), _served(settings), has_images)


def labels_of(settings: Settings) -> tuple[str, ...]:
    """Return the present names of the labels to offer.

    They are those of the schema; with an open schema, those of the newest data set, or none.
    """
    import dagster as dg

    from assets.annotations.label_names import label_names
    from assets.dataset.versions import read_card
    from assets.records.dataset import DatasetRecord
    from assets.records.materializations import newest_materialization

    if not is_prepared(settings):
        return settings.labels.names
    store = open_store(settings)
    names = label_names(store, settings.labels)
    if names.present.names:
        return names.present.names
    with dg.DagsterInstance.from_config(str(settings.dagster_home)) as instance:
        made = newest_materialization(instance, store, DatasetRecord)
    return () if made is None else names.page(read_card(store, made.dataset_version)["labels"])


def set_up(settings: Settings) -> SetUp:
    """Create the project with its storage, backend and webhook, or bring them up to date.

    Raises:
        NoLabelsYet: no labels are known, and a project needs some.
        SettingsError: no server is known, or its token is missing.
        LabelStudioError: the server is down, or refuses the token or the labels (a class in use is
            never removed).
    """
    access = find_access(settings)
    if access is None:
        raise SettingsError(
            "there is no Label Studio: start one (`imgclf up --label-studio`), or set "
            "label_studio.url"
        )
    now = wanted(settings)
    if not now.labels:
        raise NoLabelsYet(
            "Label Studio needs labels, and none are known yet: name them (names under [labels] in "
            "imgclf.toml), or ingest some labelled images"
        )
    label_studio = build_label_studio(settings)
    project = _project(settings, label_studio, now.labels)
    problems = [
        *_tried("the images", lambda: _storage(settings, label_studio, now.has_images)),
        *_connections(settings, access, label_studio, now.model_version),
    ]
    return SetUp(
        project_id=project.id,
        title=project.title,
        link=label_studio.project_url(project.id),
        labels=project.labels,
        problems=tuple(problems),
    )


def _project(
    settings: Settings, label_studio: "LabelStudioClient", labels: Sequence[str]
) -> "Project":
    from assets.annotations.label_names import label_names
    from resources.label_studio.types import ProjectMissing

    known = label_names(open_store(settings), settings.labels)
    names = list(labels)
    if not settings.labels.names:
        # With an open schema, labels that people added in Label Studio stay, and so do hotkeys.
        try:
            there = known.page(label_studio.project.read().labels)
        except ProjectMissing:
            there = ()
        names = [*there, *(name for name in names if name not in there)]
    project = label_studio.project.ensure(settings.labels, names, renamed=known.aliases)
    label_studio.project.ensure_overlap(overlap_of(settings))
    return project


def overlap_of(settings: Settings) -> "Overlap":
    """Return the annotators per task and the share of such tasks (%) that the settings ask for."""
    from resources.label_studio.types import Overlap

    policy = settings.labelling
    return Overlap(policy.annotators_per_task, round(100 * policy.overlap_share))


def _storage(settings: Settings, label_studio: "LabelStudioClient", has_images: bool) -> None:
    """Give Label Studio access to the store's images."""
    storage = label_studio.storage
    if settings.profile == "local":
        # The server's document root is the store; a storage must be a folder below it.
        raw = settings.store_dir / RAW.rstrip("/")
        storage.ensure_local(raw.resolve())  # Label Studio resolves paths as well
        return
    bucket, backup = settings.aws.bucket, settings.label_studio.backup_prefix
    place = {"region": settings.aws.region, "endpoint": _s3_endpoint()}
    prefix = f"{settings.aws.prefix}/{RAW}".lstrip("/")
    if backup:
        _require_apart(settings, backup)
    if has_images:  # Label Studio refuses an empty prefix; a later setup adds it
        storage.ensure_s3_source(bucket, prefix, **place)
    if backup:
        storage.ensure_s3_backup(bucket, backup, **place)


def _require_apart(settings: Settings, backup: str) -> None:
    """Make sure that Label Studio's backup prefix is not among the line's keys.

    Raises:
        SettingsError: it is.
    """
    prefix = settings.aws.prefix
    below = f"{backup}/".removeprefix(f"{prefix}/" if prefix else "")
    if not below or below.partition("/")[0] in KEYS_OF_THE_LINE:
        raise SettingsError(
            f"label_studio.backup_prefix {backup} lies among the line's own keys; take another, "
            "such as label-studio-backup"
        )


def _s3_endpoint() -> str:
    """Return the S3 endpoint of boto3's environment variables; "" for AWS."""
    import os

    names = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
    return next((os.environ[name] for name in names if os.environ.get(name)), "")


def _connections(
    settings: Settings, access: Access, label_studio: "LabelStudioClient", model_version: str
) -> list[str]:
    url = backend_url(settings)
    if not backend_within_reach(settings, access):
        return [
            f"Label Studio at {access.url} cannot reach our ML backend at {url}: {REACHABLE} "
            "(without it there are no live pre-labels; all else goes on)"
        ]
    known = credentials(settings)
    password = known.password.get_secret_value()
    secret = known.feedback_token.get_secret_value()
    return [
        *_tried(
            f"the ML backend at {url}",
            lambda: _connect(label_studio, url, known.user, password, model_version),
        ),
        *_tried(
            "the webhook",
            lambda: label_studio.integrations.connect_webhook(f"{url}/webhook", secret),
        ),
    ]


def _connect(
    label_studio: "LabelStudioClient", url: str, user: str, password: str, served: str
) -> None:
    from resources.label_studio.types import LabelStudioRefused

    shown = label_studio.project.read().model_version
    try:
        label_studio.integrations.connect_backend(url, user, password, served or NO_MODEL)
    finally:
        # Label Studio changes the project's version together with the title if they were equal. A
        # backend that serves nothing must not hide the pre-labels of a model not deployed yet.
        if shown and not served and label_studio.project.read().model_version != shown:
            with suppress(LabelStudioRefused):  # it has no such predictions, so none are hidden
                label_studio.predictions.show_version(shown)


def _tried(what: str, step: Callable[[], None]) -> list[str]:
    """Run ``step`` and return its problem, if any, so that the other steps run as well."""
    from resources.label_studio.types import LabelStudioRefused

    try:
        step()
    except (LabelStudioRefused, SettingsError) as error:
        return [f"{what}: {with_remedy(str(error))}"]
    return []


def with_remedy(message: str) -> str:
    """Return Label Studio's message, with the remedy if it blocks an address."""
    from resources.label_studio.types import is_blocked_address

    return f"{message}. {UNBLOCK}" if is_blocked_address(message) else message


def _has_images(settings: Settings) -> bool:
    if settings.profile == "local":
        return True  # a folder may be empty
    return next(iter(open_store(settings).list(RAW)), None) is not None


def _served(settings: Settings) -> str:
    """Return the model version that the backend serves: production's, else staging's, else ""."""
    endpoints = build_endpoints(settings)
    record = endpoints.readable("prod") or endpoints.readable("staging")
    return record.model_version if record else ""
