"""What ``imgclf doctor`` checks: everything that could make a long run fail at its end."""

import os
import shutil
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from imgclf_dagster.doctor.findings import Finding
from imgclf_dagster.settings.root import Settings
from training.backbones.weights import (
    PACKAGES,
    file_stem,
    find_weights,
    nets_of,
    ways_to_weights,
)
from training.errors import PermanentFailure

FREE_BYTES = 2 * 10**9
"""Free disk space below which a data set and its models may not fit (bytes)."""


def examine(settings: Settings) -> list[Finding]:
    """Run all checks in order; an exception in one becomes a finding."""
    looks: tuple[Callable[[Settings], Iterable[Finding]], ...] = (
        _python,
        _home,
        _account(settings) if settings.profile == "aws" else _store,
        _weights,
        _tuning_storage,
        _ports,
        _label_studio,
        _code_location,
    )
    findings: list[Finding] = []
    for look in looks:
        try:
            findings += look(settings)
        except Exception as error:  # noqa: BLE001 - every error becomes a finding
            findings.append(
                Finding(look.__name__.strip("_"), "failed", f"{type(error).__name__}: {error}")
            )
    return findings


def _python(settings: Settings) -> Iterator[Finding]:
    version = ".".join(map(str, sys.version_info[:3]))
    yield Finding("python", "ok", f"{version} at {sys.prefix}")


def _home(settings: Settings) -> Iterator[Finding]:
    from imgclf_dagster.settings.root import settings_file

    yield Finding("settings", "ok", f"profile {settings.profile}, {settings_file()}")
    home = settings.home
    existing = next(folder for folder in (home, *home.parents) if folder.exists())
    if not os.access(existing, os.W_OK):
        yield Finding(
            "home",
            "failed",
            f"{existing} cannot be written",
            "make it writable, or name another folder in IMGCLF_HOME",
        )
        return
    free = shutil.disk_usage(existing).free
    if free < FREE_BYTES:
        yield Finding(
            "home",
            "warning",
            f"{home} has {free / 1e9:.1f} GB free",
            "free some space, or move the home with IMGCLF_HOME",
        )
    else:
        yield Finding("home", "ok", f"{home}, {free / 1e9:.0f} GB free")


def _account(settings: Settings) -> Callable[[Settings], Iterable[Finding]]:
    """Start the check of the AWS account in the background and return the check that waits for it."""
    from imgclf_dagster.doctor.aws import examine_aws

    found: list[Finding] = []

    def look() -> None:
        try:
            found.extend(examine_aws(settings))
        except Exception as error:  # noqa: BLE001 - see examine
            found.append(Finding("aws", "failed", f"{type(error).__name__}: {error}"))

    thread = threading.Thread(target=look, daemon=True)
    thread.start()

    def account(settings: Settings) -> Iterable[Finding]:
        thread.join()
        return found

    return account


def _store(settings: Settings) -> Iterator[Finding]:
    from imgclf_dagster.home.home import is_prepared, require_store
    from object_store.errors import StoreError

    if not is_prepared(settings):
        yield Finding("store", "ok", "not made yet; the first ingest, run or up makes it")
        return
    try:
        store = require_store(settings)
    except StoreError as error:
        yield Finding("store", "failed", str(error))
        return
    unusable = store.unusable("raw")
    if unusable:
        name, reason = unusable[0]
        yield Finding(
            "store",
            "warning",
            f"{len(unusable)} files under raw/ cannot be read, for example {name}: {reason}",
            "do what each reason says (`imgclf run` lists them all); imgclf doctor --store "
            "--repair moves remains of a killed ingest of an older version (…#1) aside",
        )
    else:
        yield Finding("store", "ok", store.url)


def _weights(settings: Settings) -> Iterator[Finding]:
    training = settings.training
    if not training.uses_weights:
        yield Finding("weights", "ok", f"recipe {training.recipe} needs none")
        return
    nets = nets_of(training.first_job().architecture)
    if training.has_challenger:
        nets = (*nets, *nets_of(training.challenger_job().architecture))
    for net in dict.fromkeys(nets):
        yield _weights_of(net, settings.weights_dir)


def _weights_of(net: str, folder: Path | None) -> Finding:
    try:
        path = find_weights(net, folder)
    except PermanentFailure as error:
        return Finding("weights", "failed", str(error))
    if path is not None:
        return Finding("weights", "ok", f"{net}: {path}")
    if any(_torch_cache().glob(f"{net}-*.pth")):
        return Finding("weights", "ok", f"{net} in torchvision's cache")
    from training.backbones.sources import net_source  # imports torch, which takes seconds

    try:
        net_source(net)
    except PermanentFailure as error:
        return Finding(
            "weights", "failed", str(error), "correct architecture under [training] in imgclf.toml"
        )
    return Finding(
        "weights",
        "warning",
        f"{file_stem(net)}.pth is not in {folder or 'IMGCLF_WEIGHTS_DIR (not set)'}"
        f"{', nor is its package installed' if net in PACKAGES else ''}: training will download it",
        "without the internet: " + "; or ".join(ways_to_weights(net)),
    )


def _torch_cache() -> Path:
    """Return the folder in which torchvision keeps downloaded weights."""
    # As torch.hub.get_dir, without importing torch, which takes seconds.
    cache = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    hub = os.environ.get("TORCH_HOME", f"{cache}/torch")
    return Path(hub).expanduser() / "hub" / "checkpoints"


def _tuning_storage(settings: Settings) -> Iterator[Finding]:
    """Connect to the database for searches, if the environment names one."""
    from training.tuning.storage import STORAGE, open_storage, shown_url, storage_url

    url = storage_url()
    if not url:
        return
    name = "searches"
    if settings.profile == "aws":
        text = f"{STORAGE} has no effect: on profile aws, searches run and are kept on SageMaker"
        yield Finding(name, "warning", text, f"unset {STORAGE}")
        return
    try:
        open_storage(url)
    except PermanentFailure as error:
        yield Finding(name, "failed", str(error), f"correct or unset {STORAGE}")
    else:
        yield Finding(name, "ok", f"imgclf tune keeps its trials in {shown_url(url)}")


def _ports(settings: Settings) -> Iterator[Finding]:
    from imgclf_dagster.processes.ports import Port, PortTaken, require_free
    from imgclf_dagster.processes.presence import is_up

    if is_up(settings.run_dir):
        yield Finding("ports", "ok", "imgclf up is running")
        return
    for name, number in settings.ports.model_dump().items():
        try:
            require_free([Port(number, name, f"ports.{name} in imgclf.toml")])
        except PortTaken as taken:
            yield Finding(f"port {number}", "warning", str(taken), f"{_who_needs(name)} needs it")
        else:
            yield Finding(f"port {number}", "ok", f"free for {name}")


def _who_needs(port: str) -> str:
    return f"imgclf up{' --label-studio' if port in ('label_studio', 'labelling') else ''}"


def _label_studio(settings: Settings) -> Iterator[Finding]:
    from imgclf_dagster.doctor.label_studio import examine_label_studio

    return examine_label_studio(settings)


def _code_location(settings: Settings) -> Iterator[Finding]:
    import dagster as dg

    from imgclf_dagster.definitions import build_definitions

    if settings.profile == "aws":
        from imgclf_dagster.profiles.aws import missing_settings

        if missing_settings(settings):
            return  # the check of the account has reported it
    definitions = build_definitions(settings)
    dg.Definitions.validate_loadable(definitions)
    assets = len(list(definitions.resolve_all_asset_specs()))
    yield Finding("dagster", "ok", f"dagster {dg.__version__}, {assets} assets load")
