"""The edge, end to end: deployed by CloudFormation, called over HTTP, its Lambda really running.

ministack carries out the template; behind the Lambda function is our own endpoint host at
SageMaker Runtime's path.
"""

import base64
import io
import json
import time
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import pytest
from botocore.exceptions import ClientError, WaiterError
from PIL import Image

from cloudformation import packaging
from serving.deployments import DeploymentRecord, record_key
from serving.endpoint.address import read_address
from serving.endpoint.launch import own_host
from tests.testbed.edge import Answer, Cloud, call, signature
from tests.testbed.issuer import Issuer, running_issuer
from tests.testbed.ministack import running_ministack

pytestmark = pytest.mark.contract

PNG_TYPE = {"content-type": "image/png"}
ORIGIN = "https://app.example.org"


def png(colour: str = "blue") -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (16, 16), colour).save(file, "PNG")
    return file.getvalue()


def data_url(colour: str) -> str:
    return f"data:image/png;base64,{base64.b64encode(png(colour)).decode()}"


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
    assert call(f"{origin}/invocations", method="GET").status == 404
    for path in ("/", "/staging/invocations", "/invocations/x"):
        assert call(origin + path).status == 404
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
    reported = cloud.client("cloudwatch").describe_alarms(AlarmNamePrefix="shop-edge-")
    alarms = {alarm["AlarmName"]: alarm for alarm in reported["MetricAlarms"]}
    assert set(alarms) == {"shop-edge-server-errors", "shop-edge-throttles"}
    throttles = alarms["shop-edge-throttles"]
    assert (throttles["Namespace"], throttles["MetricName"]) == (
        metric["metricNamespace"],
        metric["metricName"],
    )
    assert alarms["shop-edge-server-errors"]["Dimensions"] == [{"Name": "ApiId", "Value": api_id}]
    assert throttles["AlarmActions"] == []
