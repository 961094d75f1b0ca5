"""``orchestrator.yaml``: who gets in, who may what, and that every program finds its settings."""

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from cfnlint.decode import decode

from guard.arguments import OPTION
from imgclf_dagster.deployment import dagster_yaml
from imgclf_dagster.label_studio.access import find_access
from imgclf_dagster.settings.root import Settings

pytestmark = pytest.mark.unit

REPOSITORY = Path(__file__).parents[3]
PATH = REPOSITORY / "cloudformation" / "orchestrator.yaml"
TEMPLATE: dict[str, Any] = json.loads(json.dumps(decode(str(PATH))[0]))
RESOURCES: dict[str, Any] = TEMPLATE["Resources"]
TASKS = ("WebTaskDefinition", "DaemonTaskDefinition", "CodeTaskDefinition", "RunTaskDefinition")
SERVICES = ("WebService", "DaemonService", "CodeService")
OF_THE_LINE = ("CodeTaskDefinition", "RunTaskDefinition")
ONLY_STAR = {
    "ecr:GetAuthorizationToken",
    "ec2:DescribeNetworkInterfaces",
    "ecs:DescribeTaskDefinition",
}
"""What cannot be limited to a resource (service authorization reference of each service)."""


def properties(name: str) -> dict[str, Any]:
    return RESOURCES[name]["Properties"]


def container(task: str) -> dict[str, Any]:
    (only,) = properties(task)["ContainerDefinitions"]
    return only


def items(task: str, member: str, *, labels: bool = False) -> dict[str, Any]:
    """Environment or Secrets by name, with what comes with Label Studio or without."""
    key = {"Environment": "Value", "Secrets": "ValueFrom"}[member]
    found = []
    for item in container(task)[member]:
        if "Fn::If" in item:
            condition, given, otherwise = item["Fn::If"]
            assert (condition, otherwise) == ("HasLabelStudio", {"Ref": "AWS::NoValue"})
            found += [given] if labels else []
        else:
            found.append(item)
    return {item["Name"]: item[key] for item in found}


def environment(task: str, *, labels: bool = False) -> dict[str, Any]:
    return items(task, "Environment", labels=labels)


def of_type(kind: str) -> dict[str, dict[str, Any]]:
    return {key: value["Properties"] for key, value in RESOURCES.items() if value["Type"] == kind}


def statements(role: str) -> Iterator[dict[str, Any]]:
    for policy in properties(role)["Policies"]:
        for statement in policy["PolicyDocument"]["Statement"]:
            yield statement["Fn::If"][1] if "Fn::If" in statement else statement


def actions(statement: dict[str, Any]) -> list[str]:
    given = statement["Action"]
    return [given] if isinstance(given, str) else given


def env_names(node: Any) -> Iterator[str]:
    """Variables that a file of Dagster's reads."""
    if isinstance(node, dict):
        if set(node) == {"env"}:
            yield node["env"]
        for value in node.values():
            yield from env_names(value)


def test_it_needs_no_bucket() -> None:
    """``test_templates.py`` lints it. The API takes this much of a template without a bucket."""
    assert PATH.stat().st_size < 51_200


# --- who gets in -------------------------------------------------------------------------------


def test_nothing_is_forwarded_before_it_is_known_who_asks() -> None:
    listeners = of_type("AWS::ElasticLoadBalancingV2::Listener")
    assert len(listeners) == 2
    assert not of_type("AWS::ElasticLoadBalancingV2::ListenerRule")
    (redirect,) = listeners["HttpListener"]["DefaultActions"]
    assert redirect["Type"] == "redirect"
    assert redirect["RedirectConfig"]["Protocol"] == "HTTPS"
    first, last = listeners["HttpsListener"]["DefaultActions"]
    _, oidc, cognito = first["Fn::If"]
    assert (oidc["Type"], cognito["Type"]) == ("authenticate-oidc", "authenticate-cognito")
    for action, key in ((oidc, "AuthenticateOidcConfig"), (cognito, "AuthenticateCognitoConfig")):
        assert action["Order"] < last["Order"]
        assert action[key]["OnUnauthenticatedRequest"] == "authenticate"
    assert last["Type"] == "forward"
    assert "TLS13" in listeners["HttpsListener"]["SslPolicy"]


def test_nobody_signs_up_by_himself() -> None:
    pool = properties("UserPool")
    assert pool["AdminCreateUserConfig"]["AllowAdminCreateUserOnly"] is True
    assert pool["MfaConfiguration"] == "ON"


def test_only_the_load_balancer_is_reached_from_outside() -> None:
    open_to: dict[str, list[Any]] = {}
    for name, group in of_type("AWS::EC2::SecurityGroup").items():
        open_to[name] = [rule.get("CidrIp") for rule in group["SecurityGroupIngress"]]
        assert {rule.get("IpProtocol") for rule in group["SecurityGroupEgress"]} == {"tcp"}
    assert open_to == {
        "LoadBalancerSecurityGroup": [{"Ref": "AllowedCidr"}] * 2,
        "TaskSecurityGroup": [None],
        "DatabaseSecurityGroup": [None],
    }
    assert "Default" not in TEMPLATE["Parameters"]["AllowedCidr"]
    scheme = TEMPLATE["Parameters"]["Scheme"]
    assert scheme["AllowedValues"] == [scheme["Default"], "internal"]
    assert scheme["Default"] == "internet-facing", "a stack that is there keeps its load balancer"
    assert properties("Database")["PubliclyAccessible"] is False
    for service in SERVICES:
        network = properties(service)["NetworkConfiguration"]["AwsvpcConfiguration"]
        assert network["AssignPublicIp"] == "DISABLED"
        assert network["Subnets"] == {"Ref": "PrivateSubnetIds"}


def test_the_web_server_is_guarded_and_known_by_the_load_balancers_name() -> None:
    # Not in every process that collects tests: Dagster's web server takes 2 s of imports.
    from imgclf_dagster.webserver import HEALTH_PATH

    command = container("WebTaskDefinition")["Command"]
    assert command[:3] == ["python", "-m", "imgclf_dagster.webserver"]
    assert command[command.index(OPTION) + 1] == {"Ref": "HostName"}
    # Health checks ask by address: that is let through for this path alone.
    assert properties("WebTargets")["HealthCheckPath"] == HEALTH_PATH
    preserved = "routing.http.preserve_host_header.enabled"
    assert preserved not in json.dumps(properties("LoadBalancer")), "it would send several Hosts"


# --- the database ------------------------------------------------------------------------------


def test_the_database_is_kept_and_nobody_listens() -> None:
    database = RESOURCES["Database"]
    assert (database["DeletionPolicy"], database["UpdateReplacePolicy"]) == ("Snapshot", "Snapshot")
    given = database["Properties"]
    assert given["StorageEncrypted"] is True
    assert TEMPLATE["Parameters"]["DeletionProtection"]["Default"] == "true"
    assert TEMPLATE["Parameters"]["BackupRetentionDays"]["Default"] >= 7
    assert properties("DatabaseParameters")["Parameters"]["rds.force_ssl"] == "1"


def test_the_password_stays_a_secret_and_does_not_change_behind_the_tasks() -> None:
    # RDS's managed password is another one every week; ECS injects it at the start only.
    assert "ManageMasterUserPassword" not in properties("Database")
    assert not of_type("AWS::SecretsManager::RotationSchedule")
    assert "resolve:secretsmanager" in json.dumps(properties("Database")["MasterUserPassword"])
    for task in TASKS:
        secrets = items(task, "Secrets")
        assert secrets["DAGSTER_POSTGRES_PASSWORD"] == {"Fn::Sub": "${DatabaseSecret}:password::"}
        assert not [name for name in environment(task) if "PASSWORD" in name]


# --- tasks -------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", TASKS)
def test_dagster_finds_every_variable_that_its_files_name(task: str) -> None:
    workspace = (PATH.parents[1] / "imgclf_dagster/deployment/workspace-aws.yaml").read_text()
    needed = set(env_names(yaml.safe_load(dagster_yaml("aws"))))
    if task in ("WebTaskDefinition", "DaemonTaskDefinition"):
        servers = yaml.safe_load(workspace)["load_from"]
        needed |= {name for server in servers for name in env_names(server)}
    given = set(environment(task)) | set(items(task, "Secrets"))
    assert needed <= given
    assert given - needed <= {"AWS_DEFAULT_REGION", *settings_variables(task)}


def settings_variables(task: str) -> set[str]:
    return set(environment(task)) if task in OF_THE_LINE else set()


@pytest.mark.parametrize("task", OF_THE_LINE)
@pytest.mark.parametrize("in_vpc", [True, False])
def test_the_line_reads_its_settings_from_them(
    task: str, in_vpc: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in [name for name in os.environ if name.startswith("IMGCLF_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("IMGCLF_HOME", str(tmp_path))
    values = {"AWS::Region": "eu-central-1", "Project": "shop", "JobsInVpc": in_vpc}
    values |= {"JobSubnetIds": ["subnet-1", "subnet-2"], "JobSecurityGroupIds": ["sg-1"]}
    values |= {"KmsKeyArn": "", "KeyPrefix": "line/", "BucketName": "lake"}
    for name, value in environment(task).items():
        monkeypatch.setenv(name, str(resolved(value, values)))
    settings = Settings()
    assert (settings.profile, settings.project) == ("aws", "shop")
    assert (settings.aws.region, settings.aws.bucket, settings.aws.prefix) == (
        "eu-central-1", "lake", "line",
    )  # fmt: skip
    assert settings.aws.image_uri == "ImageUri"
    assert settings.aws.job_role_arn == "JobRoleArn"
    assert settings.aws.endpoint_role_arn == "EndpointRoleArn"
    assert settings.aws.alerts_topic_arn == "AlertsTopicArn"
    assert settings.aws.arrivals_queue_url == "ArrivalsQueueUrl"
    assert settings.aws.subnets == (("subnet-1", "subnet-2") if in_vpc else ())
    assert settings.aws.security_group_ids == (("sg-1",) if in_vpc else ())


@pytest.mark.parametrize("task", TASKS)
def test_only_the_line_gets_label_studios_token_and_it_stays_a_secret(
    task: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Code location and runs talk to Label Studio; daemon and web server never do."""
    plain, secrets = environment(task, labels=True), items(task, "Secrets", labels=True)
    mine = {"IMGCLF_LABEL_STUDIO__URL", "IMGCLF_LABEL_STUDIO__TOKEN"}
    assert not mine & {*environment(task), *items(task, "Secrets")}, "empty hides a file's setting"
    if task not in OF_THE_LINE:
        assert not mine & {*plain, *secrets}
        return
    assert plain["IMGCLF_LABEL_STUDIO__URL"] == {"Ref": "LabelStudioUrl"}
    assert secrets["IMGCLF_LABEL_STUDIO__TOKEN"] == {"Ref": "LabelStudioTokenSecretArn"}
    monkeypatch.setenv("IMGCLF_HOME", str(tmp_path))
    monkeypatch.setenv("IMGCLF_LABEL_STUDIO__URL", "https://labels.example.org")
    monkeypatch.setenv("IMGCLF_LABEL_STUDIO__TOKEN", "t0ken")
    access = find_access(Settings())
    assert access is not None
    assert (access.url, access.token) == ("https://labels.example.org", "t0ken")


def test_tasks_are_started_with_that_secret_and_no_other() -> None:
    (token,) = (s for s in statements("ExecutionRole") if s["Sid"] == "LabelStudioToken")
    assert actions(token) == ["secretsmanager:GetSecretValue"]
    assert token["Resource"] == {"Ref": "LabelStudioTokenSecretArn"}
    (decrypt,) = (s for s in statements("ExecutionRole") if "kms:Decrypt" in actions(s))
    assert "secretsmanager" in json.dumps(decrypt["Condition"])
    pattern = TEMPLATE["Parameters"]["LabelStudioTokenSecretArn"]["AllowedPattern"]
    arn = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:imgclf/label-studio-AbCdEf"
    assert re.fullmatch(pattern, arn)
    assert not re.fullmatch(pattern, f"{arn}:token::"), "no policy would allow that"
    assert not re.fullmatch(pattern, arn.replace("imgclf/label-studio-AbCdEf", "*"))


@pytest.mark.parametrize(
    ("url", "fits"),
    [
        ("", True),
        ("https://labels.example.org", True),
        ("https://example.org/labels", True),
        ("http://labels.example.org", False),
        ("https://labels.example.org:8080", False),
        ("https://ann:pw@labels.example.org", False),
    ],
)
def test_label_studio_is_reached_where_tasks_may_go(url: str, fits: bool) -> None:
    parameter = TEMPLATE["Parameters"]["LabelStudioUrl"]
    assert bool(re.fullmatch(parameter["AllowedPattern"], url)) is fits
    ways = properties("TaskSecurityGroup")["SecurityGroupEgress"]
    assert {rule["ToPort"] for rule in ways if "CidrIp" in rule} == {443}


@pytest.mark.parametrize(
    ("url", "arn", "names"),
    [("", "", None), ("u", "a", ""), ("u", "", "LabelStudioUrl needs"), ("", "a", "Arn needs")],
)
def test_address_and_token_come_together(url: str, arn: str, names: str | None) -> None:
    rule = TEMPLATE["Rules"]["LabelStudioIsWhole"]
    values = {"LabelStudioUrl": url, "LabelStudioTokenSecretArn": arn}

    def holds(node: Any) -> bool:
        if "Fn::Not" in node:
            return not holds(node["Fn::Not"][0])
        one, other = (resolved(item, values) for item in node["Fn::Equals"])
        return bool(one == other)

    if names is None:
        assert not holds(rule["RuleCondition"])
        return
    assert holds(rule["RuleCondition"])
    failed = [a["AssertDescription"] for a in rule["Assertions"] if not holds(a["Assert"])]
    assert len(failed) == bool(names)
    assert names in "".join(failed)


def resolved(node: Any, values: dict[str, Any]) -> Any:
    """What CloudFormation makes of ``node``; a parameter without a value is its own name."""
    if not isinstance(node, dict):
        return node
    ((function, argument),) = node.items()
    match function:
        case "Ref":
            return values.get(argument, argument)
        case "Fn::GetAtt":
            return ".".join(argument)
        case "Fn::If":
            return resolved(argument[1 if values[argument[0]] else 2], values)
        case "Fn::Join":
            return argument[0].join(resolved(argument[1], values))
        case "Fn::Sub":
            text, own = argument if isinstance(argument, list) else (argument, {})
            known = {key: resolved(value, values) for key, value in own.items()}
            return re.sub(
                r"\$\{([^}]+)\}",
                lambda found: str(known.get(found[1], values.get(found[1], found[1]))),
                text,
            )
    raise AssertionError(f"{function} is not known here")


@pytest.mark.parametrize("task", TASKS)
def test_a_task_is_not_root_and_leaves_its_log(task: str) -> None:
    only = container(task)
    assert only["User"] == "imgclf"
    assert "EntryPoint" not in only
    assert only["Image"] == {"Ref": "ImageUri"}
    options = only["LogConfiguration"]["Options"]
    # EcsRunLauncher finds the log of a failed run by the prefix.
    assert options["awslogs-stream-prefix"] == only["Name"]
    group = properties(options["awslogs-group"]["Ref"])
    assert group["RetentionInDays"] > 0


def test_there_are_never_two_daemons() -> None:
    daemon = properties("DaemonService")
    deployment = daemon["DeploymentConfiguration"]
    assert daemon["DesiredCount"] == 1
    assert deployment["MaximumPercent"] == 100
    assert deployment["MinimumHealthyPercent"] == 0


@pytest.mark.parametrize("service", SERVICES)
def test_a_deployment_that_does_not_come_up_is_rolled_back(service: str) -> None:
    breaker = properties(service)["DeploymentConfiguration"]["DeploymentCircuitBreaker"]
    assert breaker == {"Enable": True, "Rollback": True}
    # EcsRunLauncher reads launchType of the daemon's task, and fails on a capacity provider.
    assert properties(service)["LaunchType"] == "FARGATE"


def test_the_services_find_each_other() -> None:
    host = environment("DaemonTaskDefinition")["IMGCLF_CODE_HOST"]
    assert host == environment("WebTaskDefinition")["IMGCLF_CODE_HOST"]
    assert host == {"Fn::Sub": f"{properties('CodeDiscovery')['Name']}.${{Project}}.internal"}
    assert properties("Namespace")["Name"] == {"Fn::Sub": "${Project}.internal"}
    ports = {
        rule["FromPort"]
        for kind in ("AWS::EC2::SecurityGroupIngress", "AWS::EC2::SecurityGroupEgress")
        for rule in of_type(kind).values()
        if rule["GroupId"] == {"Fn::GetAtt": ["TaskSecurityGroup", "GroupId"]}
    }
    assert ports == {4000, 5432}


# --- who may what ------------------------------------------------------------------------------


@pytest.mark.parametrize("role", ["ExecutionRole", "ControlRole"])
def test_rights_are_named_one_by_one(role: str) -> None:
    for statement in statements(role):
        assert statement["Effect"] == "Allow"
        assert not [action for action in actions(statement) if "*" in action]
        if statement["Resource"] == "*":
            assert set(actions(statement)) <= ONLY_STAR
        if "iam:PassRole" in actions(statement):
            passed = statement["Condition"]["StringEquals"]["iam:PassedToService"]
            assert passed == "ecs-tasks.amazonaws.com"
    trust = properties(role)["AssumeRolePolicyDocument"]["Statement"][0]
    assert trust["Principal"] == {"Service": "ecs-tasks.amazonaws.com"}


def test_daemon_and_web_server_have_exactly_what_the_launcher_calls() -> None:
    granted = {action for statement in statements("ControlRole") for action in actions(statement)}
    assert granted == {
        "ecs:RunTask", "ecs:TagResource", "ecs:DescribeTasks", "ecs:StopTask",
        "ecs:DescribeTaskDefinition", "ec2:DescribeNetworkInterfaces", "iam:PassRole",
        "logs:GetLogEvents", "s3:GetObject", "s3:ListBucket", "kms:Decrypt",
    }  # fmt: skip
    run = next(s for s in statements("ControlRole") if "ecs:RunTask" in actions(s))
    family = properties("RunTaskDefinition")["Family"]["Fn::Sub"]
    assert run["Resource"]["Fn::Sub"].endswith(f":task-definition/{family}:*")
    launched = environment("DaemonTaskDefinition")["IMGCLF_RUN_TASK_DEFINITION"]
    assert launched == {"Ref": "RunTaskDefinition"}
    assert container("RunTaskDefinition")["Name"] == "run"


def test_compute_logs_are_read_where_they_are_written() -> None:
    read = next(s for s in statements("ControlRole") if actions(s) == ["s3:GetObject"])
    for prefix in ("", "line/"):
        values = {"KeyPrefix": prefix, "BucketName": "lake", "AWS::Partition": "aws"}
        written = environment("RunTaskDefinition")["IMGCLF_COMPUTE_LOGS_PREFIX"]
        folder = resolved(written, values)
        allowed = resolved(read["Resource"], values).removesuffix("*")
        assert f"arn:aws:s3:::lake/{folder}/".startswith(allowed)


def test_every_alarm_tells_someone() -> None:
    alarms = of_type("AWS::CloudWatch::Alarm")
    assert {"WebAlarm", "DaemonAlarm", "CodeAlarm", "DatabaseStorageAlarm"} <= set(alarms)
    for alarm in alarms.values():
        assert alarm["AlarmActions"] == [{"Ref": "AlertsTopicArn"}]
    for gone in ("WebAlarm", "DaemonAlarm", "CodeAlarm"):
        assert alarms[gone]["TreatMissingData"] == "breaching"
