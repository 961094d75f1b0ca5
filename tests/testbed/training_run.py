"""Training jobs: what happens on their instances.

States: https://docs.aws.amazon.com/sagemaker/latest/dg/model-managed-spot-training-status.html
Layout: https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-training-algo-running-container.html
"""

import logging
import time
from pathlib import Path
from typing import Any

from tests.testbed import storage
from tests.testbed.checkpoints import Checkpoints
from tests.testbed.jobs import (
    CAPACITY,
    INTERNAL,
    POLL_S,
    REASON_CHARACTERS,
    Hosts,
    Job,
    reason,
    resource_config,
    write_json,
)
from tests.testbed.metrics import Metrics
from tests.testbed.role_sessions import session_keys
from tests.testbed.state import State, now

logger = logging.getLogger(__name__)

LOG_GROUP = "/aws/sagemaker/TrainingJobs"


class TrainingJob(Job):
    """A training job; ``run`` is its life."""

    def __init__(self, state: State, name: str, request: dict[str, Any]) -> None:
        """Created, not started."""
        super().__init__(state, "training-job", name, request)
        self.secondary = ""
        self.transitions: list[dict[str, Any]] = []
        self.metrics = Metrics(request["AlgorithmSpecification"].get("MetricDefinitions", []))
        self.tuning_job = ""
        self.reused_by = ""
        self.reused_at: Any = None
        self.output_url = (
            request["OutputDataConfig"]["S3OutputPath"].rstrip("/") + f"/{name}/output"
        )
        packed = request["OutputDataConfig"].get("CompressionType", "GZIP") == "GZIP"
        self.model_url = f"{self.output_url}/model" + (".tar.gz" if packed else "/")
        self._packed = packed
        stopping = request["StoppingCondition"]
        self._runtime_s = stopping.get("MaxRuntimeInSeconds", 24 * 3600)
        self._wait_s = stopping.get("MaxWaitTimeInSeconds", float("inf"))
        self._retries = request.get("RetryStrategy", {}).get("MaximumRetryAttempts", 0)
        self._spot = request.get("EnableManagedSpotTraining", False)
        self._ran_s = 0.0
        self._enter("Starting", "Starting the training job")

    def stop(self) -> None:
        """Have it stop; the caller holds the lock."""
        if not self.stop_asked.is_set():
            self.status = "Stopping"
            self._enter("Stopping", "Stopping the training job")
            self.stop_asked.set()

    def run(self) -> None:
        """Attempt after attempt, until one of them is final; in the role's name."""
        storage.acting.set(self.request["RoleArn"])
        try:
            attempt = 1
            while not self._attempt(attempt):
                attempt += 1
        except storage.DownloadFailed as error:
            self._end("Failed", failure=f"ClientError: Data download failed:{error}")
        except Exception:
            logger.exception("training job %s", self.name)
            self._end("Failed", failure=INTERNAL)

    def _attempt(self, number: int) -> bool:
        """Whether it was the last one."""
        if number > 1:
            self._enter("Starting", "Starting the training job")
        if not self._got_capacity():
            return True
        self._say("Preparing the instances for training")
        hosts = Hosts(
            self.state, self.folder / str(number), self.request["ResourceConfig"]["InstanceCount"]
        )
        self.began = self.began or now()
        self._enter("Downloading", "Downloading input data")
        checkpoints = Checkpoints(self.request.get("CheckpointConfig"), hosts.roots)
        self._lay_out(hosts)
        checkpoints.restore()
        self._enter("Training", "Training image download completed. Training in progress.")
        algorithm = self.request["AlgorithmSpecification"]
        arguments = algorithm.get("ContainerArguments", [])
        entrypoint = algorithm.get("ContainerEntrypoint")
        command = (
            [*entrypoint, *arguments]
            if entrypoint
            else self.state.image_command(arguments or ["train"])
        )
        try:
            hosts.start(command, self._environ(), LOG_GROUP, self.name, self.metrics.line)
            why, code = self._watch(hosts, checkpoints)
        except FileNotFoundError as error:
            why, code = "exited", 127
            logger.warning("training job %s: %s", self.name, error)
        finally:
            hosts.close()
        return self._conclude(why, code, hosts, checkpoints)

    def _environ(self) -> dict[str, str]:
        return {
            "TRAINING_JOB_NAME": self.name,
            "TRAINING_JOB_ARN": self.arn,
            **session_keys(self.request["RoleArn"], self.state.region),
            **self.request.get("Environment", {}),
        }

    # --- stages -----------------------------------------------------------------------------

    def _got_capacity(self) -> bool:
        """Whether there are instances; if not, the job has ended."""
        if self.stop_asked.is_set():
            self._end("Stopped")
            return False
        fault = self.state.faults.take("capacity", job=self.name)
        if fault is None:
            return True
        if not self._spot:
            self._end("Failed", failure=CAPACITY)
            return False
        self._say("Insufficient capacity error from EC2 while launching instances, retrying!")
        until = time.time() + float(fault.options.get("seconds", float("inf")))
        scale = float(fault.options.get("time_scale", 1))
        while time.time() < until:
            if self.stop_asked.wait(POLL_S):
                self._end("Stopped")
                return False
            if self._waited_too_long(scale):
                self._end("Stopped", secondary="MaxWaitTimeExceeded")
                return False
        return True

    def _lay_out(self, hosts: Hosts) -> None:
        channels = self.request.get("InputDataConfig", [])
        inputs = {
            channel["ChannelName"]: {
                "TrainingInputMode": channel.get("InputMode", "File"),
                "S3DistributionType": channel["DataSource"]["S3DataSource"].get(
                    "S3DataDistributionType", "FullyReplicated"
                ),
                "RecordWrapperType": channel.get("RecordWrapperType", "None"),
            }
            for channel in channels
        }
        count = len(hosts.roots)
        for number, root in enumerate(hosts.roots):
            config = root / "input" / "config"
            write_json(config / "hyperparameters.json", self.request.get("HyperParameters", {}))
            write_json(config / "inputdataconfig.json", inputs)
            instance_type = self.request["ResourceConfig"]["InstanceType"]
            write_json(
                config / "resourceconfig.json", resource_config(hosts, number, instance_type)
            )
            for folder in ("model", "output/data", "input/data"):
                (root / folder).mkdir(parents=True)
            for channel in channels:
                source = channel["DataSource"]["S3DataSource"]
                objects = list(storage.source_objects(source))
                if source.get("S3DataDistributionType") == "ShardedByS3Key":
                    objects = objects[number::count]
                storage.download(objects, root / "input" / "data" / channel["ChannelName"])

    def _watch(self, hosts: Hosts, checkpoints: Checkpoints) -> tuple[str, int]:
        """Wait for the end of the containers: (why, exit code)."""
        started = time.time()
        try:
            while True:
                code = hosts.poll()
                if code is not None:
                    return "exited", code
                if self.stop_asked.is_set():
                    return "stopped", hosts.terminate()
                elapsed = time.time() - started
                if self._ran_s + elapsed > self._runtime_s:
                    return "MaxRuntimeExceeded", hosts.terminate()
                if self._waited_too_long(scale=1):
                    return "MaxWaitTimeExceeded", hosts.terminate()
                checkpoints.sync()
                if self._spot and self._is_interrupted(elapsed, checkpoints):
                    hosts.kill()
                    return "interrupted", 137
                if self.state.faults.take("internal", job=self.name):
                    hosts.kill()
                    return "internal", 137
                time.sleep(POLL_S)
        finally:
            self._ran_s += time.time() - started

    def _is_interrupted(self, elapsed: float, checkpoints: Checkpoints) -> bool:
        fault = self.state.faults.find("spot_interruption", job=self.name)
        if fault is None or elapsed < float(fault.options.get("after_s", 0)):
            return False
        if fault.options.get("checkpoint", checkpoints.configured) and not checkpoints.synced:
            return False
        return self.state.faults.take("spot_interruption", job=self.name) is not None

    def _conclude(self, why: str, code: int, hosts: Hosts, checkpoints: Checkpoints) -> bool:
        if why == "interrupted":
            self._enter("Interrupted", "Training job interrupted")
            return False
        if why == "internal":
            if self._retries == 0:
                self._end("Failed", failure=INTERNAL)
                return True
            self._retries -= 1
            self._enter("Restarting", "Restarting the training job")
            return False
        checkpoints.sync(last=True)
        failed = why == "exited" and code != 0
        if why == "exited":
            self._enter("Uploading", "Uploading generated training model")
        elif why != "stopped":
            with self.state.lock:
                self.status = "Stopping"
                self._enter("Stopping", "Stopping the training job")
        try:
            self._upload(hosts, with_model=not failed)
        except storage.DownloadFailed as error:
            self._end("Failed", failure=f"ClientError: Artifact upload failed:{error}")
            return True
        if failed:
            self._end("Failed", failure=reason(_failure_file(hosts), code))
        elif why == "exited":
            self._end("Completed")
        else:
            self._end("Stopped", secondary="Stopped" if why == "stopped" else why)
        return True

    def _upload(self, hosts: Hosts, *, with_model: bool) -> None:
        models = [root / "model" for root in hosts.roots]
        outputs = [root / "output" / "data" for root in hosts.roots]
        for name, folders in (("model", models), ("output", outputs)):
            if name == "model" and not with_model:
                continue
            if name == "output" and not any(storage.files(folder) for folder in folders):
                continue
            if self._packed:
                storage.put(f"{self.output_url}/{name}.tar.gz", storage.archive(folders))
                continue
            for folder in folders:
                storage.upload(folder, f"{self.output_url}/{name}")

    # --- states -----------------------------------------------------------------------------

    def _waited_too_long(self, scale: float) -> bool:
        return scale * (time.time() - self.created.timestamp()) > self._wait_s

    def _enter(self, secondary: str, message: str) -> None:
        with self.state.lock:
            moment = now()
            if self.transitions:
                self.transitions[-1].setdefault("EndTime", moment)
            self.secondary = secondary
            self.transitions.append(
                {"Status": secondary, "StartTime": moment, "StatusMessage": message}
            )
            self.modified = moment

    def _say(self, message: str) -> None:
        with self.state.lock:
            self.transitions[-1]["StatusMessage"] = message
            self.touch()

    def _end(self, status: str, *, secondary: str = "", failure: str = "") -> None:
        messages = {
            "Completed": "Training job completed",
            "Failed": "Training job failed",
            "Stopped": "Training job stopped",
        }
        with self.state.lock:
            self._enter(secondary or status, messages[status])
            self.transitions[-1]["EndTime"] = now()
            self.status = status
            self.failure = failure[:REASON_CHARACTERS]
            self.ended = now()


def _failure_file(hosts: Hosts) -> str:
    path: Path = hosts.roots[hosts.failed] / "output" / "failure"
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
