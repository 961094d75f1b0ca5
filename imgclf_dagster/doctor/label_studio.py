"""The doctor's checks of Label Studio: server, token, project, and the connections both ways."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

from imgclf_dagster.doctor.findings import Finding
from imgclf_dagster.label_studio.access import (
    Access,
    backend_url,
    backend_within_reach,
    credentials,
    find_access,
    is_loopback,
    local_backend_url,
)
from imgclf_dagster.label_studio.client import build_label_studio
from imgclf_dagster.label_studio.install import VERSION, find_installation
from imgclf_dagster.label_studio.setup import (
    NO_MODEL,
    REACHABLE,
    UNBLOCK,
    overlap_of,
    wanted,
    with_remedy,
)
from imgclf_dagster.processes.loopback import send
from imgclf_dagster.settings.root import Settings, SettingsError
from resources.label_studio.client import LabelStudioClient
from resources.label_studio.types import (
    Backend,
    LabelStudioDown,
    LabelStudioError,
    Project,
    ProjectMissing,
    TokenRefused,
)

SERVER = "label studio"
TOKEN = "label studio token"  # noqa: S105 - what is looked at, not one
PROJECT = "label studio project"
BACKEND = "labelling backend"
REACH = "label studio to backend"
OVERLAP = "annotators per task"
VERSION_SHOWN = "label studio model version"
WEBHOOK = "label studio webhook"
NETWORK = "label studio network"

METADATA = "http://169.254.169.254/"
"""Metadata service of cloud machines, which holds their credentials. A user who can give Label
Studio a URL could make it fetch from there."""

SETUP = "run `imgclf label-studio setup`"
SOON = timedelta(days=14)
"""A personal token that expires within this time is a warning."""


def examine_label_studio(settings: Settings) -> Iterator[Finding]:
    """Check everything between the line and the annotators."""
    try:
        access = find_access(settings)
    except SettingsError as error:
        yield Finding(TOKEN, "failed", str(error))
        return
    if access is None:
        yield _nothing_runs()
        return
    checks = _ServerChecks(settings, access, build_label_studio(settings))
    for check in (checks.server, checks.token, checks.project, checks.backend, checks.connections):
        findings = list(check())
        yield from findings
        if any(
            finding.health == "failed" and finding.what in (SERVER, TOKEN) for finding in findings
        ):
            return  # the other checks would report the same


def _nothing_runs() -> Finding:
    installation = find_installation()
    has = f"{installation.version} is installed" if installation else "not installed yet"
    detail = f"none is running ({has}); `imgclf up --label-studio` runs one"
    return Finding(SERVER, "ok", detail)


@dataclass
class _ServerChecks:
    """The checks of one server."""

    settings: Settings
    access: Access
    label_studio: LabelStudioClient

    def server(self) -> Iterator[Finding]:
        """Check that the server answers and has the version imgclf is tested with."""
        url = self.access.url
        try:
            version = self.label_studio.server.version()
        except TokenRefused:
            return  # the server is up; the check of the token reports it
        except LabelStudioError as error:
            yield Finding(SERVER, "failed", str(error))
            return
        if version == VERSION:
            yield Finding(SERVER, "ok", f"{version} at {url}")
        else:
            yield Finding(
                SERVER,
                "warning",
                f"{version} at {url}; imgclf is tested with {VERSION}",
                f"install label-studio=={VERSION} there, or check that labels are read from it",
            )
        if url.startswith("http:") and not is_loopback(url):
            yield Finding(
                SERVER,
                "warning",
                f"{url} is not encrypted: anybody on the network path can read the token",
                "put it behind https, and set label_studio.url to that",
            )

    def token(self) -> Iterator[Finding]:
        """Check that the server accepts the token, and when it expires."""
        kind = self.label_studio.token_kind
        try:
            user = self.label_studio.server.user()
        except TokenRefused as error:
            yield Finding(TOKEN, "failed", f"{kind}: {error}")
            return
        except LabelStudioDown as error:
            yield Finding(SERVER, "failed", str(error))
            return
        ends = self.label_studio.token_expiry
        if ends is not None and ends - datetime.now(UTC) < SOON:
            yield Finding(
                TOKEN,
                "warning",
                f"{kind}, of {user.email}; it expires on {ends:%Y-%m-%d}",
                "create a new one in Label Studio (Account & Settings) and set label_studio.token",
            )
        else:
            yield Finding(TOKEN, "ok", f"{kind}, of {user.email}")

    def project(self) -> Iterator[Finding]:
        """Check that the project exists, offers the labels of the schema and shows predictions."""
        try:
            project = self.label_studio.project.read()
        except ProjectMissing as error:
            yield Finding(PROJECT, "warning", str(error), SETUP)
            return
        now = wanted(self.settings)
        missing = [name for name in now.labels if name not in project.labels]
        if missing:
            lacks = f"{project.title} does not offer {', '.join(missing)}"
            yield Finding(PROJECT, "warning", lacks, SETUP)
        elif not project.shows_predictions:
            hides = f"{project.title} shows no pre-labels (show_collab_predictions is off)"
            yield Finding(PROJECT, "warning", hides, SETUP)
        else:
            counts = f"{project.tasks} tasks, {project.labelled} done"
            yield Finding(PROJECT, "ok", f"{project.title} (number {project.id}): {counts}")
        yield self._version_shown(project, now.model_version)
        yield from self._overlap(project)

    def _overlap(self, project: Project) -> Iterator[Finding]:
        """Check the number of annotators per task against the settings and the number of users."""
        want, has = overlap_of(self.settings), self.label_studio.project.overlap()
        if not has.same_as(want):
            detail = f"{project.title}: {has}; the settings want {want}"
            yield Finding(OVERLAP, "warning", detail, SETUP)
        elif want.annotators > (people := self.label_studio.server.count_users()):
            detail = f"{want}, and Label Studio has {people} user{'s' * (people > 1)}"
            invite = (
                "invite others (Label Studio, Organization, Invite Members), or set it to fewer"
            )
            yield Finding(OVERLAP, "warning", detail, invite)
        elif want.annotators > 1:
            yield Finding(OVERLAP, "ok", str(want))

    def _version_shown(self, project: Project, served: str) -> Finding:
        """Check which model's predictions the project shows: those of its ``model_version``."""
        shown = project.model_version
        if project.predictions and shown in ("", NO_MODEL):
            return Finding(
                VERSION_SHOWN,
                "warning",
                f"{project.predictions} predictions are there, and the project shows none of them",
                "materialize labelling_queue, which shows those of the newest model",
            )
        if served and shown not in ("", NO_MODEL, served):
            return Finding(
                VERSION_SHOWN,
                "warning",
                f"annotators see predictions of {shown}, and {served} is served",
                "materialize labelling_queue, which adds those of the newest model",
            )
        return Finding(VERSION_SHOWN, "ok", shown or "no predictions yet")

    def backend(self) -> Iterator[Finding]:
        """Check that our ML backend answers and accepts our password."""
        import httpx

        url = local_backend_url(self.settings)
        known = credentials(self.settings)
        try:
            auth = (known.user, known.password.get_secret_value())
            answer = send("GET", f"{url}/health", timeout_s=5.0, auth=auth)
        except httpx.TransportError as error:
            detail = f"nothing answers at {url} ({type(error).__name__})"
            yield Finding(BACKEND, "warning", detail, "`imgclf up --label-studio` runs it")
            return
        if answer.status_code == 200:
            yield Finding(BACKEND, "ok", f"answers at {url}")
        else:
            yield Finding(
                BACKEND,
                "failed",
                f"{url} answers {answer.status_code}: another program, or started with another "
                "home",
                "end it, or set ports.labelling to another port",
            )

    def connections(self) -> Iterator[Finding]:
        """Check that Label Studio may and does reach our backend, and that its webhook leads there."""
        url = backend_url(self.settings)
        if not backend_within_reach(self.settings, self.access):
            detail = f"{self.access.url} cannot reach {url}, our loopback"
            yield Finding(REACH, "warning", detail, REACHABLE)
            return
        if self.label_studio.server.blocks(url):
            detail = f"Label Studio blocks {url}: no live pre-labels, and no notice of saved labels"
            yield Finding(NETWORK, "failed", detail, UNBLOCK)
            return
        yield self._network()
        try:
            yield self._reach(self.label_studio.integrations.backends())
            yield from self._webhooks()
        except ProjectMissing:
            return  # the check of the project reports it

    def _network(self) -> Finding:
        """Check that Label Studio blocks cloud metadata although our backend is reachable."""
        if not self.label_studio.server.blocks(METADATA):
            detail = f"Label Studio can be made to fetch {METADATA}, which has a cloud machine's credentials"
            return Finding(NETWORK, "warning", detail, UNBLOCK)
        return Finding(NETWORK, "ok", "Label Studio can reach our backend, and not cloud metadata")

    def _reach(self, backends: Iterable[Backend]) -> Finding:
        url = backend_url(self.settings)
        ours = next((item for item in backends if _same(item.url, url)), None)
        if ours is None:
            return Finding(REACH, "warning", f"{url} is not connected: no live pre-labels", SETUP)
        if not ours.connected:
            reason = with_remedy(ours.error or "it gives no reason")
            return Finding(REACH, "failed", f"Label Studio cannot reach {url}: {reason}", SETUP)
        if ours.model_version and ours.title != ours.model_version:
            return Finding(
                REACH,
                "warning",
                f"{url} is connected as {ours.title!r} and serves {ours.model_version}: "
                "its scores do not order the tasks",
                SETUP,
            )
        if not ours.model_version and ours.title != NO_MODEL:
            hides = f"{url} is connected as {ours.title!r} and serves no model: its pre-labels are hidden"
            return Finding(REACH, "warning", hides, f"{SETUP}, or see why in labelling.log")
        return Finding(REACH, "ok", f"{url} as {ours.title!r}")

    def _webhooks(self) -> Iterator[Finding]:
        orphans = self.label_studio.integrations.orphan_webhooks()
        if orphans:
            numbers = ", ".join(str(item.id) for item in orphans)
            yield Finding(
                WEBHOOK,
                "warning",
                f"too many webhooks: {numbers} (such as {orphans[0].url}); every save waits for "
                "each, a second if nothing answers",
                f"{SETUP}; delete those that it leaves in Label Studio, under the project's "
                "settings, Webhooks",
            )
            return
        url = f"{backend_url(self.settings)}/webhook"
        ours = [item for item in self.label_studio.integrations.webhooks() if _same(item.url, url)]
        if any(item.is_active for item in ours):
            yield Finding(WEBHOOK, "ok", f"saved labels are reported to {url}")
        else:
            later = f"none leads to {url}: labels come with the next tick of the sensor"
            yield Finding(WEBHOOK, "warning", later, SETUP)


def _same(one: str, other: str) -> bool:
    return urlsplit(one.rstrip("/")) == urlsplit(other.rstrip("/"))
