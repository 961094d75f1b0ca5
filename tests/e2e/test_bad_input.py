"""Bad input and broken machines, through the real command line: a message that names the item and
the remedy, exit code 1, never a traceback, and the rest goes on where there is a rest.

With a disk of their own the commands (ingest, status, run) are programs; else in this process.
"""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.patience import WAIT_S

pytestmark = pytest.mark.e2e


@pytest.fixture
def imgclf(imgclf_here: Any) -> Any:
    """``imgclf`` in a new home."""
    return imgclf_here


def refused(answer: Any, *parts: str) -> None:
    """Failed, plainly, and said all ``parts``."""
    assert answer.code == 1, answer.output
    assert_says(answer, *parts)


def assert_says(answer: Any, *parts: str) -> None:
    assert "Traceback" not in answer.out + answer.err, answer.output
    missing = [part for part in parts if part not in answer.words]
    assert not missing, f"not said: {missing}\n{answer.output}"


def configured(imgclf: Any, text: str) -> None:
    imgclf.home.mkdir(parents=True, exist_ok=True)
    (imgclf.home / "imgclf.toml").write_text(text, encoding="utf-8")


def labels(imgclf: Any) -> int:
    return sum(key.startswith("annotations/") for key in imgclf.objects())


# --- what is ingested ------------------------------------------------------------------------


def test_broken_lines_of_a_csv_are_named_and_the_rest_goes_on(
    imgclf: Any, colours: Callable[..., Path], tmp_path: Path
) -> None:
    folder = colours(tmp_path / "set", 9) / "red"
    lines = ["file,labels", "001.png", "gone.png,red", *(f"{n:03d}.png,red" for n in range(2, 9))]
    (folder / "labels.csv").write_text("\n".join(lines), encoding="utf-8")
    answer = imgclf("ingest", folder / "labels.csv")
    assert answer.code == 0, answer.output
    assert_says(answer, "labels.csv:2", "labels.csv:3 gone.png")
    assert labels(imgclf) == 7


@pytest.mark.parametrize("text", ["", "\x00\x01", "name,kind\na,b\n"])
def test_a_csv_that_is_none_is_refused_by_name(
    imgclf: Any, colours: Callable[..., Path], tmp_path: Path, text: str
) -> None:
    folder = colours(tmp_path / "set", 4) / "red"
    (folder / "labels.csv").write_text(text, encoding="utf-8")
    refused(imgclf("ingest", folder / "labels.csv"), "labels.csv")
    assert not imgclf.home.exists()


def test_labels_in_no_schema_are_rejected_by_name_and_the_rest_goes_on(
    imgclf: Any, colours: Callable[..., Path], tmp_path: Path
) -> None:
    configured(imgclf, '[labels]\nnames = ["red", "green"]\n')
    source = colours(tmp_path / "set", 2)
    answer = imgclf("ingest", source)
    assert answer.code == 0, answer.output
    assert_says(answer, "blue/000.png", "unknown label 'blue'", "known: red, green", "[labels]")
    assert labels(imgclf) == 4
    shutil.rmtree(source / "red")
    shutil.rmtree(source / "green")
    refused(imgclf("ingest", source), "lie in one folder, 'blue'", "--labels-from parent")
    only = imgclf("ingest", source, "--labels-from", "parent")
    refused(only, "unknown label 'blue'", "could be used")


def test_several_labels_where_one_is_allowed_name_the_setting(
    imgclf: Any, colours: Callable[..., Path], tmp_path: Path
) -> None:
    folder = colours(tmp_path / "set", 2) / "red"
    (folder / "labels.csv").write_text("file,labels\n000.png,red\n001.png,red|warm\n", "utf-8")
    answer = imgclf("ingest", folder / "labels.csv")
    assert answer.code == 1, answer.output
    assert_says(answer, "labels.csv", "red, warm", 'task = "multi_label"', "imgclf.toml")
    configured(imgclf, '[labels]\ntask = "multi_label"\n')
    answer = imgclf("ingest", folder / "labels.csv")
    assert answer.code == 0, answer.output
    assert labels(imgclf) == 2


# --- what cannot make a data set ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("count", "settings", "expected"),
    [
        pytest.param(
            20,
            '[labels]\nnames = ["red", "green", "mauve"]\n',
            ["class_floor_met", "mauve: 0 in train, needs 2", "Label more images", "imgclf.toml"],
            id="empty class",
        ),
        pytest.param(
            {"red": 20}, "", ["class_floor_met", "only 1 class (red)", "two"], id="one class only"
        ),
        pytest.param(
            {"red": 1, "green": 1},
            "",
            ["class_floor_met", "needs 2", "Label more"],
            id="two images",
        ),
    ],
)
def test_too_little_to_learn_from_is_said_before_anything_is_trained(
    imgclf: Any,
    colours: Callable[..., Path],
    tmp_path: Path,
    count: Any,
    settings: str,
    expected: list[str],
) -> None:
    configured(imgclf, settings)
    names = tuple(count) if isinstance(count, dict) else ("red", "green")
    source = colours(tmp_path / "set", count, names)
    assert imgclf("ingest", source, "--labels-from", "parent").code == 0
    refused(imgclf("run"), *expected)
    assert not [key for key in imgclf.objects() if key.startswith(("models/", "pipes/"))]


def test_nothing_ingested_says_what_to_do(imgclf: Any) -> None:
    refused(imgclf("run"), "imgclf ingest")


# --- settings ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[labels\n", ["imgclf.toml", "line 1"]),
        ('project = "sea\n', ["imgclf.toml", "line 1"]),
        ("[training]\nepochs = 0\n", ["training.epochs", "greater than or equal to 1", "got 0"]),
        ('[training]\nrecipe = "magic"\n', ["training.recipe", "'scratch'", "got 'magic'"]),
        ("[training]\nepoch = 3\n", ["training.epoch", "did you mean training.epochs"]),
        ("[split]\ntrain = 0.9\n", ["split", "it must be 1"]),
        ('[labels]\nnames = ["a", "a"]\n', ["labels.names", "more than once"]),
        ('profile = "aws"\n', ["aws.bucket", "imgclf deploy foundation", "imgclf.toml"]),
        ('profile = "azure"\n', ["profile", "'local' or 'aws'", "got 'azure'"]),
    ],
)
def test_wrong_settings_are_named_with_their_file(
    imgclf: Any, text: str, expected: list[str]
) -> None:
    configured(imgclf, text)
    refused(imgclf("status"), *expected)


def test_settings_that_are_no_text_and_wrong_variables_are_named(imgclf: Any) -> None:
    configured(imgclf, "")
    (imgclf.home / "imgclf.toml").write_bytes(b"\xff\xfe\x00[")
    for command in ("run", "doctor"):
        refused(imgclf(command), str(imgclf.home / "imgclf.toml"), "cannot be read")
    configured(imgclf, "")
    refused(imgclf("status", IMGCLF_PORTS__DAGSTER="99999"), "ports.dagster", "99999")


# --- training ------------------------------------------------------------------------------------


def test_missing_weights_name_the_ways_out_at_once(
    imgclf: Any, colours: Callable[..., Path], tmp_path: Path
) -> None:
    (tmp_path / "weights").mkdir()
    imgclf.settings = {
        "IMGCLF_WEIGHTS_DIR": str(tmp_path / "weights"),
        "IMGCLF_TRAINING__ARCHITECTURE": "mobilenet_v2",
        "IMGCLF_TRAINING__RECIPE": "probe",
        "IMGCLF_TRAINING__IMAGE_SIZE": "32",
        "TORCH_HOME": str(tmp_path / "torch"),
        # Whatever the machine can reach, this job cannot: nobody listens there.
        "https_proxy": "http://127.0.0.1:9",
        "no_proxy": "",
    }
    assert imgclf("ingest", colours(tmp_path / "set", 30)).code == 0
    answer = imgclf("run")
    refused(
        answer,
        "no pretrained weights of mobilenet_v2",
        "mobilenet_v2.pth",
        "IMGCLF_WEIGHTS_DIR",
        'weights = "none"',
        'recipe = "scratch"',
    )
    doctor = imgclf("doctor")
    assert_says(doctor, "mobilenet_v2.pth is not in", str(tmp_path / "weights"), "scratch")


# --- the disk ------------------------------------------------------------------------------------


@dataclass
class Disk:
    """A small disk of its own at ``path``, which only commands with ``prefix`` see."""

    path: Path
    pid: int

    @property
    def prefix(self) -> list[str]:
        return ["nsenter", "-t", str(self.pid), "-U", "-m", "--preserve-credentials", "--"]

    def remount(self, options: str) -> None:
        command = [*self.prefix, "mount", "-o", f"remount,{options}", str(self.path)]
        subprocess.run(command, check=True, timeout=WAIT_S)

    def files(self) -> dict[str, int]:
        root = Path(f"/proc/{self.pid}/root/{self.path}")
        return {
            path.relative_to(root).as_posix(): path.stat().st_size
            for path in root.rglob("*")
            if path.is_file()
        }


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Callable[..., Disk]]:
    """``disk(path, size)`` mounts one, in a mount namespace that ends with the test."""
    holders = []

    def mount(path: Path, size: str) -> Disk:
        path.mkdir(parents=True)
        script = 'mount -t tmpfs -o size="$1" none "$0" && echo ready && exec sleep 900'
        holder = subprocess.Popen(
            ["unshare", "-rm", "sh", "-c", script, str(path), size],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        holders.append(holder)
        assert holder.stdout is not None
        if holder.stdout.readline().strip() != "ready":
            pytest.skip(f"a disk cannot be mounted here: {holder.communicate()[1].strip()}")
        return Disk(path, holder.pid)

    yield mount
    for holder in holders:
        holder.kill()
        holder.communicate()


def test_a_disk_too_small_for_the_home_is_named_and_the_home_is_made_later(
    imgclf: Any, colours: Callable[..., Path], tmp_path: Path, disk: Callable[..., Disk]
) -> None:
    small = disk(imgclf.home, "200k")  # Dagster's databases alone are bigger
    imgclf.prefix = small.prefix
    for command in (("ingest", colours(tmp_path / "set", 2)), ("status",)):
        refused(imgclf(*command), "a database in the home", "disk is full", "free some space")
    small.remount("size=30m")
    answer = imgclf("ingest", tmp_path / "set")
    assert answer.code == 0, answer.output
    assert sum(key.startswith("store/annotations/") for key in small.files()) == 6


def test_a_full_disk_stops_an_ingest_and_nothing_of_it_is_lost(
    imgclf: Any, colours: Callable[..., Path], tmp_path: Path, disk: Callable[..., Disk]
) -> None:
    source = colours(tmp_path / "set", 40)
    small = disk(imgclf.home, "800k")
    imgclf.prefix = small.prefix
    refused(imgclf("ingest", source), "cannot be written", "the disk is full", "free some space")
    raw = {key: size for key, size in small.files().items() if key.startswith("store/raw/")}
    whole = {
        f"store/raw/set/{p.relative_to(source)}": p.stat().st_size for p in source.rglob("*.png")
    }
    assert raw
    assert raw.items() <= whole.items()  # fewer, and none of them half
    small.remount("size=30m")
    answer = imgclf("ingest", source)
    assert answer.code == 0, answer.output
    files = small.files()
    assert whole.items() <= files.items()
    assert sum(key.startswith("store/annotations/") for key in files) == 120


def test_a_disk_that_fills_up_in_a_run_is_named(
    imgclf: Any, colours: Callable[..., Path], tmp_path: Path, disk: Callable[..., Disk]
) -> None:
    small = disk(imgclf.home, "40m")
    imgclf.prefix = small.prefix
    source = colours(tmp_path / "set", 60, ("red",))
    assert imgclf("ingest", source, "--labels-from", "parent").code == 0
    small.remount("size=1200k")
    refused(imgclf("run"), "disk", "full", "free some space")
    small.remount("size=40m")
    refused(imgclf("run"), "only 1 class (red)")  # got as far as it could get


def test_a_read_only_store_is_named(
    imgclf: Any, colours: Callable[..., Path], tmp_path: Path, disk: Callable[..., Disk]
) -> None:
    small = disk(imgclf.home / "store", "30m")
    imgclf.prefix = small.prefix
    source = colours(tmp_path / "set", 2)
    assert imgclf("ingest", source).code == 0
    before = small.files()
    small.remount("ro")
    (source / "red" / "000.png").rename(source / "red" / "new.png")
    for command in (("ingest", source), ("run",)):
        refused(imgclf(*command), "cannot be written", "read-only", str(small.path), "writable")
    assert small.files() == before


def test_a_read_only_home_is_named(imgclf: Any, disk: Callable[..., Disk]) -> None:
    small = disk(imgclf.home, "1m")
    small.remount("ro")
    imgclf.prefix = small.prefix
    refused(imgclf("status"), str(imgclf.home), "cannot be written", "IMGCLF_HOME")


# --- a damaged store -------------------------------------------------------------------------------


@pytest.mark.parametrize("damage", ["the marker is gone", "an empty mount point", "no folder"])
def test_a_store_that_is_gone_is_never_taken_for_an_empty_one(
    imgclf: Any, colours: Callable[..., Path], tmp_path: Path, damage: str
) -> None:
    source = colours(tmp_path / "set", 2)
    assert imgclf("ingest", source).code == 0
    store = imgclf.home / "store"
    if damage == "the marker is gone":
        (store / ".imgclf-store.json").unlink()
    else:
        store.rename(imgclf.home / "elsewhere")
        if damage == "an empty mount point":
            store.mkdir()
    before = sorted(imgclf.home.rglob("*"))
    for command in (("ingest", source), ("run",)):
        refused(imgclf(*command), str(store), "is the disk mounted?", "Put it back", "start again")
    assert sorted(imgclf.home.rglob("*")) == before
    assert_says(imgclf("doctor"), "✗ store", str(store), "is the disk mounted?")
