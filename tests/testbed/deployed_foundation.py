"""The foundation in a ministack of its own, put there by ``imgclf deploy foundation``.

Types that ministack lacks are taken on trust (``ministack_trial.TAKEN_ON_TRUST``).
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.testbed.ministack import ENVIRON
from tests.testbed.ministack_trial import trial_stacks


@contextmanager
def deployed_foundation(folder: Path) -> Iterator[dict[str, Any]]:
    """What the command said, and the home; the environment leads there while the block lasts."""
    from imgclf_dagster.cli.main import app

    environ = {
        **ENVIRON,
        "IMGCLF_HOME": str(folder / "home"),
        "IMGCLF_AWS__POLL_S": "0.1",
    }
    with trial_stacks(folder) as url, pytest.MonkeyPatch.context() as patch:
        patch.delenv("IMGCLF_SETTINGS", raising=False)  # of a home that another test prepared
        for key, value in {**environ, "AWS_ENDPOINT_URL": url}.items():
            patch.setenv(key, value)
        done = CliRunner().invoke(
            app, ["deploy", "foundation", "--yes", "--json", "--budget", "50"]
        )
        assert done.exit_code == 0, done.output
        yield {"said": json.loads(done.stdout), "home": folder / "home"}
