"""The test bed leaves nothing behind, however it ends, and S3 behind its server is sound."""

import io
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import obstore
import psutil
import pytest
from obstore.exceptions import AlreadyExistsError
from obstore.store import from_url

from tests.patience import wait_for
from tests.testbed.bed import REPOSITORY, TestBed
from tests.testbed.examples import training_request, wait_training

pytestmark = pytest.mark.contract

_SESSION = """
import sys, time
from pathlib import Path
from tests.testbed.bed import start_bed
from tests.testbed.examples import training_request, wait_training
bed = start_bed(Path(sys.argv[1]))
code = "import subprocess; subprocess.Popen(['sleep', '3600']); time.sleep(3600)"
bed.client("sagemaker").create_training_job(**training_request(bed, "orphan", code))
wait_training(bed, "orphan", ("Training",))
print("ready", flush=True)
time.sleep(3600)
"""


def _of(folder: Path, but: int = 0) -> list[psutil.Process]:
    """Processes that have to do with a bed's folder, by command line, directory or environment."""
    found = []
    for process in psutil.process_iter():
        try:
            facts = " ".join(process.cmdline()) + process.cwd() + str(process.environ())
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            continue
        if str(folder) in facts and process.pid != but:
            found.append(process)
    return found


@pytest.mark.parametrize("victim", ["session", "bed"])
def test_nothing_outlives_a_killed_session(tmp_path: Path, victim: str) -> None:
    folder = tmp_path / "bed"
    session = subprocess.Popen(
        [sys.executable, "-c", _SESSION, str(folder)],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert session.stdout is not None
        assert session.stdout.readline() == "ready\n"
        wait_for(lambda: len(_of(folder)) >= 4)  # session, bed, container, its child
        running = _of(folder)
        server = next(p for p in running if "tests.testbed" in p.cmdline())
        (session if victim == "session" else server).send_signal(signal.SIGKILL)
        others = partial(_of, folder, but=session.pid)
        wait_for(lambda: not others(), lambda: [p.cmdline() for p in others()])
    finally:
        session.kill()
        session.wait()
        session.stdout.close()


def test_stop_ends_the_containers(tmp_path: Path) -> None:
    bed = TestBed(tmp_path / "bed").start()
    code = "import signal; signal.signal(15, signal.SIG_IGN); time.sleep(3600)"
    try:
        bed.client("sagemaker").create_training_job(**training_request(bed, "runs", code))
        wait_training(bed, "runs", ("Training",))
    finally:
        bed.stop()
    wait_for(lambda: not _of(bed.folder))


def test_s3_takes_what_clients_send(bed: TestBed, aws_environment: TestBed) -> None:
    bucket = bed.bucket()
    store = from_url(f"s3://{bucket}/p")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: obstore.put(store, f"k/{i:03d}", b"%d" % i), range(200)))
        read = list(pool.map(lambda i: bytes(obstore.get(store, f"k/{i:03d}").bytes()), range(200)))
    assert read == [b"%d" % i for i in range(200)]
    big = os.urandom(12_000_000)
    obstore.put(store, "big", io.BytesIO(big), chunk_size=5 * 2**20)
    s3 = bed.client("s3")
    assert s3.get_object(Bucket=bucket, Key="p/big")["Body"].read() == big
    assert bytes(obstore.get_range(store, "big", start=10, length=5)) == big[10:15]
    began = time.monotonic()
    for number in range(20):  # with Expect: 100-continue
        s3.put_object(Bucket=bucket, Key=f"boto/{number}", Body=io.BytesIO(b"x"))
    # A client waits a second for an answer that does not come, and sends the body then.
    assert (time.monotonic() - began) / 20 < 0.9
    s3.put_object(Bucket=bucket, Key="ü/a b+c.png", Body=b"", Metadata={"a_b": "c"})
    assert s3.head_object(Bucket=bucket, Key="ü/a b+c.png")["Metadata"] == {"a_b": "c"}
    names = {
        call["operation"] for call in bed.calls("s3") if call["request"].get("Bucket") == bucket
    }
    assert {"PutObject", "GetObject", "UploadPart", "CompleteMultipartUpload"} <= names


def test_one_of_many_writers_creates_a_key(bed: TestBed, aws_environment: TestBed) -> None:
    store = from_url(f"s3://{bed.bucket()}/")

    def create(number: int) -> bool:
        try:
            obstore.put(store, "race", b"%d" % number, mode="create")
        except AlreadyExistsError:
            return False
        return True

    with ThreadPoolExecutor(16) as pool:
        assert sum(pool.map(create, range(32))) == 1
