"""The store in a bucket: what only S3 can do wrong, and who it is asked as."""

import os
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from resources.aws import s3_access
from resources.object_store import MARKER, ObjectStore
from resources.store_errors import KeyMissing, StoreError, StoreMissing, StoreUnwritable
from tests.testbed.bed import TestBed

pytestmark = pytest.mark.contract

KMS_KEY = "arn:aws:kms:us-east-1:123456789012:key/0123"


@pytest.fixture
def name(aws_environment: TestBed) -> str:
    return aws_environment.bucket()


@pytest.fixture
def store(name: str) -> ObjectStore:
    store = ObjectStore(url=f"s3://{name}/line")
    store.ensure()
    return store


@pytest.fixture
def s3(aws_environment: TestBed) -> Any:
    return aws_environment.client("s3")


# --- keys and listings ----------------------------------------------------------------------


def test_stores_share_a_bucket_by_prefix(name: str, s3: Any) -> None:
    stores = [ObjectStore(url=f"s3://{name}{prefix}") for prefix in ("", "/line", "/line-2/deep")]
    for number, store in enumerate(stores):
        store.ensure()
        store.put("a/b", b"%d" % number)
    keys = [item["Key"] for item in s3.list_objects_v2(Bucket=name)["Contents"]]
    places = ("", "line/", "line-2/deep/")
    assert sorted(keys) == sorted(f"{place}{key}" for place in places for key in (MARKER, "a/b"))
    assert [store.get("a/b") for store in stores] == [b"0", b"1", b"2"]
    assert [info.key for info in stores[1].list("")] == [MARKER, "a/b"]
    assert stores[1].uri("a/b") == f"s3://{name}/line/a/b"
    assert stores[1].local_path("a/b") is None


def test_one_impossible_key_does_not_hide_the_others(store: ObjectStore, s3: Any) -> None:
    name = store.url.split("/")[2]
    good = ["raw/%41 b+c.jpg", "raw/d?e=f&g.jpg", "raw/ü #1", "raw/.hidden/a..b", "raw/日本.jpg"]
    bad = ["raw/a//b.jpg", "raw/tab\there.jpg", "raw/./c.jpg", "raw/../d.jpg", "raw/full/"]
    for key in [*good, *bad]:
        s3.put_object(Bucket=name, Key=f"line/{key}", Body=key.encode())
    for marker in ("raw/", "raw/folder/"):  # as the console makes them
        s3.put_object(Bucket=name, Key=f"line/{marker}", Body=b"")
    listed = store.list("raw")
    assert [info.key for info in listed] == sorted(good)
    for info in listed:
        assert store.get(info.key) == info.key.encode()
        assert store.head(info.key).etag == info.etag
    told = dict(store.unusable("raw"))
    assert set(told) == {*bad[:1], "raw/tab\\there.jpg", *bad[2:]}
    assert all("rename" in reason for reason in told.values())


def test_more_than_a_page_is_listed_in_order(store: ObjectStore, aws_environment: TestBed) -> None:
    keys = [f"raw/{number:05d}" for number in range(1050)]
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda key: store.put(key, b""), keys))
    assert [info.key for info in store.list("raw")] == keys
    assert [info.key for info in store.list("raw", start_after=keys[1000])] == keys[1001:]
    before = len(aws_environment.calls("ListObjectsV2"))
    rows, done = store.window("raw", keys[9], 900)
    assert (rows["key"].to_pylist(), done) == (keys[10:910], False)
    assert len(aws_environment.calls("ListObjectsV2")) == before + 1
    store.delete_all(keys)
    assert store.list("raw") == []


def test_two_writes_in_one_second_are_told_apart(store: ObjectStore, s3: Any) -> None:
    place = {"Bucket": store.url.split("/")[2], "Key": "line/raw/a.jpg"}
    s3.put_object(**place, Body=b"1")
    first = store.head("raw/a.jpg")
    s3.put_object(**place, Body=b"2")
    second = store.head("raw/a.jpg")
    assert first.etag != second.etag
    assert store.list("raw") == [second]


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two tries of every request."""
    monkeypatch.setattr(s3_access, "MAX_ATTEMPTS", 2)


# --- writes ---------------------------------------------------------------------------------


def test_encryption_is_asked_for_with_every_new_object(name: str, s3: Any, tmp_path: Path) -> None:
    store = ObjectStore(url=f"s3://{name}", kms_key_arn=KMS_KEY)
    big = tmp_path / "big"
    big.write_bytes(bytes(17 << 20))
    store.put("small", b"1")
    store.put("big", big)
    store.copy_object("small", "copy")
    for key in ("small", "big", "copy"):
        head = s3.head_object(Bucket=name, Key=key)
        assert (head["ServerSideEncryption"], head["SSEKMSKeyId"]) == ("aws:kms", KMS_KEY)
    plain = ObjectStore(url=f"s3://{name}")
    plain.put("plain", b"1")
    assert s3.head_object(Bucket=name, Key="plain").get("SSEKMSKeyId") is None


@pytest.mark.parametrize("operation", ["PutObject", "CompleteMultipartUpload", "CopyObject"])
def test_a_write_whose_answer_was_lost_is_known_as_ours(
    store: ObjectStore, aws_environment: TestBed, operation: str
) -> None:
    """Its retry is told that the key is taken: by itself."""
    store.put("source", b"1")
    aws_environment.fault(operation, "lost")
    if operation == "CopyObject":
        assert store.copy_object("source", "a/b")
        assert not store.copy_object("source", "a/b")
        return
    data = bytes(17 << 20) if operation == "CompleteMultipartUpload" else b"1"
    assert store.create("a/b", data)
    assert not store.create("a/b", data)


def test_of_racing_big_writes_one_wins(
    store: ObjectStore, aws_environment: TestBed, s3: Any
) -> None:
    aws_environment.fault("CompleteMultipartUpload", "slow", seconds=1.5)
    datas = [b"%d" % number * (17 << 20) for number in range(2)]
    with ThreadPoolExecutor(2) as pool:
        won = list(pool.map(lambda data: store.create("a/big", data), datas))
    assert sorted(won) == [False, True]
    assert store.get("a/big") == datas[won.index(True)]
    assert not s3.list_multipart_uploads(Bucket=store.url.split("/")[2]).get("Uploads")


@pytest.mark.usefixtures("impatient")
def test_a_failed_big_write_leaves_nothing(
    store: ObjectStore, aws_environment: TestBed, s3: Any
) -> None:
    aws_environment.fault("UploadPart", "error500", times=-1)
    with pytest.raises(StoreError, match="a/big"):
        store.create("a/big", bytes(17 << 20))
    aws_environment.clear_faults()
    assert not store.exists("a/big")
    assert not s3.list_multipart_uploads(Bucket=store.url.split("/")[2]).get("Uploads")


def test_a_big_file_goes_up_and_down_in_little_memory(store: ObjectStore, tmp_path: Path) -> None:
    size = 160 << 20
    with (tmp_path / "big").open("wb") as file:
        file.truncate(size)
    code = f"""
        import resource
        from pathlib import Path
        from resources.object_store import ObjectStore
        store = ObjectStore(url={store.url!r})
        store.put("warm", bytes(17 << 20))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        store.put("big", Path({str(tmp_path / "big")!r}))
        store.download("big", Path({str(tmp_path / "back")!r}))
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 120_000  # kB
    assert (tmp_path / "back").stat().st_size == size


# --- faults ---------------------------------------------------------------------------------

ACTS: dict[str, tuple[str, Callable[[ObjectStore], Any]]] = {
    "get": ("GetObject", lambda store: store.get("a")),
    "head": ("HeadObject", lambda store: store.head("a")),
    "list": ("ListObjectsV2", lambda store: store.list("")),
    "put": ("PutObject", lambda store: store.put("new", b"1")),
    "delete": ("s3", lambda store: store.delete("a")),
    "copy": ("CopyObject", lambda store: store.copy_object("a", "b")),
}


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("kind", ["throttle", "error500", "lost"])
def test_a_passing_fault_is_got_over(
    store: ObjectStore, aws_environment: TestBed, act: str, kind: str
) -> None:
    store.put("a", b"1")
    operation, do = ACTS[act]
    aws_environment.fault(operation, kind, **({"when": "before"} if kind == "lost" else {}))
    do(store)


class Refusing(ThreadingHTTPServer):
    """Answers everything with ``answer``: status, body, headers. Remembers what it was sent."""

    daemon_threads = True
    answer: tuple[int, bytes] = (200, b"")
    by_path: dict[str, bytes]
    seen: list[tuple[str, str, dict[str, str]]]


class _Handler(BaseHTTPRequestHandler):
    server: Refusing

    def _do(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = unquote(self.path)
        self.server.seen.append((self.command, path, dict(self.headers.items())))
        status, body = self.server.answer
        if path in self.server.by_path:
            status, body = 200, self.server.by_path[path]
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Type", "application/xml")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = _do

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def refusing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Refusing]:
    for variable in [key for key in os.environ if key.startswith("AWS_")]:
        monkeypatch.delenv(variable)
    server = Refusing(("127.0.0.1", 0), _Handler)
    server.seen, server.by_path = [], {}
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for variable in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(variable, str(tmp_path / variable))
    yield server
    server.shutdown()


@pytest.fixture
def keyed(refusing: Refusing, monkeypatch: pytest.MonkeyPatch) -> Refusing:
    """With credentials."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIATESTING")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    return refusing


REFUSALS = {
    "AccessDenied": (403, "", "{permission} on it"),
    "ExpiredToken": (400, "", "sign in again"),
    "InvalidAccessKeyId": (403, "", "credentials are wrong"),
    "RequestTimeTooSkewed": (403, "", "clock is wrong"),
    "AuthorizationHeaderMalformed": (400, "<Region>eu-central-1</Region>", "in eu-central-1"),
    "PermanentRedirect": (301, "", "another region: set aws.region"),
    "NoSuchBucket": (404, "", "no such bucket"),
    "KMS.DisabledException": (400, "", "KMS key"),
}
ELSEWHERE = ("AuthorizationHeaderMalformed", "PermanentRedirect")
PERMISSIONS = {"get": "s3:GetObject", "head": "s3:GetObject", "list": "s3:ListBucket"}


@pytest.mark.parametrize(
    ("act", "code"),
    [
        (act, code)
        for act in ("get", "head", "list", "put")
        for code in REFUSALS
        if (act, code) != ("head", "NoSuchBucket")  # the answer to a HEAD has no code
        and (act != "list" or code not in ELSEWHERE)  # boto3 goes to the right region itself
    ],
)
def test_a_refusal_is_told_with_key_and_remedy(keyed: Refusing, act: str, code: str) -> None:
    status, more, remedy = REFUSALS[code]
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>Words.</Message>{more}</Error>"
    keyed.answer = (status, body.encode())
    store = ObjectStore(url="s3://bucket/line")
    with pytest.raises(StoreError) as caught:
        ACTS[act][1](store)
    text = str(caught.value)
    assert remedy.format(permission=PERMISSIONS.get(act, "s3:PutObject")) in text
    assert text.startswith("s3://bucket/line")
    assert "\n" not in text
    missing, unwritable = code == "NoSuchBucket", code in ("AccessDenied", "KMS.DisabledException")
    assert isinstance(caught.value, StoreMissing) == missing
    assert isinstance(caught.value, StoreUnwritable) == (act == "put" and unwritable)
    assert not isinstance(caught.value, KeyMissing)


def test_a_bucket_that_is_no_store_is_not_an_empty_one(name: str) -> None:
    with pytest.raises(StoreMissing, match="aws.prefix"):
        ObjectStore(url=f"s3://{name}/mistyped").list("raw")
    with pytest.raises(StoreMissing, match="no such bucket"):
        ObjectStore(url="s3://no-such-bucket-at-all").require()


@pytest.mark.usefixtures("impatient")
def test_a_server_that_is_not_there_is_told(
    keyed: Refusing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    for act in ("get", "list"):
        with pytest.raises(StoreError, match="no answer.*AWS_ENDPOINT_URL"):
            ACTS[act][1](ObjectStore(url="s3://bucket"))


# --- who asks -------------------------------------------------------------------------------

LISTING = b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>"


def askers(server: Refusing) -> set[tuple[str, str]]:
    """Access keys and tokens of the requests that were signed."""
    return {
        (headers["authorization"].split("Credential=")[1].split("/")[0], headers.get("token", ""))
        for headers in (
            {key.lower().removeprefix("x-amz-security-"): text for key, text in sent.items()}
            for _, _, sent in server.seen
        )
        if "Credential=" in headers.get("authorization", "")
    }


def ask(server: Refusing, **fields: Any) -> None:
    """Through obstore and through boto3."""
    server.answer = (200, LISTING)
    store = ObjectStore(url="s3://bucket", **fields)
    store.get(MARKER)
    store.list("raw")


def test_variables_with_a_session_token(keyed: Refusing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SESSION_TOKEN", "a-token")
    ask(keyed)
    assert askers(keyed) == {("AKIATESTING", "a-token")}


def test_a_service_endpoint_goes_before_the_general_one(
    keyed: Refusing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", os.environ["AWS_ENDPOINT_URL"])
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    ask(keyed)
    assert askers(keyed) == {("AKIATESTING", "")}


@pytest.mark.parametrize("named_by", ["field", "AWS_PROFILE"])
def test_a_profile_with_its_region(
    refusing: Refusing, monkeypatch: pytest.MonkeyPatch, named_by: str
) -> None:
    config = Path(os.environ["AWS_CONFIG_FILE"])
    config.write_text(
        "[profile work]\nregion = eu-central-1\naws_access_key_id = AKIAWORK\n"
        "aws_secret_access_key = s\naws_session_token = t\n"
    )
    if named_by == "field":  # goes before the variables
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAOTHER")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s")
        ask(refusing, profile_name="work")
    else:
        monkeypatch.setenv("AWS_PROFILE", "work")
        ask(refusing)
    assert askers(refusing) == {("AKIAWORK", "t")}
    assert all(
        "eu-central-1" in sent["Authorization" if "Authorization" in sent else "authorization"]
        for _, _, sent in refusing.seen
    )


def test_the_role_of_a_container(refusing: Refusing, monkeypatch: pytest.MonkeyPatch) -> None:
    refusing.by_path["/credentials"] = (
        b'{"AccessKeyId": "AKIAROLE", "SecretAccessKey": "s", "Token": "t",'
        b' "Expiration": "2099-01-01T00:00:00Z"}'
    )
    address = f"http://127.0.0.1:{refusing.server_port}/credentials"
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", address)
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    ask(refusing)
    assert askers(refusing) == {("AKIAROLE", "t")}


def test_nobody_is_told_to_sign_in(refusing: Refusing) -> None:
    for fields in ({}, {"profile_name": "no-such"}):
        with pytest.raises(StoreError, match="no AWS credentials: sign in"):
            ask(refusing, **fields)
    assert refusing.seen == []
