"""What a command says of an endpoint that ends with it."""

from typing import Any

import pytest

from imgclf_dagster.cli import served
from resources.endpoints.endpoint_host import HostUnavailable

pytestmark = pytest.mark.unit


class Endpoints:
    """Endpoints whose host is gone."""

    def describe(self, stage: str) -> Any:
        raise HostUnavailable(f"{stage} is gone")


def test_an_endpoint_that_stopped_with_the_command_is_reported_with_how_to_keep_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    served.say_served(Endpoints(), "prod", "train-1 is served")
    said = " ".join(capsys.readouterr().out.split())
    assert said == (
        "✓ train-1 is served The endpoint stopped when this command ended. "
        "To keep it running: imgclf up"
    )
