"""What the commands that release print at their end: the served model compared with the wanted one."""

from typing import TYPE_CHECKING

from imgclf_dagster.cli.common import console, fail
from imgclf_dagster.console import escape

if TYPE_CHECKING:
    from resources.endpoints.endpoint_host import Endpoints
    from serving.deployments import EndpointStatus, Stage

NAMES = {"prod": "production", "staging": "staging"}


def served(status: "EndpointStatus") -> str:
    """Describe in a sentence which model an endpoint serves and whether it has a problem."""
    name = NAMES[status.stage]
    if not status.digest:
        return f"{name} serves nothing ({status.failure_reason or status.status})"
    trouble = f"; {status.failure_reason or status.status}" if status.status != "InService" else ""
    return f"{name} serves {status.model_version} (digest {status.digest[:12]}{trouble})"


def require_served(endpoints: "Endpoints", stage: "Stage", model_version: str, digest: str) -> None:
    """Make sure that an endpoint serves a model. Needs a running endpoint host.

    Args:
        endpoints: the endpoints of the profile.
        stage: ``prod`` or ``staging``.
        model_version: version of the model, for the message.
        digest: digest of the model that is to be served.

    Raises:
        typer.Exit: another model or none is served, or the endpoint is not in service.
    """
    status = endpoints.describe(stage)
    if status.digest != digest or status.status != "InService":
        raise fail(
            f"{served(status)}, and not {model_version} (digest {digest[:12]}): see `imgclf status`"
        )


def say_served(endpoints: "Endpoints", stage: "Stage", text: str) -> None:
    """Print what is served, and a hint if the endpoint host has ended together with the command.

    Args:
        endpoints: the endpoints of the profile.
        stage: ``prod`` or ``staging``.
        text: the sentence to print.
    """
    from resources.endpoints.endpoint_host import HostUnavailable

    console.print(f"[green]✓[/] {escape(text)}")
    # The command may have started the host for its own duration.
    try:
        endpoints.describe(stage)
    except HostUnavailable:
        console.print(
            "  [dim]The endpoint stopped when this command ended. To keep it running:[/] imgclf up"
        )
