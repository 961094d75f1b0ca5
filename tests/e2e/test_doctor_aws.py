"""``imgclf doctor`` on profile aws as a user runs it: what it writes, and its exit code."""

import json
import socket
from collections.abc import Iterator

import pytest

from tests.e2e.conftest import Imgclf
from tests.testbed.bed import TestBed
from tests.testbed.foundation import Foundation

pytestmark = pytest.mark.e2e


@pytest.fixture
def account(bed: TestBed, imgclf: Imgclf) -> Iterator[Foundation]:
    """The foundation; ``imgclf`` sees it as its orchestrator."""
    account = Foundation(bed, "e2e-doctor")
    section = account.section(training={"instance_type": "ml.m5.xlarge"})
    training = section.pop("training")
    aws = {f"IMGCLF_AWS__{name.upper()}": str(value) for name, value in section.items()}
    aws |= {f"IMGCLF_AWS__TRAINING__{name.upper()}": str(v) for name, v in training.items()}
    for name in ("dagster", "endpoint", "predictor", "mlflow"):
        with socket.create_server(("127.0.0.1", 0)) as probe:
            aws[f"IMGCLF_PORTS__{name.upper()}"] = str(probe.getsockname()[1])
    imgclf.settings |= {
        **bed.environ,
        **account.session,
        **aws,
        "IMGCLF_PROFILE": "aws",
        "IMGCLF_PROJECT": account.project,
        "IMGCLF_TRAINING__RECIPE": "scratch",
    }
    yield account
    bed.admin("quotas", clear=True)


def test_from_well_to_ill(imgclf: Imgclf, account: Foundation, bed: TestBed) -> None:
    well = imgclf("doctor")
    assert well.code == 0, well.output
    assert well.err == "", well.output
    assert "✗" not in well.out, well.output
    assert "!" not in well.out, well.output
    for what in ("✓ clock", "✓ permissions of the caller", "✓ quota", "✓ dagster"):
        assert what in well.out, well.output
    assert account.session["AWS_SECRET_ACCESS_KEY"] not in well.output
    assert account.session["AWS_SESSION_TOKEN"] not in well.output

    bed.client("s3").delete_public_access_block(Bucket=account.outputs["BucketName"])
    warned = imgclf("doctor", "--json")
    assert warned.code == 0, "a warning makes no run fail"
    ill = [finding for finding in json.loads(warned.out) if finding["health"] != "ok"]
    assert [sorted(finding) for finding in ill] == [["detail", "health", "remedy", "what"]]
    assert (ill[0]["what"], ill[0]["health"]) == ("public access", "warning")

    bed.admin("quotas", **{"ml.m5.xlarge for spot training job usage": 0})
    failed = imgclf("doctor")
    assert failed.code == 1
    assert "! public access" in failed.out
    assert "✗ quota  ml.m5.xlarge for spot training job usage: 0, and 1 are needed" in failed.out
    assert "    → ask for more in Service Quotas" in failed.out


def test_before_the_foundation(imgclf: Imgclf, bed: TestBed) -> None:
    imgclf.settings |= {**bed.environ, "IMGCLF_PROFILE": "aws"}
    output = imgclf("doctor", "--json")
    assert output.code == 1, output.output
    failed = [finding for finding in json.loads(output.out) if finding["health"] == "failed"]
    assert [finding["what"] for finding in failed] == ["aws settings"], output.output
    assert "`imgclf deploy foundation`" in failed[0]["remedy"]
