"""What edge.yaml says, and that it holds the handler that is tested."""

import re
from functools import cache
from pathlib import Path

import pytest

from cloudformation import packaging
from cloudformation.edge import handler as edge

pytestmark = pytest.mark.unit


@cache
def section(name: str) -> dict:
    """A section of the template, short forms as ``{"Ref": …}`` and ``{"Fn::…": …}``."""
    from cfnlint.decode import cfn_yaml

    return dict(cfn_yaml.load(str(packaging.FOLDER / "edge.yaml"))[name])


def properties(name: str) -> dict:
    return dict(section("Resources")[name]["Properties"])


def parameter(name: str) -> dict:
    return dict(section("Parameters")[name])


def allows(name: str, value: str) -> bool:
    return re.fullmatch(parameter(name)["AllowedPattern"], value) is not None


def test_the_template_holds_the_very_handler(capsys: pytest.CaptureFixture[str]) -> None:
    assert packaging.main(["--check"]) == 0, capsys.readouterr().out
    inlined = properties("Function")["Code"]["ZipFile"]
    source = Path(edge.__file__).read_text(encoding="utf-8")
    assert inlined.split("\n", 1)[1].rsplit("# END", 1)[0] == source
    assert properties("Function")["Handler"] == "index.handler", "inlined code is in index.py"


def test_the_handler_stays_small_and_needs_the_runtime_only() -> None:
    source = Path(edge.__file__).read_text(encoding="ascii")
    assert len(source.splitlines()) < 150
    imported = {
        line.split()[1].partition(".")[0]
        for line in source.splitlines()
        if line.startswith(("import ", "from "))
    }
    assert imported - {"boto3", "botocore"} <= {
        "base64",
        "contextlib",
        "functools",
        "json",
        "logging",
        "os",
        "re",
        "typing",
    }


def test_it_fits_into_a_request_and_is_plain_ascii() -> None:
    body = packaging.render("edge.yaml").encode("ascii")
    assert len(body) < packaging.TEMPLATE_BODY_LIMIT * 0.6


def test_packaging_refuses_what_cloudformation_would(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packaging, "FOLDER", tmp_path)
    template = tmp_path / "a.yaml"
    template.write_text("Code:\n  # BEGIN f.py\n  old\n  # END f.py\nMore: 1\n")
    (tmp_path / "f.py").write_text("if new:\n    go()\n\nstop()\n")
    assert packaging.render("a.yaml") == (
        "Code:\n  # BEGIN f.py\n  if new:\n      go()\n\n  stop()\n  # END f.py\nMore: 1\n"
    )
    (tmp_path / "f.py").write_text("x" * packaging.TEMPLATE_BODY_LIMIT)
    with pytest.raises(ValueError, match=r"a\.yaml would have 5\d+ bytes; at most 51200"):
        packaging.render("a.yaml")
    (tmp_path / "f.py").write_text("é")
    with pytest.raises(UnicodeDecodeError):
        packaging.render("a.yaml")
    template.write_text("Code: 1\n")
    with pytest.raises(ValueError, match=r"a\.yaml has no block"):
        packaging.render("a.yaml")


def test_a_stale_template_is_reported_and_mended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(packaging, "FOLDER", tmp_path)
    template = tmp_path / "edge.yaml"
    template.write_text("  # BEGIN f.py\n  # END f.py\n")
    (tmp_path / "f.py").write_text("go()\n")
    assert packaging.main(["--check"]) == 1
    assert "python -m cloudformation.packaging" in capsys.readouterr().out
    assert "go()" not in template.read_text()
    assert packaging.main([]) == 0
    assert packaging.main(["--check"]) == 0
    assert "go()" in template.read_text()


def test_no_way_in_without_authorization() -> None:
    kinds = [resource["Type"] for resource in section("Resources").values()]
    assert kinds.count("AWS::ApiGatewayV2::Route") == 1
    assert "AWS::Lambda::Url" not in kinds
    route = properties("InvocationsRoute")
    assert route["RouteKey"] == "POST /invocations"
    assert route["AuthorizationType"] == {"Ref": "Authorization"}
    assert parameter("Authorization")["AllowedValues"] == ["AWS_IAM", "JWT"]
    assert parameter("Authorization")["Default"] == "AWS_IAM"
    assert {"Target", "RouteKey", "Body"}.isdisjoint(properties("Api")), "no quick-create route"
    source = properties("FunctionPermission")["SourceArn"]["Fn::Sub"]
    assert source.endswith("${Api}/*/POST/invocations")


def test_tokens_need_an_issuer_over_https_and_an_audience() -> None:
    checked = section("Rules")["JwtIsComplete"]["Assertions"]
    assert [entry["Assert"]["Fn::Not"][0]["Fn::Equals"][0]["Ref"] for entry in checked] == [
        "JwtIssuer",
        "JwtAudience",
    ]
    assert allows("JwtIssuer", "https://login.example.org/realm")
    assert not allows("JwtIssuer", "http://login.example.org")


def test_cors_is_off_by_default_and_never_for_everyone() -> None:
    assert parameter("CorsOrigins")["Default"] == ""
    assert allows("CorsOrigins", "https://a.example.org,http://localhost:5173")
    for value in ("*", "https://*", "https://a.org,*", "https://a.org/", "null", "a.org"):
        assert not allows("CorsOrigins", value)
    condition, settings, otherwise = properties("Api")["CorsConfiguration"]["Fn::If"]
    assert (condition, otherwise) == ("HasCors", {"Ref": "AWS::NoValue"})
    assert "AllowCredentials" not in settings
    assert settings["AllowMethods"] == ["POST"]


def test_the_function_may_ask_one_endpoint_and_write_one_log() -> None:
    role = properties("FunctionRole")
    assert "ManagedPolicyArns" not in role
    [policy] = role["Policies"]
    ask, write, *optional = policy["PolicyDocument"]["Statement"]
    assert ask["Action"] == "sagemaker:InvokeEndpoint"
    assert ask["Resource"]["Fn::Sub"].endswith(":endpoint/${Project}-prod")
    assert write["Action"] == ["logs:CreateLogStream", "logs:PutLogEvents"]
    assert write["Resource"] == {"Fn::GetAtt": ["FunctionLogs", "Arn"]}
    assert [statement["Fn::If"][0] for statement in optional] == ["IsTraced", "HasNetwork"]
    for statement in optional:
        _, granted, otherwise = statement["Fn::If"]
        assert {action.partition(":")[0] for action in granted["Action"]} <= {"xray", "ec2"}
        assert otherwise == {"Ref": "AWS::NoValue"}


def test_each_timeout_lies_within_the_next() -> None:
    function_s = properties("Function")["Timeout"]
    assert function_s > edge.CONNECT_S + edge.READ_S
    assert function_s * 1000 < properties("Integration")["TimeoutInMillis"] <= 30_000


def test_throttling_is_set_for_every_route() -> None:
    assert properties("Stage")["DefaultRouteSettings"] == {
        "ThrottlingRateLimit": {"Ref": "ThrottleRate"},
        "ThrottlingBurstLimit": {"Ref": "ThrottleBurst"},
    }
    for name in ("ThrottleRate", "ThrottleBurst"):
        assert parameter(name)["MinValue"] >= 1


def test_every_log_ends_and_may_be_encrypted() -> None:
    for name in ("AccessLogs", "FunctionLogs"):
        assert properties(name)["RetentionInDays"] == {"Ref": "LogRetentionDays"}
        assert properties(name)["KmsKeyId"]["Fn::If"][:2] == ["HasLogKey", {"Ref": "LogKmsKeyArn"}]
    assert properties("Function")["LoggingConfig"]["LogGroup"] == {"Ref": "FunctionLogs"}
    settings = properties("Stage")["AccessLogSettings"]
    assert settings["DestinationArn"] == {"Fn::GetAtt": ["AccessLogs", "Arn"]}
    assert "\n" not in settings["Format"]
    for text in ("$context.requestId", "$context.integration.requestId", "$context.status"):
        assert f'"{text}"' in settings["Format"]


def test_the_throttle_alarm_watches_what_the_filter_counts() -> None:
    counted = properties("ThrottleFilter")
    [metric] = counted["MetricTransformations"]
    alarm = properties("Throttles")
    assert counted["LogGroupName"] == {"Ref": "AccessLogs"}
    assert '$.status = "429"' in counted["FilterPattern"]
    assert (alarm["Namespace"], alarm["MetricName"]) == (
        metric["MetricNamespace"],
        metric["MetricName"],
    )
    for name in ("ServerErrors", "Throttles"):
        reported = properties(name)["AlarmActions"]["Fn::If"]
        assert reported == ["HasTopic", [{"Ref": "AlertsTopicArn"}], {"Ref": "AWS::NoValue"}]
        assert properties(name)["TreatMissingData"] == "notBreaching"
