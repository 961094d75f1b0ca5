"""What tests of whole programs share: running ``imgclf`` as a user does, in a home of its own."""

import json
import os
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil
import pytest
from PIL import Image
from typer.testing import CliRunner

from imgclf_dagster.cli.main import app
from object_store.store import ObjectStore
from tests.patience import WAIT_S
from tests.testbed.account import aws_section
from tests.testbed.bed import TestBed
from tests.warm_programs import with_client
from tests.warm_programs.sitecustomize import COLD

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

SABOTAGE = Path(__file__).parent / "sabotage"

COLOURS = ("red", "green", "blue")

CHROMIUM = Path("/usr/bin/chromium")
CHROMIUM_ARGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--host-resolver-rules=MAP *.example 127.0.0.1",
]

FAST = {
    "IMGCLF_TRAINING__RECIPE": "scratch",
    "IMGCLF_TRAINING__IMAGE_SIZE": "16",
    "IMGCLF_TRAINING__EPOCHS": "4",
    "IMGCLF_TRAINING__BATCH_SIZE": "8",
    "IMGCLF_TRAINING__LEARNING_RATE": "0.01",
    "IMGCLF_TRAINING__AUGMENTATION": "none",
    # A handful of test images says nothing about calibration.
    "IMGCLF_GATES__MAX_CALIBRATION_ERROR": "1",
}
"""Settings under which a small net learns to tell colours in seconds."""


@dataclass
class Answer:
    """What a command answered."""

    code: int
    out: str
    err: str

    @property
    def output(self) -> str:
        """All it wrote; what a failing assertion should show."""
        return f"exit code {self.code}\n--- stdout\n{self.out}\n--- stderr\n{self.err}"

    @property
    def words(self) -> str:
        """All it wrote, without the line breaks that depend on the terminal."""
        return " ".join(f"{self.out} {self.err}".split())


@dataclass
class Imgclf:
    """The command line on one home."""

    home: Path
    settings: dict[str, str] = field(default_factory=dict)
    prefix: Sequence[str] = ()

    def __call__(
        self,
        *args: str | Path,
        sabotage: Sequence[dict[str, object]] = (),
        **variables: str,
    ) -> Answer:
        """Run ``imgclf <args>`` and wait for it."""
        done = subprocess.run(
            [*self.prefix, sys.executable, "-m", "imgclf_dagster.cli.entry", *map(str, args)],
            env=self.environment(sabotage, **variables),
            capture_output=True,
            text=True,
            timeout=WAIT_S,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        return Answer(done.returncode, done.stdout, done.stderr)

    def environment(
        self, sabotage: Sequence[dict[str, object]] = (), **variables: str
    ) -> dict[str, str]:
        """The command's environment: ours without settings of ours, and its home."""
        kept = {key: value for key, value in os.environ.items() if not key.startswith("IMGCLF_")}
        if sabotage:
            variables["PYTHONPATH"] = with_client(str(SABOTAGE))
            variables["IMGCLF_TEST_SABOTAGE"] = json.dumps(list(sabotage))
        home = {"IMGCLF_HOME": str(self.home), "OMP_NUM_THREADS": "1", "COLUMNS": "200"}
        return {**kept, **home, **self.settings, **variables}

    def processes(self) -> list[psutil.Process]:
        """Every process that has this home, or one below it, in its environment."""
        found = []
        for process in psutil.process_iter(["environ", "status"]):
            home = (process.info["environ"] or {}).get("IMGCLF_HOME", "")
            alive = process.info["status"] != psutil.STATUS_ZOMBIE
            if alive and Path(home).is_relative_to(self.home):
                found.append(process)
        return found

    @property
    def store(self) -> ObjectStore:
        """The store of the profile."""
        bucket, prefix = (self.settings.get(f"IMGCLF_AWS__{name}") for name in ("BUCKET", "PREFIX"))
        if bucket is None:
            return ObjectStore(url=(self.home / "store").as_uri())
        return ObjectStore(url=f"s3://{bucket}/{prefix}")

    def objects(self, but: str | tuple[str, ...] = ()) -> dict[str, int]:
        """Every object of the store and its size, as the store lists them; none below ``but``."""
        return {info.key: info.size for info in self.store.list("") if not info.key.startswith(but)}


class ImgclfHere(Imgclf):
    """The command line in this process, where libraries are imported already: a command that takes
    seconds as a program takes a tenth. What it starts (jobs, hosts) is started as ever.

    With a ``prefix``, or for sabotage, it is a program all the same.
    """

    def __call__(
        self,
        *args: str | Path,
        sabotage: Sequence[dict[str, object]] = (),
        **variables: str,
    ) -> Answer:
        """Run ``imgclf <args>``; an error that nobody caught is told as Python would."""
        if self.prefix or sabotage:
            return super().__call__(*args, sabotage=sabotage, **variables)
        with self.in_its_environment(**variables):
            done = CliRunner().invoke(app, [*map(str, args)], prog_name="imgclf")
        uncaught = done.exception if not isinstance(done.exception, SystemExit) else None
        reported = "".join(traceback.format_exception(uncaught)) if uncaught else ""
        return Answer(done.exit_code, done.stdout, done.stderr + reported)

    @contextmanager
    def in_its_environment(self, **variables: str) -> Iterator[None]:
        """Give this process the command's variables, until the block is left."""
        kept, given = dict(os.environ), self.environment(**variables)
        os.environ.clear()
        os.environ.update(given)
        try:
            yield
        finally:
            os.environ.clear()
            os.environ.update(kept)


@pytest.fixture(scope="module")
def cold_programs() -> Iterator[None]:
    """Programs of the module's tests, but for jobs, start as a user's do, not as copies of a warm
    process: for tests of what a signal does to them, and of a user's whole way."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv(COLD, "1")
        yield


@pytest.fixture
def imgclf(tmp_path: Path) -> Imgclf:
    """``imgclf`` in a new home."""
    return Imgclf(tmp_path / "home")


@pytest.fixture
def imgclf_here(tmp_path: Path) -> ImgclfHere:
    """``imgclf`` in a new home and in this process."""
    return ImgclfHere(tmp_path / "home")


@pytest.fixture
def colours() -> Callable[..., Path]:
    """``colours(folder, count, names=…)``: class folders of noisy images of one colour each.

    A number for ``count``, or one for each name.
    """

    def write(folder: Path, count: int | dict[str, int], names: Sequence[str] = COLOURS) -> Path:
        rng = np.random.default_rng(0)
        for position, name in enumerate(names):
            wanted = count[name] if isinstance(count, dict) else count
            (folder / name).mkdir(parents=True)
            for index in range(wanted):
                pixels = rng.integers(0, 120, (24, 24, 3), dtype=np.uint8)
                pixels[..., position % 3] += 120
                Image.fromarray(pixels).save(folder / name / f"{index:03d}.png")
        return folder

    return write


@pytest.fixture
def fast() -> dict[str, str]:
    """Settings for a quick training; see ``FAST``."""
    return dict(FAST)


@pytest.fixture
def aws_variables(aws_with_stacks: TestBed) -> dict[str, str]:
    """What sends ``imgclf`` to the test bed's AWS: a user's environment after the foundation."""
    bed = aws_with_stacks
    section = aws_section(bed)
    training = section.pop("training")
    settings = {f"IMGCLF_AWS__{name.upper()}": str(value) for name, value in section.items()}
    settings |= {f"IMGCLF_AWS__TRAINING__{name.upper()}": str(v) for name, v in training.items()}
    return {**bed.environ, **settings, "IMGCLF_PROFILE": "aws"}


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    """Debian's Chromium, driven by playwright."""
    if not CHROMIUM.exists():
        pytest.skip(f"{CHROMIUM} is missing; apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=str(CHROMIUM), args=CHROMIUM_ARGS)
        yield Patient(chromium)
        chromium.close()


class Patient:
    """A browser whose pages wait as long as a test may: playwright's own limit is 30 s."""

    def __init__(self, browser: "Browser") -> None:
        self._browser = browser

    def new_page(self, **options: Any) -> "Page":
        page = self._browser.new_page(**options)
        page.set_default_timeout(WAIT_S * 1000)
        return page

    def new_context(self, **options: Any) -> "BrowserContext":
        context = self._browser.new_context(**options)
        context.set_default_timeout(WAIT_S * 1000)
        return context
