"""Imports without garbage collection: it is off meanwhile, and never stays off."""

import gc
import subprocess
import sys
from collections.abc import Iterator

import pytest

from training.container.quick_imports import without_collection

pytestmark = pytest.mark.unit


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    assert gc.isenabled()
    gc.unfreeze()
    yield
    gc.enable()
    gc.freeze()  # as tests/conftest.py does: else the tests after these would take longer


def test_it_is_off_within_the_block_and_what_is_there_then_is_left_out_later() -> None:
    with without_collection("not.imported"):
        assert not gc.isenabled()
        with without_collection("neither"):
            assert not gc.isenabled()
        assert not gc.isenabled()
    assert gc.isenabled()
    assert gc.get_freeze_count() > 0


def test_an_import_that_fails_leaves_it_on() -> None:
    with pytest.raises(ImportError), without_collection("not.imported"):
        __import__("not_there_at_all")
    assert gc.isenabled()


def test_a_second_import_changes_nothing() -> None:
    frozen = gc.get_freeze_count()
    with without_collection("gc"):
        assert gc.isenabled()
    assert gc.get_freeze_count() == frozen


def test_to_embed_images_nothing_is_imported_that_only_training_needs() -> None:
    """Of a job's seven seconds, torchmetrics with SciPy's signals and Matplotlib takes three."""
    code = (
        "import sys, training.embed, training.fitting.probe, training.learning_curve, training.fitting.calibration\n"
        "print({'torchmetrics', 'lightning', 'matplotlib'} & sys.modules.keys())"
    )
    output = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert output.stdout == "set()\n"


HEAVY = (
    *("boto3", "dagster", "gradio", "httpx", "lightning", "mlflow", "numpy", "pyarrow", "pydantic"),
    *("sagemaker", "scipy", "sqlalchemy", "torch"),
)


@pytest.mark.parametrize("arguments", [["--help"], []])
def test_the_help_of_imgclf_imports_nothing_that_a_command_needs(arguments: list[str]) -> None:
    """`imgclf --help` took 1.4 CPU seconds (2.7 without bytecode) when each command came along."""
    code = (
        "import sys\n"
        f"sys.argv = ['imgclf', *{arguments!r}]\n"
        "from imgclf_dagster.cli.entry import main\n"
        "try:\n    main()\n"
        "except SystemExit:\n"
        f"    print('heavy:', [name for name in {HEAVY!r} if name in sys.modules])\n"
        "    print('commands:', [name for name in sys.modules if name.startswith('imgclf_dagster.')])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "Usage: imgclf" in ran.stdout
    *_, heavy, commands = ran.stdout.splitlines()
    assert heavy == "heavy: []"
    assert "status" not in commands


def test_pandas_is_kept_out_of_tables_and_there_for_who_asks() -> None:
    code = (
        "import sys\n"
        "from imgclf_dagster.cli.without_pandas import keep_pandas_out\n"
        "keep_pandas_out()\n"
        "import pyarrow as pa\n"
        "table = pa.table({'a': [1, 2]})\n"
        "print('pandas' in sys.modules)\n"
        "print(pa.Table.from_pandas(table.to_pandas()).equals(table))\n"
        "keep_pandas_out()\n"
        "print(len(pa.array(table.to_pandas()['a'])))\n"
    )
    output = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert output.stdout.split() == ["False", "True", "2"]
