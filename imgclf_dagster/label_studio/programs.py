"""The programs that ``imgclf up`` runs for labelling: Label Studio and its ML backend."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from guard.arguments import allow_host_options
from imgclf_dagster.label_studio.access import (
    credentials,
    credentials_file,
    find_access,
    hint_file,
    local_backend_url,
    own_server,
)
from imgclf_dagster.label_studio.install import Installation
from imgclf_dagster.label_studio.server import USERNAME
from imgclf_dagster.processes.loopback import send
from imgclf_dagster.processes.ports import Port
from imgclf_dagster.processes.supervisor import ProcessSpec
from imgclf_dagster.profiles.store import open_store
from imgclf_dagster.settings.root import Settings

if TYPE_CHECKING:
    from serving.labelling.access import Credentials

LABEL_STUDIO = "Label Studio"
LABELLING = "Labelling"


@dataclass(frozen=True)
class LabellingPrograms:
    """The programs for labelling, and what the predictor needs to send corrections to them.

    Attributes:
        specs: the programs, in the order of starting.
        feedback_url: address that receives corrections.
        feedback_token: token for it.
    """

    specs: tuple[ProcessSpec, ...]
    feedback_url: str
    feedback_token: str


def labelling_programs(settings: Settings, installation: Installation | None) -> LabellingPrograms:
    """Return the programs for labelling.

    Args:
        settings: the user's settings.
        installation: Label Studio to run, whose server is prepared; ``None`` to use the server of
            the settings.

    Raises:
        SettingsError: a secret is missing, or other users can read its file.
    """
    known = credentials(settings)
    specs = [_backend(settings, known)]
    if installation is not None:
        specs.insert(0, _label_studio(settings, installation))
    else:
        find_access(settings)  # raises if there is no token
    return LabellingPrograms(
        tuple(specs),
        specs[-1].url or "",
        known.feedback_token.get_secret_value(),
    )


def _label_studio(settings: Settings, installation: Installation) -> ProcessSpec:
    server = own_server(settings)
    server.prepare(installation)
    return ProcessSpec(
        name=LABEL_STUDIO,
        argv=server.command(installation),
        log_file=settings.logs_dir / "label-studio.log",
        env=server.environment(),
        port=Port(server.port, LABEL_STUDIO, "ports.label_studio (IMGCLF_PORTS__LABEL_STUDIO)"),
        healthy=server.healthy(),
        url=server.url,
        about=f"people label here: log in as {USERNAME}, password in {server.password_file}",
    )


def _backend(settings: Settings, known: "Credentials") -> ProcessSpec:
    host, port = settings.label_studio.backend_host, settings.ports.labelling
    url = local_backend_url(settings)
    label_studio = settings.label_studio.url or own_server(settings).url
    return ProcessSpec(
        name=LABELLING,
        argv=(
            *(sys.executable, "-m", "serving.label_studio_backend"),
            *("--store-url", open_store(settings).url, "--project", settings.project),
            *("--host", host, "--port", str(port)),
            *("--credentials-file", str(credentials_file(settings))),
            *("--hint-file", str(hint_file(settings))),
            *("--label-studio-url", label_studio),
            *allow_host_options(_backend_hosts(settings)),
        ),
        log_file=settings.logs_dir / "labelling.log",
        env=settings.serving.to_environment(),
        port=Port(port, LABELLING, "ports.labelling (IMGCLF_PORTS__LABELLING)"),
        healthy=_backend_healthy(f"{url}/health", known),
        url=url,
        about="pre-labels, corrections, and the labelling report",
    )


def _backend_hosts(settings: Settings) -> list[str]:
    """Return the host names under which people and Label Studio reach the backend."""
    urls = (settings.label_studio.backend_url, local_backend_url(settings))
    return [*settings.web.allowed_hosts, *(filter(None, (urlsplit(url).hostname for url in urls)))]


def _backend_healthy(url: str, known: "Credentials") -> Callable[[], bool]:
    """Return a health check: the backend answers and accepts the password given to Label Studio."""
    auth = (known.user, known.password.get_secret_value())

    def check() -> bool:
        import httpx

        try:
            return send("GET", url, timeout_s=1.0, auth=auth).status_code == 200
        except httpx.TransportError:
            return False

    return check
