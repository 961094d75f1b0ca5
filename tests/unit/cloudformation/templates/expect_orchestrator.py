"""What matters of each resource of ``orchestrator.yaml``; what spans several of them is in
``test_orchestrator_template.py``."""

from collections.abc import Callable
from typing import Any

Resource = dict[str, Any]
Look = Callable[[Resource], None]


def port(number: int, *, peer: str) -> Look:
    """A rule for one port, between ``peer`` and the group it belongs to."""

    def look(resource: Resource) -> None:
        rule = resource["Properties"]
        assert (rule["FromPort"], rule["ToPort"], rule["IpProtocol"]) == (number, number, "tcp")
        ends = [rule.get("SourceSecurityGroupId"), rule.get("DestinationSecurityGroupId")]
        assert {"Fn::GetAtt": [peer, "GroupId"]} in ends

    return look


def has(**expected: Any) -> Look:
    """Properties of these very values."""

    def look(resource: Resource) -> None:
        for name, value in expected.items():
            assert resource["Properties"][name] == value, name

    return look


def log(days: int) -> Look:
    return has(RetentionInDays=days, KmsKeyId={"Ref": "KmsKeyArn"})


def role(*sids: str) -> Look:
    """A role of tasks whose statements are these."""

    def look(resource: Resource) -> None:
        trust = resource["Properties"]["AssumeRolePolicyDocument"]["Statement"]
        assert [entry["Principal"] for entry in trust] == [{"Service": "ecs-tasks.amazonaws.com"}]
        (policy,) = resource["Properties"]["Policies"]
        found = [
            entry.get("Sid") or entry["Fn::If"][1]["Sid"]
            for entry in policy["PolicyDocument"]["Statement"]
        ]
        assert found == list(sids)

    return look


def task(name: str, command: list[str], role: dict[str, Any]) -> Look:
    def look(resource: Resource) -> None:
        given = resource["Properties"]
        assert given["NetworkMode"] == "awsvpc"
        assert given["RequiresCompatibilities"] == ["FARGATE"]
        assert given["TaskRoleArn"] == role
        assert given["ExecutionRoleArn"] == {"Fn::GetAtt": ["ExecutionRole", "Arn"]}
        (container,) = given["ContainerDefinitions"]
        assert container["Name"] == name
        assert container["User"] == "imgclf"
        assert container["Command"][: len(command)] == command

    return look


def service(definition: str, least: int, most: int) -> Look:
    def look(resource: Resource) -> None:
        given = resource["Properties"]
        assert given["TaskDefinition"] == {"Ref": definition}
        deployment = given["DeploymentConfiguration"]
        assert (deployment["MinimumHealthyPercent"], deployment["MaximumPercent"]) == (least, most)
        assert deployment["DeploymentCircuitBreaker"] == {"Enable": True, "Rollback": True}
        # Before these the tasks could not start, and the first deployment would be rolled back.
        assert {"DatabaseSecretAttachment", "TasksToDatabase"} <= set(resource["DependsOn"])

    return look


def alarm(metric: str, missing: str) -> Look:
    return has(
        MetricName=metric, TreatMissingData=missing, AlarmActions=[{"Ref": "AlertsTopicArn"}]
    )


def kept(resource: Resource) -> None:
    assert resource["DeletionPolicy"] == "RetainExceptOnCreate"
    assert resource["UpdateReplacePolicy"] == "Retain"


def secret(resource: Resource) -> None:
    kept(resource)
    generated = resource["Properties"]["GenerateSecretString"]
    assert generated["PasswordLength"] >= 32
    # RDS takes no / @ " or space.
    assert generated["ExcludePunctuation"] is True
    assert resource["Properties"]["KmsKeyId"] == {"Ref": "KmsKeyArn"}


def database(resource: Resource) -> None:
    assert resource["DeletionPolicy"] == resource["UpdateReplacePolicy"] == "Snapshot"
    has(
        Engine="postgres",
        StorageEncrypted=True,
        KmsKeyId={"Ref": "KmsKeyArn"},
        PubliclyAccessible=False,
        BackupRetentionPeriod={"Ref": "BackupRetentionDays"},
        DeleteAutomatedBackups=False,
        EnableCloudwatchLogsExports=["postgresql"],
    )(resource)


def listener(kind: str, protocol: str) -> Look:
    def look(resource: Resource) -> None:
        given = resource["Properties"]
        assert given["Protocol"] == protocol
        assert kind in str(given["DefaultActions"][0])
        assert (given["DefaultActions"][-1]["Type"] == "forward") is (protocol == "HTTPS")

    return look


def pool(resource: Resource) -> None:
    kept(resource)
    has(MfaConfiguration="ON", AdminCreateUserConfig={"AllowAdminCreateUserOnly": True})(resource)


CONTROL = {"Fn::GetAtt": ["ControlRole", "Arn"]}
LINE = {"Ref": "OrchestratorRoleArn"}

EXPECTED: dict[str, Look] = {
    "LoadBalancerSecurityGroup": has(VpcId={"Ref": "VpcId"}),
    "LoadBalancerToWeb": port(3000, peer="TaskSecurityGroup"),
    "TaskSecurityGroup": has(VpcId={"Ref": "VpcId"}),
    "TasksToCode": port(4000, peer="TaskSecurityGroup"),
    "CodeFromTasks": port(4000, peer="TaskSecurityGroup"),
    "TasksToDatabase": port(5432, peer="DatabaseSecurityGroup"),
    "DatabaseSecurityGroup": has(VpcId={"Ref": "VpcId"}),
    "Namespace": has(Vpc={"Ref": "VpcId"}),
    "CodeDiscovery": has(Name="code"),
    "DatabaseSecret": secret,
    "DatabaseSecretAttachment": has(TargetId={"Ref": "Database"}),
    "DatabaseSubnets": has(SubnetIds={"Ref": "PrivateSubnetIds"}),
    "DatabaseParameters": has(Family={"Fn::Sub": "postgres${PostgresVersion}"}),
    "DatabaseLog": log(30),
    "Database": database,
    "ExecutionRole": role(
        "LogIn",
        "Pull",
        "Log",
        "Secret",
        "LabelStudioToken",
        "DecryptSecretAndSettings",
        "Settings",
        "FindSettings",
    ),
    "ControlRole": role(
        "StartRuns",
        "TagRuns",
        "WatchAndStopRuns",
        "LookUpDefinitionsAndOwnNetwork",
        "HandOverRoles",
        "ReadLogsOfFailedRuns",
        "ReadComputeLogs",
        "TellMissingFromForbidden",
        "DecryptComputeLogs",
    ),
    "Cluster": has(ClusterName={"Fn::Sub": "${Project}-dagster"}),
    "ServiceLog": log(30),
    "RunLog": log(90),
    "WebTaskDefinition": task("web", ["python", "-m", "imgclf_dagster.webserver"], CONTROL),
    "DaemonTaskDefinition": task("daemon", ["dagster-daemon", "run"], CONTROL),
    "CodeTaskDefinition": task("code", ["dagster", "api", "grpc"], LINE),
    "RunTaskDefinition": task("run", ["dagster"], LINE),
    "CodeService": service("CodeTaskDefinition", 100, 200),
    "DaemonService": service("DaemonTaskDefinition", 0, 100),
    "WebService": service("WebTaskDefinition", 100, 200),
    "LoadBalancer": has(Subnets={"Ref": "PublicSubnetIds"}, Scheme={"Ref": "Scheme"}),
    "WebTargets": has(HealthCheckPath="/server_info", TargetType="ip"),
    "HttpListener": listener("redirect", "HTTP"),
    "HttpsListener": listener("authenticate-", "HTTPS"),
    "HostRecord": has(HostedZoneId={"Ref": "HostedZoneId"}),
    "UserPool": pool,
    "UserPoolClient": has(
        AllowedOAuthFlows=["code"],
        CallbackURLs=[{"Fn::Sub": "https://${HostName}/oauth2/idpresponse"}],
    ),
    "UserPoolDomain": has(UserPoolId={"Ref": "UserPool"}),
    "WebAlarm": alarm("UnHealthyHostCount", "breaching"),
    "WebErrorAlarm": alarm("HTTPCode_Target_5XX_Count", "notBreaching"),
    "DaemonAlarm": alarm("CPUUtilization", "breaching"),
    "CodeAlarm": alarm("CPUUtilization", "breaching"),
    "DatabaseCpuAlarm": alarm("CPUUtilization", "breaching"),
    "DatabaseStorageAlarm": alarm("FreeStorageSpace", "breaching"),
    "DatabaseMemoryAlarm": alarm("FreeableMemory", "breaching"),
}
