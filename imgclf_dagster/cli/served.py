"""What a command that releases says at its end: what is served, compared with what was asked for."""

from typing import TYPE_CHECKING

from imgclf_dagster.cli.common import console, fail
from imgclf_dagster.console import escape

if TYPE_CHECKING:
    from resources.endpoints.endpoint_host import Endpoints
    from serving.deployments import EndpointStatus, Stage

NAMES = {"prod": "production", "staging": "staging"}


def served(status: "EndpointStatus") -> str:
    """What an endpoint does, in words."""
    name = NAMES[status.stage]
    if not status.digest:
        return f"{name} serves nothing ({status.failure_reason or status.status})"
    trouble = f"; {status.failure_reason or status.status}" if status.status != "InService" else ""
    return f"{name} serves {status.model_version} (digest {status.digest[:12]}{trouble})"


def require_served(endpoints: "Endpoints", stage: "Stage", model_version: str, digest: str) -> None:
    """Make sure that the endpoint of ``stage`` answers with ``digest``. A host must be up.

    Raises:
        typer.Exit: it does not; what it does was said.
    """
    status = endpoints.describe(stage)
    if status.digest != digest or status.status != "InService":
        raise fail(
            f"{served(status)}, and not {model_version} (digest {digest[:12]}): see `imgclf status`"
        )


def say_served(endpoints: "Endpoints", stage: "Stage", text: str) -> None:
    """Say ``text``, which was compared with what is served, and whether it goes on being served:
    an endpoint host that a command started for itself has ended with it."""
    from resources.endpoints.endpoint_host import HostUnavailable

    console.print(f"[green]✓[/] {escape(text)}")
    try:
        endpoints.describe(stage)
    except HostUnavailable:
        console.print("  [dim]no endpoint runs now that this command has ended:[/] imgclf up")
