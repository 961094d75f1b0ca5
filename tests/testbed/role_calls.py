"""Calls that the foundation's roles must be allowed, and calls that they must not.

A row is actions, a resource (``KEY``: the foundation's key) and what the call says of itself. The
first table follows the calls in ``resources/aws``, and what AWS does in a role's name.
"""

from resources.compute.job_names import JOB_KINDS, job_name

REGION, ACCOUNT = "us-east-1", "123456789012"
BUCKET = f"arn:aws:s3:::imgclf-{ACCOUNT}-{REGION}"


def sagemaker(resource):
    return f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:{resource}"


def role_arn(name):
    return f"arn:aws:iam::{ACCOUNT}:role/imgclf-{REGION}-{name}"


def stack(name):
    return f"arn:aws:cloudformation:{REGION}:{ACCOUNT}:stack/{name}/0f2c"


VIA_S3 = {"kms:ViaService": f"s3.{REGION}.amazonaws.com"}
TO_SAGEMAKER = {"iam:PassedToService": "sagemaker.amazonaws.com"}
TO_STACKS = {"iam:PassedToService": "cloudformation.amazonaws.com"}
GRANT = {"kms:GrantIsForAWSResource": "true"}
OURS = {"aws:ResourceTag/imgclf:project": "imgclf", "aws:RequestTag/imgclf:project": "imgclf"}
THEIRS = {"aws:ResourceTag/imgclf:project": "other", "aws:RequestTag/imgclf:project": "other"}
QUEUE = f"arn:aws:sqs:{REGION}:{ACCOUNT}:imgclf-arrivals"
LOGS = f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:/aws/sagemaker"
TRAINING, TUNING = (
    sagemaker("training-job/train-0a1b"),
    sagemaker("hyper-parameter-tuning-job/tune-1"),
)
GROUP = sagemaker("model-package-group/imgclf")
PACKAGE, ENDPOINT = sagemaker("model-package/imgclf/7"), sagemaker("endpoint/imgclf-prod")
CONFIG, MODEL = sagemaker("endpoint-config/endpointconfig-x"), sagemaker("model/model-x")
ALARM = f"arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:imgclf-endpoint-prod-ServerErrorAlarm-X"
IMAGES = f"arn:aws:ecr:{REGION}:{ACCOUNT}:repository/imgclf"
TARGET = f"arn:aws:application-autoscaling:{REGION}:{ACCOUNT}:scalable-target/0ab"


def job_calls():
    """Rows for jobs of every name that the line gives."""
    for stage, kind in JOB_KINDS.items():
        job = sagemaker(f"{kind}-job/{job_name(stage, '0a1b2c3d4e5f')}")
        verbs = ("Create", "Describe", "Stop")
        calls = " ".join(f"sagemaker:{verb}{kind.title()}Job" for verb in verbs)
        yield f"{calls} sagemaker:AddTags", job, {}


OF_THE_LINE = (
    "raw/a.jpg",
    "raw/corrections/0a1b.jpg",
    "annotations/label_studio/0a1b.json",
    "label-arrivals/1.json",
    "tables/images/part.parquet",
    "datasets/shards/0a1b.tar",
    "embeddings/tiny-16-0a/part.parquet",
    "inputs/0a1b/mobilenet_v2.pth",
    "models/train-0a1b/output/model.tar.gz",
    "pipes/train-0a1b/context.json",
    "checks/dataset/v1/no_split_leakage/1.json",
    "endpoints/prod/1.json",
    "queue/0a1b.json",
    "reports/labelling/1.html",
)
"""A key of each place of the store."""


ALLOWED = {
    "orchestrator": [
        (
            "s3:GetObject s3:PutObject s3:DeleteObject s3:AbortMultipartUpload",
            f"{BUCKET}/{key}",
            {},
        )
        for key in OF_THE_LINE
    ]
    + [
        ("s3:ListBucket", BUCKET, {}),
        ("s3:ListBucket", BUCKET, {"s3:prefix": "raw/"}),
        ("s3:GetBucketNotification s3:GetBucketPublicAccessBlock", BUCKET, {}),
        ("sqs:ReceiveMessage sqs:DeleteMessage sqs:GetQueueAttributes", QUEUE, {}),
        ("sqs:ChangeMessageVisibility", QUEUE, {}),
        ("kms:Decrypt kms:GenerateDataKey", "KEY", VIA_S3),
        ("kms:CreateGrant", "KEY", GRANT),
        ("kms:DescribeKey", "KEY", {}),
        *job_calls(),
        ("sagemaker:DescribeTrainingJob", sagemaker("training-job/tune-1-001-ab"), {}),
        (
            "sagemaker:CreateHyperParameterTuningJob sagemaker:StopHyperParameterTuningJob",
            TUNING,
            {},
        ),
        ("sagemaker:DescribeHyperParameterTuningJob", TUNING, {}),
        ("sagemaker:ListTrainingJobsForHyperParameterTuningJob", TUNING, {}),
        ("sagemaker:DescribeModelPackageGroup sagemaker:CreateModelPackageGroup", GROUP, {}),
        ("sagemaker:CreateModelPackage sagemaker:UpdateModelPackage", PACKAGE, {}),
        ("sagemaker:DescribeModelPackage", PACKAGE, {}),
        ("sagemaker:ListModelPackages", "*", {}),
        ("sagemaker:DescribeEndpoint sagemaker:InvokeEndpoint", ENDPOINT, {}),
        ("sagemaker:CreateEndpoint sagemaker:UpdateEndpoint sagemaker:AddTags", ENDPOINT, {}),
        ("sagemaker:DescribeEndpointConfig sagemaker:UpdateEndpoint", CONFIG, OURS),
        ("sagemaker:CreateEndpoint", CONFIG, OURS),
        ("sagemaker:ListEndpoints", "*", {}),
        ("sagemaker:DescribeModel", MODEL, OURS),
        ("sagemaker:DescribeModel", MODEL, THEIRS),
        ("logs:DescribeLogStreams", f"{LOGS}/TrainingJobs:log-stream:", {}),
        ("logs:GetLogEvents", f"{LOGS}/ProcessingJobs:log-stream:eval-2c/algo-1-1", {}),
        (
            "cloudformation:CreateChangeSet cloudformation:ExecuteChangeSet",
            stack("imgclf-endpoint-prod"),
            {},
        ),
        (
            "cloudformation:DescribeChangeSet cloudformation:DeleteChangeSet",
            stack("imgclf-endpoint-prod"),
            {},
        ),
        (
            "cloudformation:DescribeStacks cloudformation:DescribeStackEvents",
            stack("imgclf-endpoint-staging"),
            {},
        ),
        (
            "cloudformation:ListChangeSets cloudformation:DeleteStack",
            stack("imgclf-endpoint-staging"),
            {},
        ),
        ("cloudformation:GetTemplateSummary", "*", {}),
        ("iam:PassRole", role_arn("jobs"), TO_SAGEMAKER),
        ("iam:PassRole", role_arn("cloudformation"), TO_STACKS),
        ("iam:SimulatePrincipalPolicy iam:GetRole", role_arn("jobs"), {}),
        ("cloudwatch:DescribeAlarms", ALARM, {}),
        ("servicequotas:ListServiceQuotas", "*", {}),
        ("ecr:DescribeImages ecr:BatchGetImage", IMAGES, {}),
    ],
    "jobs": [
        ("s3:GetObject", f"{BUCKET}/datasets/v1/shard-0.tar", {}),
        ("s3:GetObject", f"{BUCKET}/raw/a.jpg", {}),
        ("s3:GetObject", f"{BUCKET}/embeddings/tiny-16-0a/part.parquet", {}),
        ("s3:GetObject s3:PutObject", f"{BUCKET}/models/embed-0a1b/processing/x", {}),
        ("s3:GetObject", f"{BUCKET}/inputs/weights/mobilenet_v2.pth", {}),
        ("s3:GetObject s3:PutObject", f"{BUCKET}/pipes/train-0a1b/1-0.json", {}),
        ("s3:GetObject s3:PutObject", f"{BUCKET}/models/train-0a1b/output/model.tar.gz", {}),
        (
            "s3:GetObject s3:PutObject s3:DeleteObject",
            f"{BUCKET}/checkpoints/train-0a1b/last.ckpt",
            {},
        ),
        ("s3:ListBucket", BUCKET, {}),
        ("kms:Decrypt kms:Encrypt kms:GenerateDataKey", "KEY", VIA_S3),
        ("kms:CreateGrant", "KEY", GRANT),
        ("ecr:GetAuthorizationToken", "*", {}),
        ("ecr:BatchGetImage ecr:GetDownloadUrlForLayer", IMAGES, {}),
        (
            "logs:CreateLogStream logs:PutLogEvents",
            f"{LOGS}/TrainingJobs:log-stream:train-0a1b/algo-1",
            {},
        ),
        ("cloudwatch:PutMetricData", "*", {"cloudwatch:namespace": "/aws/sagemaker/TrainingJobs"}),
    ],
    "endpoints": [
        ("s3:GetObject", f"{BUCKET}/models/train-0a1b/output/model.tar.gz", {}),
        ("s3:PutObject", f"{BUCKET}/captures/imgclf-prod/AllTraffic/2026/11/23/00/x.jsonl", {}),
        ("kms:Decrypt kms:GenerateDataKey", "KEY", VIA_S3),
        ("ecr:BatchGetImage", IMAGES, {}),
        ("logs:PutLogEvents", f"{LOGS}/Endpoints/imgclf-prod:log-stream:AllTraffic/i-1", {}),
        ("cloudwatch:DescribeAlarms", ALARM, {}),
    ],
    "cloudformation": [
        ("sagemaker:CreateModel", MODEL, OURS),
        ("sagemaker:AddTags", MODEL, {"sagemaker:TaggingAction": "CreateModel"}),
        ("sagemaker:DescribeModel sagemaker:DeleteModel", MODEL, OURS),
        ("sagemaker:CreateEndpointConfig", CONFIG, OURS),
        ("sagemaker:DescribeEndpointConfig sagemaker:DeleteEndpointConfig", CONFIG, OURS),
        ("sagemaker:CreateEndpoint sagemaker:UpdateEndpoint", CONFIG, {}),
        ("sagemaker:CreateEndpoint sagemaker:UpdateEndpoint", ENDPOINT, {}),
        ("sagemaker:DeleteEndpoint sagemaker:DescribeEndpoint sagemaker:AddTags", ENDPOINT, {}),
        ("iam:PassRole", role_arn("endpoints"), TO_SAGEMAKER),
        ("cloudwatch:PutMetricAlarm cloudwatch:DeleteAlarms cloudwatch:TagResource", ALARM, {}),
        (
            "application-autoscaling:RegisterScalableTarget",
            TARGET,
            {"application-autoscaling:service-namespace": "sagemaker"},
        ),
        (
            "application-autoscaling:PutScalingPolicy",
            TARGET,
            {"application-autoscaling:service-namespace": "sagemaker"},
        ),
        ("application-autoscaling:DescribeScalableTargets", "*", {}),
        ("application-autoscaling:DescribeScheduledActions", "*", {}),
        ("kms:CreateGrant", "KEY", GRANT),
    ],
    "ci": [
        ("ecr:GetAuthorizationToken", "*", {}),
        (
            "ecr:PutImage ecr:InitiateLayerUpload ecr:UploadLayerPart ecr:CompleteLayerUpload",
            IMAGES,
            {},
        ),
        ("cloudformation:DescribeStacks", stack("imgclf-foundation"), {}),
        ("sagemaker:InvokeEndpoint", sagemaker("endpoint/imgclf-staging"), {}),
    ],
}

OTHER_BUCKET = "arn:aws:s3:::other"
DENIED = {
    "orchestrator": [
        ("s3:GetObject s3:PutObject s3:DeleteObject", f"{OTHER_BUCKET}/raw/a.jpg", {}),
        ("s3:ListBucket", OTHER_BUCKET, {}),
        ("s3:DeleteBucket s3:PutBucketPolicy s3:PutLifecycleConfiguration", BUCKET, {}),
        ("s3:DeleteObjectVersion", f"{BUCKET}/raw/a.jpg", {}),
        ("sqs:DeleteQueue sqs:PurgeQueue sqs:SendMessage", QUEUE, {}),
        ("kms:Decrypt", "KEY", {}),
        ("kms:ScheduleKeyDeletion kms:PutKeyPolicy", "KEY", {}),
        ("kms:CreateGrant", "KEY", {"kms:GrantIsForAWSResource": "false"}),
        (
            "sagemaker:CreateTrainingJob sagemaker:StopTrainingJob",
            sagemaker("training-job/theirs"),
            {},
        ),
        (
            "sagemaker:CreateProcessingJob sagemaker:StopProcessingJob",
            sagemaker("processing-job/theirs"),
            {},
        ),
        ("sagemaker:DeleteEndpoint sagemaker:UpdateEndpointWeightsAndCapacities", ENDPOINT, {}),
        ("sagemaker:CreateEndpoint sagemaker:UpdateEndpoint", CONFIG, THEIRS),
        ("sagemaker:CreateModel sagemaker:CreateEndpointConfig", MODEL, OURS),
        ("sagemaker:InvokeEndpoint", sagemaker("endpoint/theirs-prod"), {}),
        ("sagemaker:DeleteModelPackageGroup", GROUP, {}),
        ("sagemaker:DeleteModelPackage", PACKAGE, {}),
        ("sagemaker:CreateModelPackage", sagemaker("model-package/theirs/1"), {}),
        ("sagemaker:CreateNotebookInstance", sagemaker("notebook-instance/x"), {}),
        (
            "cloudformation:CreateChangeSet cloudformation:DeleteStack",
            stack("imgclf-foundation"),
            {},
        ),
        ("cloudformation:ExecuteChangeSet", stack("theirs"), {}),
        ("iam:PassRole", role_arn("jobs"), TO_STACKS),
        ("iam:PassRole", role_arn("endpoints"), TO_SAGEMAKER),
        ("iam:PassRole", role_arn("cloudformation"), TO_SAGEMAKER),
        ("iam:PassRole", f"arn:aws:iam::{ACCOUNT}:role/Admin", TO_SAGEMAKER),
        ("iam:CreateUser iam:CreateRole iam:PutRolePolicy", role_arn("jobs"), {}),
        ("iam:AttachRolePolicy", role_arn("orchestrator"), {}),
        ("ecr:PutImage ecr:DeleteRepository", IMAGES, {}),
        (
            "logs:GetLogEvents",
            f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:/theirs:log-stream:x",
            {},
        ),
    ],
    "jobs": [
        ("s3:GetObject", f"{BUCKET}/captures/imgclf-prod/x.jsonl", {}),
        ("s3:PutObject s3:DeleteObject", f"{BUCKET}/raw/a.jpg", {}),
        ("s3:PutObject", f"{BUCKET}/datasets/v1/manifest.parquet", {}),
        ("s3:DeleteObject", f"{BUCKET}/models/train-0a1b/output/model.tar.gz", {}),
        ("s3:GetObject", f"{OTHER_BUCKET}/x", {}),
        ("sagemaker:CreateTrainingJob", TRAINING, {}),
        ("iam:PassRole", role_arn("jobs"), TO_SAGEMAKER),
        ("kms:Decrypt kms:Encrypt", "KEY", {}),
        ("cloudwatch:PutMetricData", "*", {"cloudwatch:namespace": "AWS/EC2"}),
        ("ec2:CreateNetworkInterface", f"arn:aws:ec2:{REGION}:{ACCOUNT}:subnet/subnet-1", {}),
        ("ecr:PutImage", IMAGES, {}),
    ],
    "endpoints": [
        ("s3:GetObject", f"{BUCKET}/raw/a.jpg", {}),
        ("s3:PutObject", f"{BUCKET}/models/train-0a1b/output/model.tar.gz", {}),
        ("s3:GetObject", f"{BUCKET}/captures/imgclf-prod/x.jsonl", {}),
        ("sagemaker:InvokeEndpoint", ENDPOINT, {}),
        ("cloudwatch:DeleteAlarms", ALARM, {}),
    ],
    "cloudformation": [
        ("sagemaker:CreateModel sagemaker:DeleteModel", MODEL, THEIRS),
        ("sagemaker:CreateModel", MODEL, {}),
        ("sagemaker:DeleteEndpoint", sagemaker("endpoint/theirs-prod"), {}),
        ("sagemaker:CreateTrainingJob", TRAINING, {}),
        ("iam:PassRole", role_arn("jobs"), TO_SAGEMAKER),
        ("iam:PassRole", role_arn("endpoints"), TO_STACKS),
        ("iam:CreateRole", role_arn("endpoints"), {}),
        (
            "application-autoscaling:RegisterScalableTarget",
            TARGET,
            {"application-autoscaling:service-namespace": "ecs"},
        ),
        ("s3:GetObject", f"{BUCKET}/models/x", {}),
        ("cloudwatch:DeleteAlarms", f"arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:theirs", {}),
    ],
    "ci": [
        ("ecr:BatchDeleteImage ecr:DeleteRepository ecr:PutLifecyclePolicy", IMAGES, {}),
        ("ecr:PutImage", f"arn:aws:ecr:{REGION}:{ACCOUNT}:repository/theirs", {}),
        ("cloudformation:CreateChangeSet", stack("imgclf-foundation"), {}),
        (
            "cloudformation:CreateChangeSet cloudformation:ExecuteChangeSet "
            "cloudformation:UpdateStack cloudformation:DeleteStack",
            stack("imgclf-endpoint-staging"),
            {},
        ),
        (
            "cloudformation:CreateChangeSet cloudformation:ExecuteChangeSet "
            "cloudformation:UpdateStack cloudformation:DeleteStack",
            stack("imgclf-endpoint-prod"),
            {},
        ),
        ("sagemaker:UpdateEndpoint", ENDPOINT, {}),
        ("iam:PassRole", role_arn("cloudformation"), TO_STACKS),
        ("iam:PassRole", role_arn("jobs"), TO_SAGEMAKER),
        ("s3:GetObject", f"{BUCKET}/raw/a.jpg", {}),
        ("iam:CreateUser", f"arn:aws:iam::{ACCOUNT}:user/x", {}),
    ],
}
