"""The home folder: files created on first use, and the store."""

import os
import sys
from pathlib import Path

from imgclf_dagster.deployment import dagster_yaml
from imgclf_dagster.home.run_databases import create_run_databases
from imgclf_dagster.home.template import settings_template
from imgclf_dagster.profiles.store import open_store
from imgclf_dagster.settings.root import Settings, SettingsError, settings_file
from object_store.errors import StoreMissing
from object_store.rows import MARKER
from object_store.store import ObjectStore

TELEMETRY_OFF = {
    "DAGSTER_DISABLE_TELEMETRY": "yes",
    "GRADIO_ANALYTICS_ENABLED": "False",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "1",
    "PL_DISABLE_TELEMETRY": "1",
    "HF_HUB_OFFLINE": "1",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
}
"""Variables that turn off the telemetry of libraries, and MLflow's messages on its tables."""


def process_environment(settings: Settings) -> dict[str, str]:
    """Return the environment variables of our programs: home, settings, AWS, no telemetry."""
    weights = {"IMGCLF_WEIGHTS_DIR": str(settings.weights_dir)} if settings.weights_dir else {}
    return {
        **TELEMETRY_OFF,
        **weights,
        **_aws_environment(settings),
        "IMGCLF_HOME": str(settings.home),
        "IMGCLF_SETTINGS": str(settings_file()),
        "DAGSTER_HOME": str(settings.dagster_home),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
    }


def _aws_environment(settings: Settings) -> dict[str, str]:
    """Return region and profile for programs that use boto3's defaults; empty on profile ``local``."""
    chosen = {"AWS_REGION": settings.aws.region, "AWS_PROFILE": settings.aws.profile_name}
    chosen["AWS_DEFAULT_REGION"] = settings.aws.region
    return {name: value for name, value in chosen.items() if value and settings.profile == "aws"}


def prepare_home(settings: Settings) -> ObjectStore:
    """Create what is missing in the home: folders, ``imgclf.toml``, ``dagster.yaml``, the store.

    Sets this process's environment variables as well, for the programs that it starts.

    Returns:
        The store.

    Raises:
        SettingsError: the home cannot be written; the message has the remedy.
        StoreMissing: see ``require_store``.
        StoreUnwritable: the store cannot be set up.
    """
    is_new = not is_prepared(settings)
    store = open_store(settings) if is_new else require_store(settings)
    try:
        for folder in (
            settings.dagster_home,
            settings.logs_dir,
            settings.run_dir,
            *_local_folders(settings),
        ):
            folder.mkdir(parents=True, exist_ok=True)
        write_once(settings_file(), settings_template())
        if is_new:
            store.ensure()
            create_run_databases(settings.dagster_home)
        write_once(settings.dagster_home / "dagster.yaml", dagster_yaml("local"))
    except OSError as error:
        raise SettingsError(
            f"the home {settings.home} cannot be written ({error.strerror}); "
            "make it writable, or name another folder in IMGCLF_HOME"
        ) from error
    if is_new:  # IMGCLF_HOME may be mistyped
        print(f"made a new home at {settings.home}", file=sys.stderr)
    store.sweep()
    os.environ.update(process_environment(settings))
    return store


def _local_folders(settings: Settings) -> list[Path]:
    """Return the folders that only profile ``local`` needs."""
    if settings.profile == "aws":
        return []
    return [settings.home / "mlflow", settings.home / "jobs"]


def is_prepared(settings: Settings) -> bool:
    """Whether the home was prepared before, so that its store must exist."""
    return (settings.dagster_home / "dagster.yaml").exists()


def require_store(settings: Settings) -> ObjectStore:
    """Return the store of a prepared home.

    Raises:
        StoreMissing: the store is gone.
    """
    # A new store in its place would look as if all images had been deleted.
    store = open_store(settings)
    try:
        store.require()
    except StoreMissing as error:
        raise StoreMissing(
            f"{store.root or store.url} is not the store of this home any more (no {MARKER} in "
            f"it): {'is the disk mounted' if store.root else 'is aws.bucket right'}? Put it back "
            f"as it was, or delete {settings.home} to start again"
        ) from error
    return store


def write_once(path: Path, text: str) -> None:
    """Write a text file atomically unless it exists."""
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)
