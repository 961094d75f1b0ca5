"""The test bed, as tests see it."""

import itertools
import json
import os
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlencode

from tests.patience import SOON_S, WAIT_S
from tests.warm_programs import with_client

REPOSITORY = Path(__file__).resolve().parents[2]
REGION = "us-east-1"
ACCOUNT = "123456789012"

_ONLY_IN_B = ("cloudformation", "lambda", "application-autoscaling", "apigatewayv2")
_START_TIMEOUT_S = WAIT_S


class TestBed:
    """AWS on this machine: process A at ``url``, and process B if asked for.

    Attributes:
        url: of the SageMaker stand-in and moto.
        folder: logs of the processes (``a.log``, ``b.log``), files of the containers.
    """

    __test__ = False

    def __init__(self, folder: Path, region: str = REGION) -> None:
        """Nothing runs until ``start``."""
        self.folder = folder
        self.region = region
        self.url = ""
        self._has_b = False
        self._processes: list[subprocess.Popen[bytes]] = []
        self._buckets = itertools.count(1)
        self._clients: dict[str, Any] = {}

    def start(self) -> Self:
        """Start process A and wait until it answers."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.url = self._launch("a", ["tests.testbed"])
        return self

    def with_cloudformation(self) -> Self:
        """Start process B unless it runs."""
        if not self._has_b:
            self._launch("b", ["tests.testbed.ministack_sagemaker", "--sagemaker", self.url])
            self._has_b = True
        return self

    def stop(self) -> None:
        """End the processes and all that they started."""
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            try:
                process.wait(SOON_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._processes.clear()

    @property
    def environ(self) -> dict[str, str]:
        """The variables that lead boto3 and obstore here; A passes on what is process B's."""
        nowhere = str(self.folder / "no-such-file")
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_ALLOW_HTTP": "true",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": nowhere,
            "AWS_SHARED_CREDENTIALS_FILE": nowhere,
        }

    def client(self, service: str, **config: Any) -> Any:
        """A boto3 client that does not retry; ``config`` goes to botocore's Config."""
        if service in _ONLY_IN_B:
            self.with_cloudformation()
        if config:
            return self._new_client(service, **config)
        if service not in self._clients:
            self._clients[service] = self._new_client(service)
        return self._clients[service]

    def _new_client(self, service: str, **config: Any) -> Any:
        import boto3
        from botocore.config import Config

        config = {"retries": {"total_max_attempts": 1}, "read_timeout": 60, **config}
        return boto3.client(
            service,
            region_name=self.region,
            endpoint_url=self.url,
            aws_access_key_id="testing",
            aws_secret_access_key="testing",
            config=Config(**config),
        )

    def bucket(self) -> str:
        """A new bucket's name."""
        name = f"bed-{os.getpid()}-{next(self._buckets)}"
        self.client("s3").create_bucket(Bucket=name)
        return name

    # --- switches ---------------------------------------------------------------------------

    def fault(self, operation: str, kind: str, *, times: int = 1, **options: Any) -> None:
        """Arm a fault; see the README for kinds and options."""
        self.admin("faults", operation=operation, kind=kind, times=times, options=options)

    def clear_faults(self) -> None:
        """Disarm all faults."""
        self.admin("faults", clear=True)

    def faults(self) -> list[dict[str, Any]]:
        """The faults since the last clearing, each with how often it was ``taken``."""
        return self.admin("faults")

    def calls(self, operation: str | None = None) -> list[dict[str, Any]]:
        """API calls so far: service, operation, time, request, status, fault, seconds."""
        query = urlencode({"operation": operation or ""})
        return self.admin(f"calls?{query}")

    def settings(self, **values: Any) -> dict[str, Any]:
        """Set the stand-in's ``grace_s`` or ``image_entrypoint`` (a list, or None)."""
        return self.admin("settings", **values)

    def admin(self, path: str, **body: Any) -> Any:
        """GET, or POST if there is a body, of ``/_standin/<path>``."""
        request = urllib.request.Request(
            f"{self.url}/_standin/{path}",
            data=json.dumps(body).encode() if body else None,
            headers={"Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=WAIT_S) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise ValueError(error.read().decode()) from None

    # --- processes --------------------------------------------------------------------------

    def _launch(self, name: str, module: list[str]) -> str:
        address = self.folder / f"{name}.address"
        log = self.folder / f"{name}.log"
        address.unlink(missing_ok=True)
        options = ["--port", "0", "--folder", str(self.folder / name)]
        options += ["--address-file", str(address), "--parent", str(os.getpid())]
        with log.open("ab") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", *module, *options],
                cwd=REPOSITORY,
                env=self._clean_environ(),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._processes.append(process)
        deadline = time.monotonic() + _START_TIMEOUT_S
        while not address.exists():
            if process.poll() is not None or time.monotonic() > deadline:
                tail = log.read_text(encoding="utf-8", errors="replace")[-4000:]
                raise RuntimeError(f"the test bed's process {name} does not answer:\n{tail}")
            time.sleep(0.01)
        return address.read_text(encoding="utf-8").strip()

    @staticmethod
    def _clean_environ() -> dict[str, str]:
        """This process's environment without what it says of AWS."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "IMGCLF_"))}
        return {**kept, "PYTHONPATH": with_client(str(REPOSITORY)), "PYTHONUNBUFFERED": "1"}


def start_bed(folder: Path) -> TestBed:
    """A test bed that runs."""
    bed = TestBed(folder)
    try:
        return bed.start()
    except BaseException:
        bed.stop()
        raise
