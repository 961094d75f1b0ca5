"""The edge, end to end: deployed by CloudFormation, called over HTTP, its Lambda really running.

ministack carries out the template; behind the Lambda function is our own endpoint host at
SageMaker Runtime's path.
"""

import base64
import http.client
import io
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError, WaiterError
from PIL import Image

from cloudformation import packaging
from cloudformation.edge import handler as edge
from serving.address import read_address
from serving.deployments import DeploymentRecord, record_key
from serving.launch import own_host
from tests.testbed.issuer import Issuer, running_issuer
from tests.testbed.ministack import KEY_ID, REGION, SECRET, running_ministack

pytestmark = pytest.mark.contract

PNG_TYPE = {"content-type": "image/png"}
ORIGIN = "https://app.example.org"


def png(colour: str = "blue") -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (16, 16), colour).save(file, "PNG")
    return file.getvalue()


def data_url(colour: str) -> str:
    return f"data:image/png;base64,{base64.b64encode(png(colour)).decode()}"


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        return dict(json.loads(self.body))

    @property
    def error(self) -> tuple[int, str]:
        """Status and code of an error in the inference contract's form."""
        return self.status, self.json["error"]["code"]

    @property
    def labels(self) -> list[list[str]]:
        """Labels of each prediction, best first."""
        return [[r["label"] for r in p["labels"]] for p in self.json["predictions"]]


def call(
    url: str, body: bytes = b"", headers: dict[str, str] | None = None, method: str = "POST"
) -> Answer:
    """Send a request; the API's own host name is only known to ministack."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection("127.0.0.1", parts.port, timeout=60)
    path = parts.path + (f"?{parts.query}" if parts.query else "")
    try:
        connection.request(method, path, body, {"host": parts.netloc, **(headers or {})})
        answer = connection.getresponse()
        named = {name.lower(): value for name, value in answer.getheaders()}
        return Answer(answer.status, named, answer.read())
    finally:
        connection.close()


def signature(
    url: str, body: bytes, headers: dict[str, str], service: str = "execute-api"
) -> dict[str, str]:
    """The headers, signed (Signature Version 4)."""
    request = AWSRequest("POST", url, headers, body)
    SigV4Auth(Credentials(KEY_ID, SECRET), service, REGION).add_auth(request)
    return dict(request.headers.items())


@dataclass
class Cloud:
    """CloudFormation and what it made."""

    url: str

    def client(self, service: str) -> Any:
        keys = {"aws_access_key_id": KEY_ID, "aws_secret_access_key": SECRET}
        return boto3.client(service, endpoint_url=self.url, region_name=REGION, **keys)

    def deploy(
        self, stack: str, *, kind: str = "CREATE", template: str = "", **parameters: str
    ) -> list[str]:
        """Create or update a stack as ``aws cloudformation deploy`` does: by a change set.

        Returns the resources that changed. Raises WaiterError: it failed, or nothing changes.
        """
        cloudformation = self.client("cloudformation")
        names = {"StackName": stack, "ChangeSetName": f"change-{time.time_ns()}"}
        cloudformation.create_change_set(
            **names,
            ChangeSetType=kind,
            TemplateBody=template or packaging.render("edge.yaml"),
            Parameters=[{"ParameterKey": k, "ParameterValue": v} for k, v in parameters.items()],
            Capabilities=["CAPABILITY_IAM"],
        )
        often = {"Delay": 1, "MaxAttempts": 30}
        cloudformation.get_waiter("change_set_create_complete").wait(**names, WaiterConfig=often)
        changes = cloudformation.describe_change_set(**names)["Changes"]
        cloudformation.execute_change_set(**names)
        done = cloudformation.get_waiter(f"stack_{kind.lower()}_complete")
        done.wait(StackName=stack, WaiterConfig=often)
        return sorted(change["ResourceChange"]["LogicalResourceId"] for change in changes)

    def outputs(self, stack: str) -> dict[str, str]:
        [made] = self.client("cloudformation").describe_stacks(StackName=stack)["Stacks"]
        return {o["OutputKey"]: o["OutputValue"] for o in made["Outputs"]}


@pytest.fixture(scope="module")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Issuer]:
    with running_issuer(tmp_path_factory.mktemp("issuer")) as running:
        yield running


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory, issuer: Issuer) -> Iterator[Cloud]:
    trusted = {"SSL_CERT_FILE": str(issuer.certificate)}
    with running_ministack(tmp_path_factory.mktemp("ministack"), trusted) as url:
        yield Cloud(url)


@pytest.fixture(scope="module")
def runtime_url(
    tmp_path_factory: pytest.TempPathFactory, publish_model: Callable[..., tuple[str, str]]
) -> Iterator[str]:
    """SageMaker Runtime's API with the endpoint shop-prod, and no other."""
    folder = tmp_path_factory.mktemp("host")
    store = folder / "store"
    digest, key = publish_model(store, "train-1")
    record = DeploymentRecord.at(
        time.time_ns() // 1_000_000,
        stage="prod",
        model_version="train-1",
        digest=digest,
        model_key=key,
        deployed_by="me",
        reason="test",
    )
    path = store / record_key(record)
    path.parent.mkdir(parents=True)
    path.write_text(record.model_dump_json())
    address_file = folder / "endpoint.json"
    with own_host(
        store_url=store.as_uri(),
        project="shop",
        address_file=address_file,
        log_file=folder / "host.log",
        start_timeout_s=60,
    ):
        address = read_address(address_file)
        assert address is not None
        yield address.url


@pytest.fixture(scope="module")
def shop(cloud: Cloud, runtime_url: str) -> dict[str, str]:
    """Outputs of the edge of shop-prod, for callers with AWS credentials."""
    cloud.deploy("shop-edge", Project="shop", RuntimeEndpointUrl=runtime_url)
    return cloud.outputs("shop-edge")


@pytest.fixture
def ask(shop: dict[str, str]) -> Callable[..., Answer]:
    """``ask(body, content_type, query)``: POST to the edge of shop-prod, signed."""

    def signed(body: bytes, content_type: str = "image/png", query: str = "") -> Answer:
        url = shop["ApiUrl"] + query
        return call(url, body, signature(url, body, {"content-type": content_type}))

    return signed


def test_only_a_signed_request_is_answered(
    shop: dict[str, str], ask: Callable[..., Answer]
) -> None:
    url = shop["ApiUrl"]
    good = signature(url, png(), PNG_TYPE)
    assert call(url, png(), good).status == 200
    spoilt = good | {"Authorization": good["Authorization"][:-1] + "x"}
    for headers, body in (
        (PNG_TYPE, png()),
        (PNG_TYPE | {"authorization": "Bearer a.b.c"}, png()),
        (good, png("red")),
        (signature(url, png(), PNG_TYPE, "sagemaker"), png()),
        (spoilt, png()),
    ):
        refused = call(url, body, headers)
        assert (refused.status, refused.json) == (403, {"message": "Forbidden"})
    assert call(f"{url}?top_k=1", png(), good).status == 403, "the query is signed, too"


def test_an_image_is_predicted_under_the_requests_id(ask: Callable[..., Answer]) -> None:
    answer = ask(png("blue"))
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.json["model_version"] == "train-1"
    [prediction] = answer.json["predictions"]
    assert prediction["predicted"] == ["blue"]
    assert prediction["prediction_id"] == answer.headers["x-request-id"]


def test_every_form_of_an_image_is_understood(ask: Callable[..., Answer]) -> None:
    b64 = [{"b64": base64.b64encode(png(c)).decode()} for c in ("red", "blue")]
    for body, content_type, best in (
        (data_url("red").encode(), "text/plain;charset=UTF-8", ["red"]),
        (json.dumps({"image": data_url("lime")}).encode(), "application/json", ["green"]),
        (json.dumps({"instances": b64}).encode(), "application/json", ["red", "blue"]),
        (png("blue"), "application/x-image", ["blue"]),
    ):
        answer = ask(body, content_type)
        assert answer.status == 200, answer.body
        assert [labels[0] for labels in answer.labels] == best
        assert {len(labels) for labels in answer.labels} == {3}


def test_top_k_reaches_the_model(ask: Callable[..., Answer]) -> None:
    assert ask(png("red"), query="?top_k=1").labels == [["red"]]
    assert ask(png("red"), query="?top_k=0").error == (400, "bad_request")


def test_refusals_have_the_inference_contracts_form(ask: Callable[..., Answer]) -> None:
    assert ask(b"no image").error == (400, "unreadable_image")
    assert ask(b"{broken", "application/json").error == (400, "bad_json")
    assert ask(b"data:image/png;base64,%", "text/plain").error == (400, "bad_data_url")
    assert ask(b"").error == (400, "empty_body")
    assert ask(png(), "video/mp4").error == (415, "unsupported_media_type")
    assert ask(b"\0" * 4 * 1024**2).error == (400, "unreadable_image"), "as big as may be"
    too_big = ask(b"\0" * (4 * 1024**2 + 1))
    assert too_big.error == (413, "too_large")
    assert "4,194,304 (4 MB)" in too_big.json["error"]["message"]
    assert ask(b"\0" * 5 * 1024**2).status == 413, "by API Gateway: Lambda's event would be too big"


def test_there_is_one_route(shop: dict[str, str], cloud: Cloud) -> None:
    origin = shop["ApiUrl"].removesuffix("/invocations")
    for method, path in (
        ("POST", "/staging/invocations"),
        ("GET", "/invocations"),
        ("POST", "/"),
        ("POST", "/invocations/x"),
    ):
        assert call(origin + path, method=method).status == 404
    api_id = urlsplit(origin).netloc.partition(".")[0]
    [route] = cloud.client("apigatewayv2").get_routes(ApiId=api_id)["Items"]
    assert (route["RouteKey"], route["AuthorizationType"]) == ("POST /invocations", "AWS_IAM")
    assert shop["InvokeArn"].endswith(f":{api_id}/*/POST/invocations")


def test_only_callers_that_the_issuer_vouches_for(
    cloud: Cloud, issuer: Issuer, runtime_url: str
) -> None:
    """Behind this edge is no endpoint: 503 says that a request came through to it."""
    cloud.deploy(
        "absent-edge",
        Project="absent",
        RuntimeEndpointUrl=runtime_url,
        Authorization="JWT",
        JwtIssuer=issuer.url,
        JwtAudience="web,mobile",
        JwtScopes="predict",
    )
    url = cloud.outputs("absent-edge")["ApiUrl"]

    def status(token: str | None) -> int:
        headers = PNG_TYPE | ({"authorization": f"Bearer {token}"} if token else {})
        return call(url, png(), headers).status

    good = {"aud": "mobile", "scope": "openid predict"}
    assert status(issuer.token(**good)) == 503
    assert status(None) == 401
    assert status("a.b.c") == 401
    assert status(issuer.token(**good | {"aud": "another"})) == 401
    assert status(issuer.token(**good | {"iss": "https://evil.example.org"})) == 401
    assert status(issuer.token(**good | {"exp": int(time.time()) - 1})) == 401
    assert status(issuer.token(**good)[:-8] + "AAAAAAAA") == 401
    assert status(issuer.token(**good | {"scope": "openid"})) == 403
    signed = signature(url, png(), PNG_TYPE)
    assert call(url, png(), signed).status == 401, "AWS credentials are no token"

    answer = call(url, png(), PNG_TYPE | {"authorization": f"Bearer {issuer.token(**good)}"})
    assert answer.error == (503, "no_endpoint")
    assert answer.headers["retry-after"] == "1"
    assert "absent" not in answer.json["error"]["message"]


def preflight(url: str, origin: str) -> Answer:
    asked = {"origin": origin, "access-control-request-method": "POST"}
    return call(url, headers=asked, method="OPTIONS")


def test_pages_of_named_origins_may_call(
    cloud: Cloud, shop: dict[str, str], runtime_url: str
) -> None:
    cloud.deploy("pages-edge", Project="pages", CorsOrigins=f"http://localhost:5173,{ORIGIN}")
    url = cloud.outputs("pages-edge")["ApiUrl"]
    allowed = preflight(url, ORIGIN)
    assert allowed.status == 204
    assert allowed.headers["access-control-allow-origin"] == ORIGIN
    assert "authorization" in allowed.headers["access-control-allow-headers"]
    assert "access-control-allow-credentials" not in allowed.headers
    for other in (preflight(url, "https://evil.example.org"), preflight(shop["ApiUrl"], ORIGIN)):
        assert "access-control-allow-origin" not in other.headers


def test_updates_touch_what_changes_and_nothing_else(cloud: Cloud, runtime_url: str) -> None:
    """No versions, no aliases: a change of the handler is a change of the template."""

    def update(template: str = "", **changed: str) -> list[str]:
        given = {"Project": "moving", "RuntimeEndpointUrl": runtime_url} | changed
        return cloud.deploy("moving-edge", kind="UPDATE", template=template, **given)

    cloud.deploy("moving-edge", Project="moving", RuntimeEndpointUrl=runtime_url)
    url = cloud.outputs("moving-edge")["ApiUrl"]

    def says(header: str) -> bool:
        answer = call(url, png(), signature(url, png(), PNG_TYPE))
        assert answer.error == (503, "no_endpoint")
        return header in answer.headers

    assert says("x-request-id")
    with pytest.raises(WaiterError) as unchanged:
        update()
    assert "didn't contain changes" in unchanged.value.last_response["StatusReason"]
    assert update(ThrottleRate="5") == ["Stage"]
    api_id = urlsplit(url).netloc.partition(".")[0]
    stage = cloud.client("apigatewayv2").get_stage(ApiId=api_id, StageName="$default")
    assert int(stage["DefaultRouteSettings"]["ThrottlingRateLimit"]) == 5
    changed = packaging.render("edge.yaml").replace(
        '"x-request-id": context', '"x-new-id": context'
    )
    assert update(changed, ThrottleRate="5") == ["Function"]
    assert says("x-new-id")
    assert cloud.outputs("moving-edge")["ApiUrl"] == url


@pytest.mark.parametrize("value", ["NONE", "", "CUSTOM"])
def test_there_is_no_open_mode(cloud: Cloud, value: str) -> None:
    with pytest.raises(ClientError, match="Authorization"):
        cloud.deploy("open-edge", Project="open", Authorization=value)


def test_what_cloudformation_made(cloud: Cloud, shop: dict[str, str]) -> None:
    api_id = urlsplit(shop["ApiUrl"]).netloc.partition(".")[0]
    stage = cloud.client("apigatewayv2").get_stage(ApiId=api_id, StageName="$default")
    limits = stage["DefaultRouteSettings"]
    assert (limits["ThrottlingRateLimit"], limits["ThrottlingBurstLimit"]) == (20, 40)
    function = cloud.client("lambda").get_function_configuration(FunctionName=shop["FunctionName"])
    assert function["LoggingConfig"]["LogGroup"] == "/aws/lambda/shop-edge"
    assert "VpcConfig" not in function or not function["VpcConfig"].get("SubnetIds")
    logs = cloud.client("logs")
    groups = {g["logGroupName"]: g for g in logs.describe_log_groups()["logGroups"]}
    for name in ("/aws/lambda/shop-edge", "/aws/vendedlogs/shop-edge"):
        assert groups[name]["retentionInDays"] == 30
    [counted] = logs.describe_metric_filters(logGroupName="/aws/vendedlogs/shop-edge")[
        "metricFilters"
    ]
    [metric] = counted["metricTransformations"]
    alarms = {
        alarm["AlarmName"]: alarm
        for alarm in cloud.client("cloudwatch").describe_alarms(AlarmNamePrefix="shop-edge-")[
            "MetricAlarms"
        ]
    }
    assert set(alarms) == {"shop-edge-server-errors", "shop-edge-throttles"}
    throttles = alarms["shop-edge-throttles"]
    assert (throttles["Namespace"], throttles["MetricName"]) == (
        metric["metricNamespace"],
        metric["metricName"],
    )
    assert alarms["shop-edge-server-errors"]["Dimensions"] == [{"Name": "ApiId", "Value": api_id}]
    assert throttles["AlarmActions"] == []


class OddRuntime(ThreadingHTTPServer):
    """SageMaker Runtime on a bad day: for each request, seconds to wait, or None to hang up."""

    daemon_threads = True

    def __init__(self, *moods: float | None) -> None:
        super().__init__(("127.0.0.1", 0), _OddAnswer)
        self.moods = list(moods)
        self.asked: list[dict[str, str]] = []

    def handle_error(self, *_: object) -> None:
        """The client has given up waiting, as it should."""


class _OddAnswer(BaseHTTPRequestHandler):
    server: OddRuntime
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.server.asked.append(dict(self.headers.items()))
        mood = self.server.moods.pop(0)
        if mood is None:
            self.close_connection = True
            return
        time.sleep(mood)
        self.send_response(200)
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def odd_day(monkeypatch: pytest.MonkeyPatch, *moods: float | None) -> Iterator[OddRuntime]:
    """The handler in this process, before a runtime on a bad day."""
    with OddRuntime(*moods) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        for name, value in {
            "AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME": url,
            "AWS_ACCESS_KEY_ID": KEY_ID,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_DEFAULT_REGION": REGION,
            "ENDPOINT_NAME": "shop-prod",
        }.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(edge, "READ_S", 0.5)
        edge.runtime.cache_clear()
        try:
            yield server
        finally:
            edge.runtime.cache_clear()
            server.shutdown()


@pytest.mark.parametrize(
    ("moods", "status", "tries"),
    [((0,), 200, 1), ((None, 0), 200, 2), ((None, None), 503, 2), ((2,), 504, 1)],
)
def test_a_connection_that_dies_or_stalls(
    monkeypatch: pytest.MonkeyPatch, moods: tuple[float | None, ...], status: int, tries: int
) -> None:
    @dataclass
    class Context:
        aws_request_id: str = "id-1"

    event = {"headers": PNG_TYPE, "isBase64Encoded": True, "body": base64.b64encode(png()).decode()}
    with odd_day(monkeypatch, *moods) as server:
        started = time.monotonic()
        answer = edge.handler(event, Context())
        assert answer["statusCode"] == status
        assert time.monotonic() - started < 2
        assert [asked["X-Amzn-SageMaker-Inference-Id"] for asked in server.asked] == [
            "id-1"
        ] * tries
