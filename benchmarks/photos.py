"""The real photos that benchmarks run on."""

import os
import shutil
import tarfile
from pathlib import Path

VARIABLES = ("IMGCLF_BENCH_PHOTOS", "IMGCLF_TEST_PHOTOS")
NAME = "intel-scenes"
MISSING = (
    f"no {NAME}.tar and no folder {NAME} where {' or '.join(VARIABLES)} points: "
    "set one of them to the folder that holds the test photos"
)


def find_archive(name: str) -> Path | None:
    """Return the archive ``name``.tar of the folder that a variable names; ``None`` without it."""
    folders = (Path(os.environ[variable]) for variable in VARIABLES if os.environ.get(variable))
    files = (folder / f"{name}.tar" for folder in folders)
    return next((file for file in files if file.is_file()), None)


def copy_photos(target: Path) -> int:
    """Copy the photos to ``target``; return their number, 0 if there are none."""
    for folder in (Path(os.environ[name]) for name in VARIABLES if os.environ.get(name)):
        if (folder / NAME).is_dir():
            shutil.copytree(folder / NAME, target, copy_function=shutil.copyfile)
        elif (folder / f"{NAME}.tar").is_file():
            with tarfile.open(folder / f"{NAME}.tar") as archive:
                archive.extractall(target, filter="data")
        else:
            continue
        return sum(1 for _ in target.rglob("*.jpg"))
    return 0
