"""What matters of each resource of ``foundation.yaml``.

What the roles may do is in ``tests/contract/cloudformation/test_foundation_roles.py``.
"""

from tests.unit.cloudformation.templates.looks import (
    Look,
    Resource,
    att,
    both,
    has,
    kept,
    ref,
    says,
    service,
    sub,
    trusts,
    under,
)

SAGEMAKER = service("sagemaker.amazonaws.com")


def key(resource: Resource) -> None:
    statements = {s["Sid"]: s for s in resource["Properties"]["KeyPolicy"]["Statement"]}
    used = {
        action
        for s in statements.values()
        for action in s["Action"]
        if s["Sid"] != "AccountAdministers"
    }
    assert not any("Schedule" in action or "Policy" in action for action in used)
    grants = statements["AccountGrantsServices"]["Condition"]
    assert grants == {"Bool": {"kms:GrantIsForAWSResource": "true"}}
    (alerts,) = statements["AlertsAreEncrypted"]["Condition"].values()
    assert "${Project}-alerts" in str(alerts)
    (logs,) = statements["LogsAreEncrypted"]["Condition"].values()
    assert "log-group:*${Project}*" in str(logs)
    assert "kms:GenerateDataKey*" in statements["LogsAreEncrypted"]["Action"], "as CloudWatch says"


def store(resource: Resource) -> None:
    given = resource["Properties"]
    assert resource["DependsOn"] == "ArrivalsQueuePolicy", "S3 tries the queue out at once"
    (encryption,) = given["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert encryption["BucketKeyEnabled"] is True
    assert encryption["ServerSideEncryptionByDefault"] == {
        "SSEAlgorithm": "aws:kms",
        "KMSMasterKeyID": att("Key"),
    }
    reported = given["NotificationConfiguration"]["QueueConfigurations"]
    assert [(entry["Event"], entry["Filter"]["S3Key"]["Rules"]) for entry in reported] == [
        ("s3:ObjectCreated:*", [{"Name": "prefix", "Value": sub("${KeyPrefix}raw/")}]),
        ("s3:ObjectRemoved:*", [{"Name": "prefix", "Value": sub("${KeyPrefix}raw/")}]),
        ("s3:ObjectCreated:*", [{"Name": "prefix", "Value": sub("${KeyPrefix}annotations/")}]),
    ]
    assert {str(entry["Queue"]) for entry in reported} == {str(att("ArrivalsQueue"))}
    rules = {rule["Id"]: rule for rule in given["LifecycleConfiguration"]["Rules"]}
    assert rules["deleted-objects"]["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 7}
    assert rules["deleted-objects"]["NoncurrentVersionExpiration"] == {
        "NoncurrentDays": ref("NoncurrentDays")
    }
    assert "ExpirationInDays" not in rules["deleted-objects"], "the store itself never expires"
    ends = {
        name: (r["Prefix"], r["ExpirationInDays"]) for name, r in rules.items() if "Prefix" in r
    }
    assert ends == {
        "captures": (sub("${KeyPrefix}captures/"), ref("CaptureDays")),
        "pipes": (sub("${KeyPrefix}pipes/"), ref("WorkingDays")),
        "checkpoints": (sub("${KeyPrefix}checkpoints/"), ref("WorkingDays")),
    }


def log(stage: str) -> Look:
    return has(
        LogGroupName=sub(f"/aws/sagemaker/Endpoints/${{Project}}-{stage}"),
        RetentionInDays=ref("LogRetentionDays"),
        KmsKeyId=att("Key"),
    )


def budget(resource: Resource) -> None:
    assert resource["DependsOn"] == "AlertsTopicPolicy"
    given = resource["Properties"]
    assert given["Budget"]["BudgetLimit"] == {"Amount": ref("MonthlyBudgetUSD"), "Unit": "USD"}
    assert (given["Budget"]["BudgetType"], given["Budget"]["TimeUnit"]) == ("COST", "MONTHLY")
    texts = [
        (entry["Notification"]["NotificationType"], entry["Notification"]["Threshold"])
        for entry in given["NotificationsWithSubscribers"]
    ]
    assert texts == [("ACTUAL", 80), ("ACTUAL", 100), ("FORECASTED", 100)]
    for entry in given["NotificationsWithSubscribers"]:
        assert entry["Subscribers"] == [{"SubscriptionType": "SNS", "Address": ref("AlertsTopic")}]


def access_logs(resource: Resource) -> None:
    (encryption,) = resource["Properties"]["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    # S3 delivers to no other.
    assert encryption == {"ServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
    (rule,) = resource["Properties"]["LifecycleConfiguration"]["Rules"]
    assert rule["ExpirationInDays"] == 90


def shared_subnets(resource: Resource) -> None:
    """A subnet that is shared by RAM has the ARN of its owner's account."""
    statements = {s["Sid"]: s for s in resource["Properties"]["PolicyDocument"]["Statement"]}
    named = statements["Interfaces"]["Resource"]
    for kind in ("subnet", "security-group"):
        assert sub(f"arn:${{AWS::Partition}}:ec2:${{AWS::Region}}:*:{kind}/*") in named


def images(resource: Resource) -> None:
    import json

    given = resource["Properties"]
    assert given["EncryptionConfiguration"] == {"EncryptionType": "KMS", "KmsKey": att("Key")}
    # An endpoint starts new instances from its image, however old that is, and so does a task.
    (untagged,) = json.loads(given["LifecyclePolicy"]["LifecyclePolicyText"])["rules"]
    assert untagged["selection"]["tagStatus"] == "untagged"


EXPECTED: dict[str, Look] = {
    "Key": kept(
        has(EnableKeyRotation=True, PendingWindowInDays=30),
        says(
            "AccountAdministers",
            "AccountUses",
            "AccountGrantsServices",
            "AlertsAreEncrypted",
            "LogsAreEncrypted",
        ),
        key,
    ),
    "KeyAlias": has(AliasName=sub("alias/${Project}"), TargetKeyId=ref("Key")),
    "Store": kept(store),
    "StorePolicy": both(
        has(Bucket=ref("Store")), says("TlsOnly", "OnlyKms", "OnlyOurKey", "NoCustomerKeys")
    ),
    "AccessLogBucket": under("LogsAccess", kept(access_logs)),
    "AccessLogBucketPolicy": under(
        "LogsAccess", has(Bucket=ref("AccessLogBucket")), says("TlsOnly", "LogDelivery")
    ),
    "ArrivalsQueue": has(
        SqsManagedSseEnabled=True,
        ReceiveMessageWaitTimeSeconds=20,
        MessageRetentionPeriod=14 * 86_400,
        RedrivePolicy={"deadLetterTargetArn": att("ArrivalsDeadLetters"), "maxReceiveCount": 5},
    ),
    "ArrivalsDeadLetters": has(SqsManagedSseEnabled=True, MessageRetentionPeriod=14 * 86_400),
    "ArrivalsQueuePolicy": both(
        has(Queues=[ref("ArrivalsQueue"), ref("ArrivalsDeadLetters")]),
        says("TheStoreSends", "TlsOnly"),
    ),
    "DeadArrivalsAlarm": has(
        Dimensions=[{"Name": "QueueName", "Value": att("ArrivalsDeadLetters", "QueueName")}],
        Threshold=0,
        ComparisonOperator="GreaterThanThreshold",
        AlarmActions=[ref("AlertsTopic")],
    ),
    "PackageGroup": kept(has(ModelPackageGroupName=ref("Project"))),
    "Images": kept(has(RepositoryName=ref("Project"), ImageTagMutability="IMMUTABLE"), images),
    "StagingLogs": log("staging"),
    "ProdLogs": log("prod"),
    "AlertsTopic": has(TopicName=sub("${Project}-alerts"), KmsMasterKeyId=att("Key")),
    "AlertsEmailSubscription": under(
        "HasEmail", has(Protocol="email", Endpoint=ref("AlertsEmail"), TopicArn=ref("AlertsTopic"))
    ),
    "AlertsTopicPolicy": both(
        has(Topics=[ref("AlertsTopic")]), says("AlarmsPublish", "BudgetsPublish", "TlsOnly")
    ),
    "Budget": under("HasBudget", budget),
    "JobRole": both(trusts(SAGEMAKER), has(ManagedPolicyArns=[ref("ContainerPolicy")])),
    "EndpointRole": both(trusts(SAGEMAKER), has(ManagedPolicyArns=[ref("ContainerPolicy")])),
    "ContainerPolicy": says(
        "Login", "Image", "List", "Logs", "Metrics", "Objects", "Disks", "DiskKey"
    ),
    "NetworkPolicy": under(
        "InVpc",
        has(Roles=[ref("JobRole"), ref("EndpointRole")]),
        says("Look", "Interfaces", "LendThemToSageMaker"),
        shared_subnets,
    ),
    "OrchestratorRole": both(
        trusts(
            service("ecs-tasks.amazonaws.com"),
            {"AWS": {"Fn::Split": [",", ref("TrustedPrincipalArns")]}},
        ),
        has(ManagedPolicyArns=[ref("LineDataPolicy"), ref("LineControlPolicy")]),
    ),
    "LineDataPolicy": says(
        "Objects",
        "List",
        "LookAtBucket",
        "Arrivals",
        "Encryption",
        "Disks",
        "LookAtKey",
        "JobLogs",
    ),
    "LineControlPolicy": says(
        "Jobs",
        "Registry",
        "Endpoints",
        "WhatEndpointsServe",
        "BackToTheStack",
        "Stacks",
        "PassToJobs",
        "PassToStacks",
        "Alarms",
        "Images",
        "Doctor",
        "Look",
    ),
    "CloudFormationRole": both(
        trusts(service("cloudformation.amazonaws.com")),
        says(
            "MakeModels",
            "TagModels",
            "OwnModels",
            "Endpoints",
            "EndpointsTakeConfigs",
            "PassToEndpoints",
            "Disks",
            "DiskKey",
            "Alarms",
            "Autoscaling",
            "AutoscalingRole",
            "Look",
        ),
    ),
    "GitHubProvider": under(
        "MakesProvider",
        kept(
            has(
                Url="https://token.actions.githubusercontent.com",
                ClientIdList=["sts.amazonaws.com"],
            )
        ),
    ),
    "CiRole": both(
        trusts(
            service("codebuild.amazonaws.com"),
            {
                "Federated": {
                    "Fn::If": ["MakesProvider", att("GitHubProvider"), ref("GitHubOidcProviderArn")]
                }
            },
        ),
        says("Login", "Push", "Logs", "StackOutputs", "Look", "TestEndpoints"),
    ),
}
