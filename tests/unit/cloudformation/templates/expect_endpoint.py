"""What matters of each resource of ``endpoint.yaml``; that it works is tested on the test bed."""

from resources.endpoints.sagemaker_stack import DEPLOY_TIMEOUT_S
from tests.unit.cloudformation.templates.looks import (
    Look,
    Resource,
    att,
    both,
    has,
    ref,
    sub,
    under,
)

NOTHING = ref("AWS::NoValue")


def model(resource: Resource) -> None:
    given = resource["Properties"]
    environment = dict(given["PrimaryContainer"]["Environment"])
    assert environment.pop("IMGCLF_DEPLOYMENT")["Fn::Join"][0] == "-"
    assert environment == {
        "IMGCLF_PROJECT": ref("Project"),
        "IMGCLF_STAGE": ref("Stage"),
        "IMGCLF_MODEL_VERSION": ref("ModelVersion"),
        "IMGCLF_DIGEST": ref("ModelDigest"),
        "IMGCLF_SERVING": {"Fn::If": ["Limited", ref("ServingLimits"), NOTHING]},
        "IMGCLF_RENEWAL": {"Fn::If": ["Renewed", ref("Renewal"), NOTHING]},
    }
    assert given["EnableNetworkIsolation"] == {"Fn::If": ["RealTime", True, NOTHING]}
    assert given["VpcConfig"]["Fn::If"][0] == "InVpc"
    assert {"Key": "imgclf:project", "Value": ref("Project")} in given["Tags"], "IAM asks for it"


def config(resource: Resource) -> None:
    given = resource["Properties"]
    (variant,) = given["ProductionVariants"]
    condition, serverless, real_time = variant["Fn::If"]
    assert condition == "Serverless"
    assert {serverless["VariantName"], real_time["VariantName"]} == {"AllTraffic"}
    assert not {"InstanceType", "InitialInstanceCount"} & set(serverless)
    assert "ServerlessConfig" not in real_time
    condition, capture, nothing = given["DataCaptureConfig"]["Fn::If"]
    assert (condition, nothing) == ("Capturing", NOTHING)
    modes = {option["CaptureMode"] for option in capture["CaptureOptions"]}
    assert modes == {"Input", "Output"}
    assert capture["DestinationS3Uri"] == ref("CaptureUri")
    assert given["KmsKeyId"]["Fn::If"][0] == "VolumeKey"
    assert {"Key": "imgclf:project", "Value": ref("Project")} in given["Tags"], "IAM asks for it"


def endpoint(resource: Resource) -> None:
    given = resource["Properties"]
    assert given["EndpointName"] == sub("${Project}-${Stage}")
    assert given["EndpointConfigName"] == att("EndpointConfig", "EndpointConfigName")
    condition, nothing, deployment = given["DeploymentConfig"]["Fn::If"]
    assert (condition, nothing) == ("Serverless", NOTHING)
    routing = deployment["BlueGreenUpdatePolicy"]["TrafficRoutingConfiguration"]
    assert routing["Type"] == {"Fn::If": ["Canary", "CANARY", "ALL_AT_ONCE"]}
    assert routing["CanarySize"]["Fn::If"][0] == "Canary"
    limit_s = deployment["BlueGreenUpdatePolicy"]["MaximumExecutionTimeoutInSeconds"]
    assert limit_s + 3600 <= DEPLOY_TIMEOUT_S, "who deploys waits longer than SageMaker may take"
    condition, rollback, _ = deployment["AutoRollbackConfiguration"]["Fn::If"]
    assert condition == "Guarded"
    named = [alarm["AlarmName"] for alarm in rollback["Alarms"]]
    assert named == [ref("ServerErrorAlarm"), ref("LatencyAlarm")]


def alarm(*metrics: str, threshold: object) -> Look:
    """One of the endpoint's own metrics; there before the endpoint is, so by name."""

    def look(resource: Resource) -> None:
        given = resource["Properties"]
        assert given["Threshold"] == threshold
        assert given["TreatMissingData"] == "notBreaching", "nobody calls at night"
        found = [
            entry["MetricStat"]["Metric"] for entry in given["Metrics"] if "MetricStat" in entry
        ]
        assert [metric["MetricName"] for metric in found] == list(metrics)
        for metric in found:
            assert metric["Namespace"] == "AWS/SageMaker"
            assert metric["Dimensions"] == [
                {"Name": "EndpointName", "Value": sub("${Project}-${Stage}")},
                {"Name": "VariantName", "Value": "AllTraffic"},
            ]
        assert given["AlarmActions"] == {"Fn::If": ["Alerting", [ref("AlertsTopicArn")], NOTHING]}

    return look


EXPECTED: dict[str, Look] = {
    "Model": model,
    "EndpointConfig": config,
    "Endpoint": endpoint,
    "ServerErrorAlarm": alarm(
        "Invocation5XXErrors", "Invocations", threshold=ref("MaxErrorRatePercent")
    ),
    "LatencyAlarm": alarm("ModelLatency", threshold=ref("MaxP95LatencyMs")),
    "ClientErrorAlarm": alarm("Invocation4XXErrors", "Invocations", threshold=50),
    "ScalableTarget": under(
        "Autoscaled",
        has(
            ScalableDimension="sagemaker:variant:DesiredInstanceCount",
            MinCapacity=ref("InstanceCount"),
            MaxCapacity=ref("MaxInstanceCount"),
        ),
    ),
    "ScalingPolicy": under(
        "Autoscaled",
        both(
            has(PolicyType="TargetTrackingScaling", ScalingTargetId=ref("ScalableTarget")),
            lambda resource: _tracks(
                resource["Properties"]["TargetTrackingScalingPolicyConfiguration"]
            ),
        ),
    ),
}


def _tracks(configuration: Resource) -> None:
    assert configuration["TargetValue"] == ref("InvocationsPerInstance")
    metric = configuration["PredefinedMetricSpecification"]["PredefinedMetricType"]
    assert metric == "SageMakerVariantInvocationsPerInstance"
