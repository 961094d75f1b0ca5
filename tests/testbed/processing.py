"""Processing jobs: their API and what happens on their instances.

Layout: https://docs.aws.amazon.com/sagemaker/latest/dg/build-your-own-processing-container.html
ExitMessage: https://docs.aws.amazon.com/sagemaker/latest/dg/byoc-metadata.html
"""

import logging
import time
from pathlib import Path
from typing import Any

from tests.testbed import storage
from tests.testbed.jobs import (
    CAPACITY,
    INTERNAL,
    POLL_S,
    REASON_CHARACTERS,
    Hosts,
    Job,
    check_role,
    find,
    inside,
    reason,
    require_running,
    resource_config,
    write_json,
)
from tests.testbed.listing import page
from tests.testbed.role_sessions import session_keys
from tests.testbed.state import ApiError, State, now

logger = logging.getLogger(__name__)

LOG_GROUP = "/aws/sagemaker/ProcessingJobs"
_BELOW = "/opt/ml/processing/"
_CONTINUOUS_S = 0.2


class ProcessingJob(Job):
    """A processing job; ``run`` is its life."""

    def __init__(self, state: State, name: str, request: dict[str, Any]) -> None:
        """Created, not started."""
        super().__init__(state, "processing-job", name, request)
        self.exit_message = ""
        self._inputs = [given["S3Input"] for given in request.get("ProcessingInputs", [])]
        config = request.get("ProcessingOutputConfig", {})
        self._outputs = [given["S3Output"] for given in config.get("Outputs", [])]
        self._cluster = request["ProcessingResources"]["ClusterConfig"]
        stopping = request.get("StoppingCondition", {})
        self._runtime_s = stopping.get("MaxRuntimeInSeconds", 24 * 3600)
        self._uploaded: dict[Path, float] = {}

    def stop(self) -> None:
        """Have it stop; the caller holds the lock."""
        self.status = "Stopping"
        self.touch()
        self.stop_asked.set()

    def run(self) -> None:
        """Inputs, containers, outputs; in the role's name."""
        storage.acting.set(self.request["RoleArn"])
        hosts = Hosts(self.state, self.folder, self._cluster["InstanceCount"])
        try:
            if self.state.faults.take("capacity", job=self.name):
                self._end("Failed", CAPACITY)
                return
            self._lay_out(hosts)
            self.began = now()
            why, code = self._run_containers(hosts)
            self.exit_message = _message(hosts)
            if why == "internal":
                self._end("Failed", INTERNAL)
            elif why != "exited":
                self._end("Stopped")
            elif code:
                self._end("Failed", reason("See job logs for more information", code))
            else:
                self._upload(hosts, continuous=False)
                self._end("Completed")
        except storage.DownloadFailed as error:
            self._end("Failed", f"ClientError: {error}")
        except UnicodeDecodeError:
            self._end("Failed", "ClientError: /opt/ml/output/message is not UTF-8")
        except Exception:
            logger.exception("processing job %s", self.name)
            self._end("Failed", INTERNAL)

    def _lay_out(self, hosts: Hosts) -> None:
        job = {"ProcessingJobArn": self.arn, **self.describe_request()}
        for number, root in enumerate(hosts.roots):
            write_json(root / "config" / "processingjobconfig.json", job)
            write_json(
                root / "config" / "resourceconfig.json",
                resource_config(hosts, number, self._cluster["InstanceType"]),
            )
            (root / "output").mkdir()
            for output in self._outputs:
                inside(root, output["LocalPath"]).mkdir(parents=True, exist_ok=True)
            for source in self._inputs:
                objects = list(storage.source_objects(source))
                if source.get("S3DataDistributionType") == "ShardedByS3Key":
                    objects = objects[number :: len(hosts.roots)]
                storage.download(objects, inside(root, source["LocalPath"]))

    def _run_containers(self, hosts: Hosts) -> tuple[str, int]:
        """(Why they ended, exit code)."""
        application = self.request["AppSpecification"]
        arguments = application.get("ContainerArguments", [])
        entrypoint = application.get("ContainerEntrypoint")
        command = [*entrypoint, *arguments] if entrypoint else self.state.image_command(arguments)
        environ = {
            "PROCESSING_JOB_ARN": self.arn,
            **session_keys(self.request["RoleArn"], self.state.region),
            **self.request.get("Environment", {}),
        }
        try:
            hosts.start(command, environ, LOG_GROUP, self.name, lambda line: None)
            return self._watch(hosts)
        except FileNotFoundError as error:
            logger.warning("processing job %s: %s", self.name, error)
            return "exited", 127
        finally:
            hosts.close()

    def _watch(self, hosts: Hosts) -> tuple[str, int]:
        started = uploaded = time.monotonic()
        while True:
            code = hosts.poll()
            if code is not None:
                return "exited", code
            if self.stop_asked.is_set():
                return "stopped", hosts.terminate()
            if time.monotonic() - started > self._runtime_s:
                with self.state.lock:
                    self.stop()
                return "runtime", hosts.terminate()
            if self.state.faults.take("internal", job=self.name):
                hosts.kill()
                return "internal", 137
            if time.monotonic() - uploaded > _CONTINUOUS_S:
                self._upload(hosts, continuous=True)
                uploaded = time.monotonic()
            time.sleep(POLL_S)

    def _upload(self, hosts: Hosts, *, continuous: bool) -> None:
        """All outputs, or what is new in those of UploadMode Continuous."""
        for output in self._outputs:
            if continuous and output["S3UploadMode"] != "Continuous":
                continue
            for root in hosts.roots:
                folder = inside(root, output["LocalPath"])
                for path in storage.files(folder):
                    changed = path.stat().st_mtime
                    if self._uploaded.get(path) == changed:
                        continue
                    relative = path.relative_to(folder).as_posix()
                    storage.put(f"{output['S3Uri'].rstrip('/')}/{relative}", path.read_bytes())
                    self._uploaded[path] = changed

    def _end(self, status: str, failure: str = "") -> None:
        with self.state.lock:
            self.status = status
            self.failure = failure[:REASON_CHARACTERS]
            self.ended = now()
            self.touch()


def _message(hosts: Hosts) -> str:
    """First 1 KB of what the containers left, one after the other."""
    paths = [root / "output" / "message" for root in hosts.roots]
    text = "".join(path.read_text(encoding="utf-8") for path in paths if path.is_file())
    return text[:REASON_CHARACTERS]


# --- the API ------------------------------------------------------------------------------------


def _create(state: State, request: dict[str, Any]) -> dict[str, Any]:
    _check(request)
    name = request["ProcessingJobName"]
    with state.lock:
        jobs = state.table("processing-job")
        if name in jobs:
            raise ApiError(
                "ResourceInUse",
                "Processing job names must be unique within an AWS account and region, and a "
                f"processing job with this name already exists ({jobs[name].arn})",
            )
        job = jobs[name] = ProcessingJob(state, name, request)
        state.tag(job.arn, request.get("Tags"))
    state.thread(job.run)
    return {"ProcessingJobArn": job.arn}


def _check(request: dict[str, Any]) -> None:
    cluster = request["ProcessingResources"]["ClusterConfig"]
    inputs = request.get("ProcessingInputs", [])
    outputs = request.get("ProcessingOutputConfig", {}).get("Outputs", [])
    places = [given.get("S3Input", {}).get("LocalPath", "") for given in inputs]
    places += [given.get("S3Output", {}).get("LocalPath", "") for given in outputs]
    names = [given["InputName"] for given in inputs]
    names += [given["OutputName"] for given in outputs]
    runtime = request.get("StoppingCondition", {}).get("MaxRuntimeInSeconds", 1)
    problems = {
        "ClusterConfig must have InstanceType and InstanceCount": (
            not {"InstanceType", "InstanceCount"} <= cluster.keys()
        ),
        f"LocalPath must be below {_BELOW} (inputs and outputs): {places}": (
            not all(place.startswith(_BELOW) for place in places)
        ),
        f"LocalPath must be unique: {places}": len(set(places)) < len(places),
        f"Input and output names must be unique: {names}": len(set(names)) < len(names),
        "MaxRuntimeInSeconds must not be more than 604800": runtime > 7 * 24 * 3600,
    }
    for problem, holds in problems.items():
        if holds:
            raise ApiError("ValidationException", problem)
    check_role(request["RoleArn"])


def _describe(state: State, request: dict[str, Any]) -> dict[str, Any]:
    with state.lock:
        job = _job(state, request)
        return job.describe_request() | {
            "ProcessingJobArn": job.arn,
            "ProcessingJobStatus": job.status,
            "CreationTime": job.created,
            "LastModifiedTime": job.modified,
            "ProcessingStartTime": job.began,
            "ProcessingEndTime": job.ended,
            "FailureReason": job.failure or None,
            "ExitMessage": job.exit_message or None,
        }


def _stop(state: State, request: dict[str, Any]) -> dict[str, Any]:
    with state.lock:
        job = _job(state, request)
        require_running(job.status, "processing")
        job.stop()
    return {}


def _list(state: State, request: dict[str, Any]) -> dict[str, Any]:
    with state.lock:
        items = [
            {
                "ProcessingJobName": job.name,
                "ProcessingJobArn": job.arn,
                "CreationTime": job.created,
                "ProcessingEndTime": job.ended,
                "LastModifiedTime": job.modified,
                "ProcessingJobStatus": job.status,
                "FailureReason": job.failure or None,
                "ExitMessage": job.exit_message or None,
            }
            for job in state.table("processing-job").values()
        ]
    return page(
        request,
        items,
        member="ProcessingJobSummaries",
        name="ProcessingJobName",
        status="ProcessingJobStatus",
    )


def _job(state: State, request: dict[str, Any]) -> ProcessingJob:
    name = request["ProcessingJobName"]
    message = f"Could not find requested job with name: {name}"
    return find(state, "processing-job", name, message)


OPERATIONS = {
    "CreateProcessingJob": _create,
    "DescribeProcessingJob": _describe,
    "StopProcessingJob": _stop,
    "ListProcessingJobs": _list,
}
