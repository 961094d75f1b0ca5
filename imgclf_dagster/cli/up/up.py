"""``imgclf up``: run all programs of the line until Ctrl-C."""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from errors.base import ImgclfError
from guard.arguments import allow_host_options
from imgclf_dagster.cli.common import fail
from imgclf_dagster.cli.label_studio import install_shown
from imgclf_dagster.cli.up.job_lines import JobLines
from imgclf_dagster.cli.up.notice_printer import NoticePrinter
from imgclf_dagster.console import SafeConsole
from imgclf_dagster.home.home import prepare_home
from imgclf_dagster.label_studio.background_setup import BackgroundSetup
from imgclf_dagster.label_studio.programs import LabellingPrograms, labelling_programs
from imgclf_dagster.mlflow_server import variables as mlflow_variables
from imgclf_dagster.processes.loopback import send
from imgclf_dagster.processes.ports import HOST, Port
from imgclf_dagster.processes.supervisor import (
    ProcessSpec,
    Supervisor,
    http_healthy,
    single_instance,
    socket_healthy,
)
from imgclf_dagster.settings.root import Settings, SettingsError, load_settings

LOCATION = "imgclf"
"""Name of the code location, as in ``workspace.yaml``; Dagster keeps the sensors' state under it."""

_MAX_SOCKET_PATH = 100
"""Maximum length of a socket's path (bytes); the limit is 108 on Linux and 104 on macOS."""

_DAEMONS_QUERY = (
    "{instance{daemonHealth{allDaemonStatuses{daemonType required lastHeartbeatTime}}}}"
)


def up_command(
    label_studio: Annotated[
        bool,
        typer.Option(
            "--label-studio",
            help="Label Studio too, where people label images: our own, installed on first use, "
            "or the one at label_studio.url.",
        ),
    ] = False,
) -> None:
    """Run Dagster, the endpoints, the predictor and MLflow until Ctrl-C.

    Images copied into the store's raw folder meanwhile are processed without being asked for.
    With --label-studio, or label_studio.url set, people label in Label Studio what the line asks
    them for, with pre-labels, and their labels come back by themselves.
    """
    console = SafeConsole(highlight=False)
    try:
        settings = load_settings()
        prepare_home(settings)
        with single_instance(settings.run_dir):
            pass  # before anything is said to start; the supervisor holds it
        labelling = _labelling(settings, console) if _is_labelled(settings, label_studio) else None
        specs = programs(settings, labelling)
        console.print(f"imgclf up on {settings.home}; logs are in {settings.logs_dir}")
        notices = NoticePrinter(console, specs)
        setup = _background_setup(settings, labelling, notices) if labelling else None
        say = setup.watch_health(notices) if setup else notices
        with JobLines(settings.jobs_dir, notices.tell):
            Supervisor(specs, run_dir=settings.run_dir, say=say, meanwhile=setup).run()
    except ImgclfError as error:
        raise fail(error.message, remedy=error.remedy) from None
    console.print("All stopped.")


def _is_labelled(settings: Settings, asked: bool) -> bool:
    return asked or bool(settings.label_studio.url)


def _labelling(settings: Settings, console: Console) -> LabellingPrograms:
    own = not settings.label_studio.url
    return labelling_programs(settings, install_shown(console) if own else None)


def _background_setup(
    settings: Settings, labelling: LabellingPrograms, notices: NoticePrinter
) -> BackgroundSetup:
    names = [spec.name for spec in labelling.specs]
    own = not settings.label_studio.url
    return BackgroundSetup(settings, own=own, after=names, notify=notices.say)


def programs(settings: Settings, labelling: LabellingPrograms | None = None) -> list[ProcessSpec]:
    """Return the programs that ``imgclf up`` runs, in the order of starting.

    Args:
        settings: the user's settings.
        labelling: the programs for labelling; ``None`` without Label Studio.
    """
    definitions = _definitions(settings)
    workspace = _write_workspace(settings)
    local = settings.profile == "local"  # on AWS, SageMaker serves and registers
    return [
        definitions,
        *([_endpoints(settings)] if local else []),
        _webserver(settings, workspace, after=definitions),
        _daemon(settings, workspace, after=definitions),
        _predictor(settings, labelling),
        *([_mlflow(settings)] if local else []),
        *(labelling.specs if labelling else ()),
    ]


def _definitions(settings: Settings) -> ProcessSpec:
    # One code server for webserver and daemon: the definitions are loaded once, and a run outlives
    # a crash of either.
    socket = _socket(settings)
    return ProcessSpec(
        name="Code server",
        argv=_python(
            *("dagster", "code-server", "start", "--socket", str(socket)),
            *("--location-name", LOCATION, "--module-name", "imgclf_dagster.definitions"),
        ),
        log_file=settings.logs_dir / "code-server.log",
        healthy=socket_healthy(socket),
        about="holds the definitions of the graph",
    )


def _webserver(settings: Settings, workspace: Path, *, after: ProcessSpec) -> ProcessSpec:
    port = settings.ports.dagster
    return ProcessSpec(
        name="Dagster",
        argv=_python(
            *("imgclf_dagster.webserver", "--host", HOST, "--port", str(port)),
            *("--workspace", str(workspace), *allow_host_options(settings.web.allowed_hosts)),
        ),
        log_file=settings.logs_dir / "dagster-webserver.log",
        port=_port(port, "Dagster", "dagster"),
        healthy=http_healthy(f"http://{HOST}:{port}/server_info"),
        after=(after.name,),
        url=f"http://{HOST}:{port}/asset-groups",  # the whole graph on one page
        about="the graph, its runs and checks",
    )


def _daemon(settings: Settings, workspace: Path, *, after: ProcessSpec) -> ProcessSpec:
    return ProcessSpec(
        name="Dagster daemon",
        argv=_python("imgclf_dagster.daemon", "run", "--workspace", str(workspace)),
        log_file=settings.logs_dir / "dagster-daemon.log",
        healthy=_daemon_healthy(f"http://{HOST}:{settings.ports.dagster}/graphql"),
        after=(after.name,),
        about="starts runs when images or labels arrive",
        launches_runs=True,
    )


def _endpoints(settings: Settings) -> ProcessSpec:
    port = settings.ports.endpoint
    return ProcessSpec(
        name="Endpoints",
        argv=_python(
            *("serving", "--store-url", settings.store_dir.as_uri()),
            *("--project", settings.project, "--host", HOST, "--port", str(port)),
            *("--address-file", str(settings.run_dir / "endpoint-host.json")),
            *allow_host_options(settings.web.allowed_hosts),
        ),
        log_file=settings.logs_dir / "endpoints.log",
        env=settings.serving.to_environment(),
        port=_port(port, "the endpoints", "endpoint"),
        healthy=http_healthy(f"http://{HOST}:{port}/ping"),
        url=f"http://{HOST}:{port}",
        about=f"{settings.project}-staging and {settings.project}-prod",
    )


def _predictor(settings: Settings, labelling: LabellingPrograms | None) -> ProcessSpec:
    port = settings.ports.predictor
    variables = {"GRADIO_TEMP_DIR": str(settings.home / "uploads")}
    corrections: tuple[str, ...] = ()
    if labelling:
        corrections = ("--feedback-url", labelling.feedback_url)
        variables["IMGCLF_FEEDBACK_TOKEN"] = labelling.feedback_token
    return ProcessSpec(
        name="Predictor",
        argv=_python(
            *("ui", "--endpoint-url", _runtime_url(settings)),
            *("--project", settings.project, "--host", HOST, "--port", str(port)),
            *corrections,
            *allow_host_options(settings.web.allowed_hosts),
        ),
        log_file=settings.logs_dir / "predictor.log",
        env=variables,
        port=_port(port, "the predictor", "predictor"),
        healthy=http_healthy(f"http://{HOST}:{port}/ping"),
        url=f"http://{HOST}:{port}",
        about="try your own images",
    )


def _runtime_url(settings: Settings) -> str:
    if settings.profile == "local":
        return f"http://{HOST}:{settings.ports.endpoint}"
    from imgclf_dagster.profiles.chosen import build_endpoints

    return build_endpoints(settings).runtime_url()


def _mlflow(settings: Settings) -> ProcessSpec:
    port = settings.ports.mlflow
    return ProcessSpec(
        name="MLflow",
        argv=_python(
            *("imgclf_dagster.mlflow_server", "server", "--workers", "1"),
            *("--host", HOST, "--port", str(port)),
            *("--backend-store-uri", settings.mlflow_uri, "--no-serve-artifacts"),
            *("--default-artifact-root", (settings.home / "mlflow" / "artifacts").as_uri()),
        ),
        log_file=settings.logs_dir / "mlflow.log",
        env={
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # 150 MB for jobs that nobody submits
            **mlflow_variables(settings.web.allowed_hosts),
        },
        port=_port(port, "MLflow", "mlflow"),
        healthy=http_healthy(f"http://{HOST}:{port}/health"),
        # Its home page shows no experiments, and its first view is that of language models.
        url=f"http://{HOST}:{port}/#/experiments?workflowType=machine_learning",
        about="models and their metrics",
    )


def _python(module: str, *arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-m", module, *arguments)


def _port(number: int, program: str, setting: str) -> Port:
    return Port(number, program, f"ports.{setting} (IMGCLF_PORTS__{setting.upper()})")


def _socket(settings: Settings) -> Path:
    path = settings.run_dir / "code.sock"
    if len(str(path).encode()) > _MAX_SOCKET_PATH:
        raise SettingsError(
            f"the path {path} is too long for a socket; choose a home (IMGCLF_HOME) with a "
            "shorter path"
        )
    return path


def _write_workspace(settings: Settings) -> Path:
    path = settings.run_dir / "workspace.yaml"
    server = {"socket": str(_socket(settings)), "location_name": LOCATION}
    # JSON is valid YAML and quotes any path correctly.
    path.write_text(json.dumps({"load_from": [{"grpc_server": server}]}), encoding="utf-8")
    return path


def _daemon_healthy(graphql_url: str) -> Callable[[], bool]:
    """Return a health check: all required daemons had a heartbeat after this call."""
    since = time.time()

    def check() -> bool:
        import httpx

        try:
            answer = send("POST", graphql_url, timeout_s=2.0, json={"query": _DAEMONS_QUERY})
        except httpx.TransportError:
            return False
        if answer.status_code != 200:
            return False
        daemons = answer.json()["data"]["instance"]["daemonHealth"]["allDaemonStatuses"]
        beats = [daemon["lastHeartbeatTime"] or 0.0 for daemon in daemons if daemon["required"]]
        return bool(beats) and min(beats) > since

    return check
