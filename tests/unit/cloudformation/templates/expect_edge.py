"""What matters of each resource of ``edge.yaml``; that it works is tested in ministack."""

from tests.unit.cloudformation.templates.looks import (
    Look,
    Resource,
    att,
    both,
    has,
    ref,
    service,
    sub,
    trusts,
    under,
)

NOTHING = ref("AWS::NoValue")
INVOKE = (
    "arn:${AWS::Partition}:execute-api:${AWS::Region}:${AWS::AccountId}:${Api}/*/POST/invocations"
)


def api(resource: Resource) -> None:
    given = resource["Properties"]
    assert given["ProtocolType"] == "HTTP"
    condition, cors, nothing = given["CorsConfiguration"]["Fn::If"]
    assert (condition, nothing) == ("HasCors", NOTHING), "off unless asked for"
    assert cors["AllowMethods"] == ["POST"]
    assert "AllowCredentials" not in cors


def stage(resource: Resource) -> None:
    given = resource["Properties"]
    assert given["DefaultRouteSettings"] == {
        "ThrottlingRateLimit": ref("ThrottleRate"),
        "ThrottlingBurstLimit": ref("ThrottleBurst"),
    }
    assert given["AccessLogSettings"]["DestinationArn"] == att("AccessLogs")


def role(resource: Resource) -> None:
    (policy,) = resource["Properties"]["Policies"]
    asks, logs, *conditional = policy["PolicyDocument"]["Statement"]
    assert asks["Action"] == "sagemaker:InvokeEndpoint"
    assert asks["Resource"]["Fn::Sub"].endswith("endpoint/${Project}-prod")
    assert logs["Resource"] == att("FunctionLogs")
    assert [entry["Fn::If"][0] for entry in conditional] == ["IsTraced", "HasNetwork"]


def function(resource: Resource) -> None:
    given = resource["Properties"]
    assert given["Role"] == att("FunctionRole")
    assert given["Timeout"] < 30, "the API waits no longer"
    assert given["LoggingConfig"]["LogGroup"] == ref("FunctionLogs")
    assert given["Environment"]["Variables"]["ENDPOINT_NAME"] == sub("${Project}-prod")


def log(name: str) -> Look:
    return has(LogGroupName=sub(name), RetentionInDays=ref("LogRetentionDays"))


def alarm(metric: str, threshold: str) -> Look:
    return has(
        MetricName=metric,
        Threshold=ref(threshold),
        TreatMissingData="notBreaching",
        AlarmActions={"Fn::If": ["HasTopic", [ref("AlertsTopicArn")], NOTHING]},
    )


EXPECTED: dict[str, Look] = {
    "Api": api,
    "JwtAuthorizer": under(
        "UsesJwt",
        has(
            AuthorizerType="JWT",
            JwtConfiguration={
                "Issuer": ref("JwtIssuer"),
                "Audience": {"Fn::Split": [",", ref("JwtAudience")]},
            },
        ),
    ),
    "Integration": has(
        IntegrationType="AWS_PROXY", IntegrationUri=att("Function"), PayloadFormatVersion="2.0"
    ),
    "InvocationsRoute": has(
        RouteKey="POST /invocations",
        AuthorizationType=ref("Authorization"),
        AuthorizerId={"Fn::If": ["UsesJwt", ref("JwtAuthorizer"), NOTHING]},
    ),
    "Stage": stage,
    "AccessLogs": log("/aws/vendedlogs/${Project}-edge"),
    "FunctionLogs": log("/aws/lambda/${Project}-edge"),
    "FunctionRole": both(trusts(service("lambda.amazonaws.com")), role),
    "Function": function,
    "FunctionPermission": has(Principal="apigateway.amazonaws.com", SourceArn=sub(INVOKE)),
    "ServerErrors": alarm("5xx", "MaxServerErrors"),
    "ThrottleFilter": has(LogGroupName=ref("AccessLogs"), FilterPattern='{ $.status = "429" }'),
    "Throttles": alarm("Throttled", "MaxThrottles"),
}
