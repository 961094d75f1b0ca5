"""The image as far as it can be known without an engine: its steps are read, and the ones that
matter are done here (what is copied, what is installed from it, what starts)."""

import json
import os
import re
import shutil
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath

import pytest

from imgclf_dagster.home.home import TELEMETRY_OFF
from tests.patience import WAIT_S
from training.container.gpus import COMPAT

pytestmark = pytest.mark.contract

REPOSITORY = Path(__file__).parents[4]
STEPS = ("FROM", "ARG", "RUN", "COPY", "ENV", "LABEL", "WORKDIR", "EXPOSE", "HEALTHCHECK", "CMD",
         "USER", "ENTRYPOINT", "ADD")  # fmt: skip
PACKAGES = ("imgclf_dagster", "assets", "resources", "labelling", "training", "serving", "guard",
            "object_store", "errors", "ui", "cloudformation")  # fmt: skip


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's steps, with continued lines joined and comments left out."""
    text = (REPOSITORY / "Dockerfile").read_text()
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    steps = [line.split(None, 1) for line in joined.splitlines() if line.strip()]
    return [(name, rest.strip()) for name, rest in steps]


def of(name: str, *, stage: str | None = None) -> list[str]:
    """What follows each ``name``, in the whole file or in one stage."""
    found, current = [], ""
    for step, rest in instructions():
        if step == "FROM":
            current = rest.split()[-1]
        if step == name and stage in (None, current):
            found.append(rest)
    return found


def copied(stage: str) -> list[str]:
    """Paths of the build context that ``stage`` copies."""
    return [
        source
        for rest in of("COPY", stage=stage)
        if not rest.startswith("--from=")
        for source in rest.split()[:-1]
    ]


def variables() -> dict[str, str]:
    """The environment of the image's containers."""
    return dict(pair.split("=", 1) for rest in of("ENV", stage="runtime") for pair in rest.split())


def ignored(path: str) -> bool:
    """Whether ``.dockerignore`` keeps ``path`` out of the build; the last rule that fits decides.

    https://docs.docker.com/build/concepts/context/#dockerignore-files
    """
    verdict = False
    for line in (REPOSITORY / ".dockerignore").read_text().splitlines():
        rule = line.strip()
        if not rule or rule.startswith("#"):
            continue
        keep, pattern = rule.startswith("!"), rule.removeprefix("!")
        parts = PurePosixPath(path).parts
        heads = ["/".join(parts[: n + 1]) for n in range(len(parts))]
        if pattern.startswith("**/"):
            fits = any(fnmatch(part, pattern[3:]) for part in parts)
        else:
            fits = any(fnmatch(head, pattern) for head in heads)
        if fits:
            verdict = not keep
    return verdict


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Our packages as the image has them: built from what is copied, away from the checkout."""
    source, target = tmp_path_factory.mktemp("src"), tmp_path_factory.mktemp("site")
    for name in copied("build"):
        origin = REPOSITORY / name
        if origin.is_dir():
            shutil.copytree(origin, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(origin, source / name)
    subprocess.run(
        ["uv", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--offline",
         "--python", sys.executable, "--target", str(target), str(source)],
        check=True, timeout=WAIT_S,
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
    )  # fmt: skip
    return target


def run_installed(
    target: Path, cwd: Path, *arguments: str, **environ: str
) -> subprocess.CompletedProcess[str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("IMGCLF_")}
    return subprocess.run(
        [sys.executable, *arguments],
        env={**kept, "PYTHONPATH": str(target), **environ},
        cwd=cwd, capture_output=True, text=True, timeout=WAIT_S, check=False,
    )  # fmt: skip


# --- what the file says ------------------------------------------------------------------------


def test_every_step_is_one_that_we_know() -> None:
    assert {name for name, _ in instructions()} <= set(STEPS)
    assert not of("ADD"), "ADD unpacks and downloads; COPY does what it says"


def test_the_base_is_pinned_and_can_be_another() -> None:
    default = of("ARG")[0]
    assert re.fullmatch(r"BASE_IMAGE=python:3\.11-slim-[a-z]+", default)
    images = {rest.split()[0] for rest in of("FROM")}
    assert images == {"${BASE_IMAGE}", "${CUDA_IMAGE}", "compat-${VARIANT}"}


def test_what_is_copied_is_there_and_not_ignored() -> None:
    sources = [*copied("build"), *copied("runtime")]
    assert sources
    for source in sources:
        assert (REPOSITORY / source).exists(), source
        assert not ignored(source), source
    assert set(PACKAGES) <= set(copied("build"))


@pytest.mark.parametrize(
    "path",
    [".git/config", ".venv/bin/python", ".imgclf/imgclf.toml", "tests/conftest.py", ".env",
     "serving/.env", "training/__pycache__/train.pyc", "id_rsa", "docs/decisions.md"],
)  # fmt: skip
def test_neither_secrets_nor_rubbish_reach_the_build(path: str) -> None:
    assert ignored(path)


def test_everything_is_installed_in_pinned_versions() -> None:
    installs = [
        part
        for rest in of("RUN", stage="build")
        for part in re.split(r"&&|;;", rest)
        if re.search(r"pip install", part)
    ]
    assert len(installs) == 4
    for install in installs:
        assert "-c constraints.txt" in install or install.split()[-2:] == ["--no-deps", "."]
    assert not [rest for rest in of("RUN", stage="runtime") if "install " in rest and "pip" in rest]


def test_cpu_and_gpu_differ_by_a_build_argument_only() -> None:
    assert "VARIANT=cpu" in of("ARG", stage="build")
    (case,) = (rest for rest in of("RUN", stage="build") if rest.startswith("case"))
    for variant, code, installs in (("cpu", 0, True), ("gpu", 0, False), ("tpu", 1, False)):
        script = f'uv() {{ echo uv "$@"; }}; VARIANT={variant}; {case}'
        done = subprocess.run(
            ["sh", "-c", script], capture_output=True, text=True, check=False, timeout=WAIT_S
        )
        assert done.returncode == code
        assert ("--torch-backend cpu" in done.stdout) is installs
    assert "it must be cpu or gpu" in done.stderr


def test_the_gpu_image_brings_the_libcuda_of_its_own_cuda() -> None:
    pinned = (REPOSITORY / "constraints.txt").read_text()
    series = re.search(r"^cuda-toolkit==(\d+\.\d+)\.", pinned, re.M)
    assert series is not None
    (image,) = (rest for rest in of("ARG") if rest.startswith("CUDA_IMAGE="))
    assert re.fullmatch(rf"CUDA_IMAGE=nvcr\.io/nvidia/cuda:{series[1]}\.\d+-base-[a-z0-9.]+", image)
    (copies,) = of("RUN", stage="compat-gpu")
    assert f"/usr/local/cuda-{series[1]}/compat/" in copies
    assert f"test -e {COMPAT}/libcuda.so.1" in copies
    assert "VARIANT=cpu" in of("ARG", stage="")
    assert f"--from=compat {COMPAT} {COMPAT}" in of("COPY", stage="runtime")


def test_the_commands_that_sagemaker_and_dagster_give_are_not_swallowed() -> None:
    # ECS cannot unset an ENTRYPOINT: `dagster api execute_run …` would become its argument.
    assert not of("ENTRYPOINT")
    assert [json.loads(rest) for rest in of("CMD", stage="runtime")] == [["serve"]]
    (install,) = (rest for rest in of("RUN", stage="build") if "printf" in rest)
    for command, module in (("serve", "serving.container"), ("train", "training.launcher")):
        assert re.search(rf"python -m {module}[^']*' > \"\$VIRTUAL_ENV/bin/{command}\"", install)


def test_containers_do_not_stay_root() -> None:
    user = variables()["IMGCLF_RUN_AS"]
    (setup,) = (rest for rest in of("RUN", stage="runtime") if "useradd" in rest)
    assert setup.split("&&")[0].split()[-1] == user
    assert f"--owner={user}" in setup
    for module in ("serving/container.py", "training/launcher.py"):
        assert "    drop_privileges(root" in (REPOSITORY / module).read_text(), module


def test_no_program_in_the_image_calls_home() -> None:
    assert TELEMETRY_OFF.items() <= variables().items()


def test_dagster_finds_its_files() -> None:
    home = variables()["DAGSTER_HOME"]
    # The same place that Settings derives from IMGCLF_HOME, for `imgclf` inside the container.
    assert home == f"{variables()['IMGCLF_HOME']}/dagster"
    targets = {rest.split()[-1]: rest.split()[0] for rest in of("COPY", stage="runtime")}
    assert targets[f"{home}/dagster.yaml"] == "imgclf_dagster/deployment/dagster-aws.yaml"
    assert targets[f"{home}/workspace.yaml"] == "imgclf_dagster/deployment/workspace-aws.yaml"


# --- what it makes -----------------------------------------------------------------------------


def test_the_wheel_has_every_module_and_every_file_that_is_read(installed: Path) -> None:
    expected = {
        path.relative_to(REPOSITORY).as_posix()
        for package in PACKAGES
        for pattern in ("*.py", "*.yaml", "*.json", "*.css", "*.html")
        for path in (REPOSITORY / package).rglob(pattern)
        if "__pycache__" not in path.parts
    }
    missing = {name for name in expected if not (installed / name).is_file()}
    assert not missing


def test_our_modules_come_from_what_was_installed(installed: Path, tmp_path: Path) -> None:
    code = (
        "import importlib, json, sys\n"
        "names = sys.argv[1:]\n"
        "print(json.dumps([importlib.import_module(name).__file__ for name in names]))"
    )
    modules = ("imgclf_dagster.definitions", "training.launcher", "training.train",
               "training.evaluate", "serving.container", "imgclf_dagster.cli.main")  # fmt: skip
    done = run_installed(installed, tmp_path, "-c", code, *modules)
    assert done.returncode == 0, done.stderr
    for file in json.loads(done.stdout):
        assert Path(file).is_relative_to(installed)


def test_the_entry_points_say_what_they_want(installed: Path, tmp_path: Path) -> None:
    launcher = run_installed(installed, tmp_path, "-m", "training.launcher")
    assert launcher.returncode != 0
    assert "usage: python -m training.launcher <module>" in launcher.stderr
    ml = tmp_path / "ml"
    container = run_installed(
        installed, tmp_path, "-m", "serving.container", "serve", IMGCLF_ML_ROOT=str(ml)
    )
    assert container.returncode != 0
    assert "IMGCLF_MODEL_VERSION is not set" in container.stderr
    text = "from imgclf_dagster.deployment import dagster_yaml; print(dagster_yaml('aws'))"
    assert "EcsRunLauncher" in run_installed(installed, tmp_path, "-c", text).stdout
