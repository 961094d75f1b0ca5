"""Stand-ins for AWS, each a process that ends with its context."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

from benchmarks.processes import BenchmarkFailed


@contextmanager
def fast_s3(*, made: int = 0, latency_ms: float = 5.0) -> Iterator[str]:
    """Run ``benchmarks.s3_server``; yield its URL."""
    options = ["--made", str(made), "--latency-ms", str(latency_ms)]
    command = [sys.executable, "-m", "benchmarks.s3_server", *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        port = process.stdout.readline().strip()
        if not port:
            raise BenchmarkFailed("benchmarks.s3_server does not start")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


@contextmanager
def moto() -> Iterator[str]:
    """Run moto's server; yield its URL."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 60
        while not _answers(port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise BenchmarkFailed("moto's server does not start: is moto[server] installed?")
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


@contextmanager
def aws_variables(**urls: str) -> Iterator[None]:
    """Set variables that direct boto3 and obstore to ``urls`` (by service), here and in child
    processes."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith("AWS_")}
    variables = {f"AWS_ENDPOINT_URL_{service.upper()}": url for service, url in urls.items()}
    keys = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing"}
    region = {"AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "us-east-1"}
    with patch.dict(os.environ, {**kept, **variables, **keys, **region}, clear=True):
        yield


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
