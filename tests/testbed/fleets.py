"""The instances behind an endpoint configuration: containers that really serve.

One container a variant stands for all its instances; the numbers of instances are kept, since
autoscaling and deployments talk of them.
"""

import itertools
import tarfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tests.patience import SOON_S, WAIT_S
from tests.ports import free_port
from tests.testbed import storage
from tests.testbed.logs import LogStream
from tests.testbed.processes import Process
from tests.testbed.state import State, now

HEALTH_CHECK_S = WAIT_S
"""How long a container may take to be healthy; SageMaker gives it minutes."""

_PING_EVERY_S = 0.05
_PING_TIMEOUT_S = 2.0
_INVOCATION_TIMEOUT_S = WAIT_S
_STOP_S = SOON_S
_numbers = itertools.count(1)


class FleetFailed(RuntimeError):
    """A fleet did not come up; the message is what DescribeEndpoint will say."""


@dataclass
class Variant:
    """A production variant: its share of the requests, its instances and its container."""

    name: str
    config: dict[str, Any]
    image: str
    weight: float
    instances: int
    stream: LogStream
    started: Any = field(default_factory=now)
    process: Process | None = None
    client: httpx.Client | None = None
    owed: float = 0.0

    @property
    def serverless(self) -> dict[str, Any] | None:
        """Its ServerlessConfig, None if it has instances."""
        return self.config.get("ServerlessConfig")

    def summary(self, status: str | None = None) -> dict[str, Any]:
        """As DescribeEndpoint tells it."""
        image = {"SpecifiedImage": self.image, "ResolvedImage": self.image}
        texts: dict[str, Any] = {
            "VariantName": self.name,
            "DeployedImages": [{**image, "ResolutionTime": self.started}],
            "CurrentWeight": self.weight,
            "DesiredWeight": self.weight,
        }
        if self.serverless:
            texts["CurrentServerlessConfig"] = texts["DesiredServerlessConfig"] = self.serverless
        else:
            texts["CurrentInstanceCount"] = texts["DesiredInstanceCount"] = self.instances
        if status:
            texts["VariantStatus"] = [{"Status": status, "StartTime": self.started}]
        return texts


class Fleet:
    """All variants of one endpoint configuration, while they serve one endpoint."""

    def __init__(self, state: State, endpoint: str, config: dict[str, Any]) -> None:
        """Nothing is started yet. ``config`` is an endpoint configuration."""
        self.config = config
        self._state = state
        self._endpoint = endpoint
        self._lock = threading.Lock()
        self.variants = [self._variant(variant) for variant in config["ProductionVariants"]]

    @property
    def config_name(self) -> str:
        """Name of its endpoint configuration."""
        return str(self.config["EndpointConfigName"])

    def retain(self, old: "Fleet", excluded: set[str]) -> None:
        """Take over what RetainAllVariantProperties keeps of the variants of the same name."""
        before = {variant.name: variant for variant in old.variants}
        for variant in self.variants:
            kept = before.get(variant.name)
            if kept is None:
                continue
            if "DesiredWeight" not in excluded:
                variant.weight = kept.weight
            if "DesiredInstanceCount" not in excluded and not variant.serverless:
                variant.instances = kept.instances or variant.instances
        if "DataCaptureConfig" not in excluded:
            capture = old.config.get("DataCaptureConfig")
            self.config = {**self.config, "DataCaptureConfig": capture}

    def start(self) -> None:
        """Start every container and wait until it is healthy.

        Raises:
            FleetFailed: one is not; all are stopped again.
        """
        try:
            for variant in self.variants:
                self._start(variant)
            for variant in self.variants:
                self._await_healthy(variant)
        except Exception:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop every container."""
        for variant in self.variants:
            if variant.process is not None and variant.process.poll() is None:
                variant.process.terminate(_STOP_S)
            if variant.client is not None:
                variant.client.close()
            variant.stream.close()

    def pick(self, target: str | None) -> Variant | None:
        """The variant for the next request: ``target``, or in turns by weight."""
        with self._lock:
            if target:
                return next((v for v in self.variants if v.name == target), None)
            total = sum(variant.weight for variant in self.variants) or 1.0
            for variant in self.variants:
                variant.owed += variant.weight / total
            chosen = max(self.variants, key=lambda variant: variant.owed)
            chosen.owed -= 1
            return chosen

    def summary(self, status: str | None = None) -> list[dict[str, Any]]:
        """ProductionVariants of DescribeEndpoint."""
        return [variant.summary(status) for variant in self.variants]

    def _variant(self, config: dict[str, Any]) -> Variant:
        name = config["VariantName"]
        model = self._model(config)
        group = f"/aws/sagemaker/Endpoints/{self._endpoint}"
        return Variant(
            name=name,
            config=config,
            image=model["PrimaryContainer"]["Image"],
            weight=float(config.get("InitialVariantWeight", 1.0)),
            instances=int(config.get("InitialInstanceCount", 0)),
            stream=LogStream(self._state, group, f"{name}/i-{next(_numbers):017x}"),
        )

    def _model(self, config: dict[str, Any]) -> dict[str, Any]:
        model: dict[str, Any] | None = self._state.table("model").get(config["ModelName"])
        if model is None:
            arn = self._state.arn("model", config["ModelName"])
            raise FleetFailed(f'Could not find model "{arn}".')
        return model

    def _start(self, variant: Variant) -> None:
        container = self._model(variant.config)["PrimaryContainer"]
        root = self._state.folder / "endpoints" / f"{self._endpoint}-{next(_numbers)}"
        _unpack(container["ModelDataUrl"], root)
        port = free_port()
        variant.client = httpx.Client(
            base_url=f"http://127.0.0.1:{port}",
            timeout=_INVOCATION_TIMEOUT_S,
            trust_env=False,
            # Without TLS; reading the certificates takes 20 ms of CPU.
            verify=False,
        )
        variant.process = self._state.processes.start(
            self._state.image_command(["serve"]),
            cwd=root,
            environ={
                **self._state.container_environ(root),
                **container.get("Environment", {}),
                "SAGEMAKER_BIND_TO_PORT": str(port),
            },
            sink=variant.stream.line,
        )

    def _await_healthy(self, variant: Variant) -> None:
        assert variant.process is not None
        assert variant.client is not None
        ill = self._state.faults.take("unhealthy", endpoint=self._endpoint) is not None
        deadline = time.monotonic() + (2.0 if ill else HEALTH_CHECK_S)
        while time.monotonic() < deadline and variant.process.poll() is None:
            try:
                ping = variant.client.get("/ping", timeout=_PING_TIMEOUT_S)
                if ping.status_code == httpx.codes.OK and not ill:
                    return
            except httpx.HTTPError:
                pass
            time.sleep(_PING_EVERY_S)
        raise FleetFailed(
            f"The primary container for production variant {variant.name} did not pass the ping "
            "health check. Please check CloudWatch logs for this endpoint."
        )


def _unpack(url: str, root: Path) -> None:
    """Fetch a model.tar.gz and unpack it where a container looks for it."""
    (root / "model").mkdir(parents=True)
    archive = root / "model.tar.gz"
    try:
        archive.write_bytes(storage.get(url))
        with tarfile.open(archive) as tar:
            tar.extractall(root / "model", filter="data")
    except (storage.DownloadFailed, OSError, tarfile.TarError) as error:
        raise FleetFailed(
            f'Failed to download model data for container "container_1" from URL: "{url}". Please '
            "ensure that there is an object located at the URL and that the role passed to "
            "CreateModel has permissions to download the model."
        ) from error
    archive.unlink()
