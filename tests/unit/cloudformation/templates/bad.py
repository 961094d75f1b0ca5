"""Small bad templates: for each rule, what it must catch, and the words it must say.

``Resources`` alone where that is all it takes; a whole template where it has ``Resources:``.
"""

from tests.unit.cloudformation.templates import bad_compute

BAD: list[tuple[str, str, str]] = [
    ("short_and_ascii", "not ASCII", "Description: grün\nResources: {}"),
    (
        "short_and_ascii",
        "a request carries 51,200",
        "Description: " + "x" * 51_200 + "\nResources: {}",
    ),
    (
        "described",
        "Parameters.A has no",
        "Description: d\nParameters: {A: {Type: String}}\nResources: {}",
    ),
    ("described", "the template has no", "Resources: {}"),
    ("described", "Outputs.A has no", "Description: d\nResources: {}\nOutputs: {A: {Value: 1}}"),
    (
        "parameters_are_used",
        "parameter A",
        "Parameters: {A: {Type: String}}\nRules: {R: {Assertions: [{Assert: !Equals [!Ref A, a]}]}}\n"
        "Resources: {T: {Type: AWS::SNS::Topic, Properties: {TopicName: '${A}'}}}",
    ),
    ("what_holds_data_says_its_fate", "B has no DeletionPolicy", "B: {Type: AWS::S3::Bucket}"),
    (
        "what_holds_data_says_its_fate",
        "UpdateReplacePolicy must not be Delete",
        "B: {Type: AWS::RDS::DBInstance, DeletionPolicy: Snapshot, UpdateReplacePolicy: Delete}",
    ),
    (
        "no_secrets_in_the_open",
        "parameter DbPassword",
        "Parameters: {DbPassword: {Type: String}}\nResources: {}",
    ),
    (
        "no_secrets_in_the_open",
        "MasterUserPassword is a secret",
        "D: {Type: AWS::RDS::DBInstance, Properties: {MasterUserPassword: hunter2}}",
    ),
    (
        "no_secrets_in_the_open",
        "API_TOKEN belongs into Secrets",
        "T: {Type: AWS::ECS::TaskDefinition, Properties: {ContainerDefinitions: "
        "[{Environment: [{Name: API_TOKEN, Value: x}]}]}}",
    ),
    # ------------------------------------------------------------------ IAM
    *[
        (
            "no_wildcard_actions",
            f"allows {action}",
            f"P: {{Type: AWS::IAM::ManagedPolicy, Properties: {{PolicyDocument: {{Statement: "
            f"[{{Effect: Allow, Action: ['{action}'], Resource: x}}]}}}}}}",
        )
        for action in ("*", "s3:*", "s3:Get*")
    ],
    (
        "no_wildcard_actions",
        "allows by exclusion",
        "R: {Type: AWS::IAM::Role, Properties: {Policies: [{PolicyName: p, PolicyDocument: "
        "{Statement: {Effect: Allow, NotAction: 'iam:*', Resource: x}}}]}}",
    ),
    (
        "any_resource_only_with_reason",
        "s3:GetObject on every resource",
        "R: {Type: AWS::IAM::Role, Properties: {Policies: [{PolicyName: p, PolicyDocument: "
        "{Statement: [!If [C, {Effect: Allow, Action: 's3:GetObject', Resource: '*'}, !Ref AWS::NoValue]]}}]}}",
    ),
    (
        "any_resource_only_with_reason",
        "without cloudwatch:namespace",
        "P: {Type: AWS::IAM::ManagedPolicy, Properties: {PolicyDocument: {Statement: "
        "[{Effect: Allow, Action: 'cloudwatch:PutMetricData', Resource: '*'}]}}}",
    ),
    (
        "resources_are_scoped",
        "role/*",
        "P: {Type: AWS::IAM::ManagedPolicy, Properties: {PolicyDocument: {Statement: [{Effect: Allow, "
        "Action: 'iam:GetRole', Resource: !Sub 'arn:aws:iam::${AWS::AccountId}:role/*'}]}}}",
    ),
    (
        "nobody_is_everybody",
        "allows everybody",
        "P: {Type: AWS::SQS::QueuePolicy, Properties: {PolicyDocument: {Statement: "
        "[{Effect: Allow, Principal: '*', Action: 'sqs:SendMessage', Resource: x}]}}}",
    ),
    (
        "nobody_is_everybody",
        "allows everybody",
        "R: {Type: AWS::IAM::Role, Properties: {AssumeRolePolicyDocument: {Statement: "
        "[{Effect: Allow, Principal: {AWS: '*'}, Action: 'sts:AssumeRole'}]}}}",
    ),
    (
        "nobody_is_everybody",
        "allows by exclusion",
        "P: {Type: AWS::S3::BucketPolicy, Properties: {PolicyDocument: {Statement: "
        "[{Effect: Allow, NotPrincipal: {AWS: x}, Action: 's3:GetObject', Resource: x}]}}}",
    ),
    (
        "services_act_for_this_account",
        "sagemaker.amazonaws.com act for any account",
        "R: {Type: AWS::IAM::Role, Properties: {AssumeRolePolicyDocument: {Statement: "
        "[{Effect: Allow, Principal: {Service: [sagemaker.amazonaws.com]}, Action: 'sts:AssumeRole'}]}}}",
    ),
    (
        "services_act_for_this_account",
        "trusts everybody at",
        "R: {Type: AWS::IAM::Role, Properties: {AssumeRolePolicyDocument: {Statement: [{Effect: Allow, "
        "Principal: {Federated: x}, Action: 'sts:AssumeRoleWithWebIdentity', "
        "Condition: {StringEquals: {'token.actions.githubusercontent.com:aud': sts.amazonaws.com}}}]}}}",
    ),
    (
        "roles_are_passed_to_one_service",
        "to any service",
        "P: {Type: AWS::IAM::ManagedPolicy, Properties: {PolicyDocument: {Statement: "
        "[{Effect: Allow, Action: 'iam:PassRole', Resource: x}]}}}",
    ),
    (
        "policies_fit",
        "P has about",
        "P: {Type: AWS::IAM::ManagedPolicy, Properties: {PolicyDocument: {Statement: "
        f"[{{Effect: Allow, Action: 's3:GetObject', Resource: [{', '.join(['x' * 60] * 110)}]}}]}}}}}}",
    ),
    (
        "policies_fit",
        "R has about",
        "R: {Type: AWS::IAM::Role, Properties: {Policies: [{PolicyName: p, PolicyDocument: {Statement: "
        f"[{{Effect: Allow, Action: 's3:GetObject', Resource: [{', '.join(['x' * 60] * 180)}]}}]}}}}]}}}}",
    ),
    # ------------------------------------------------------------------ data
    *[
        ("buckets_are_shut", words, "B: {Type: AWS::S3::Bucket}")
        for words in ("made public", "no encryption", "no versions", "own objects", "without TLS")
    ],
    (
        "buckets_are_shut",
        "made public",
        "B: {Type: AWS::S3::Bucket, Properties: {PublicAccessBlockConfiguration: {BlockPublicAcls: true, "
        "BlockPublicPolicy: true, IgnorePublicAcls: true, RestrictPublicBuckets: false}}}",
    ),
    (
        "buckets_are_shut",
        "without TLS",
        "B: {Type: AWS::S3::Bucket}\n  P: {Type: AWS::S3::BucketPolicy, Properties: {Bucket: !Ref B, "
        "PolicyDocument: {Statement: [{Effect: Deny, Principal: {AWS: x}, Action: 's3:*', Resource: x, "
        "Condition: {Bool: {'aws:SecureTransport': 'false'}}}]}}}",
    ),
    ("uploads_that_broke_off_go", "incomplete uploads", "B: {Type: AWS::S3::Bucket}"),
    ("keys_rotate", "does not rotate", "K: {Type: AWS::KMS::Key}"),
    (
        "keys_rotate",
        "does not rotate",
        "K: {Type: AWS::KMS::Key, Properties: {EnableKeyRotation: !If [C, true, false]}}",
    ),
    ("queues_lose_nothing", "no dead-letter queue", "Q: {Type: AWS::SQS::Queue}"),
    ("queues_lose_nothing", "not encrypted", "Q: {Type: AWS::SQS::Queue}"),
    ("topics_are_encrypted", "T is not", "T: {Type: AWS::SNS::Topic}"),
    (
        "topics_are_encrypted",
        "T is not",
        "T: {Type: AWS::SNS::Topic, Properties: {KmsMasterKeyId: alias/aws/sns}}",
    ),
    ("logs_end", "for ever", "L: {Type: AWS::Logs::LogGroup, Properties: {}}"),
    *[
        ("databases_are_private", words, "D: {Type: AWS::RDS::DBInstance}")
        for words in ("not encrypted", "public", "deletion", "no backups", "dynamic reference")
    ],
    (
        "databases_are_private",
        "not protected",
        "Parameters: {P: {Type: String, Default: 'false', AllowedValues: ['true', 'false']}}\n"
        "Resources: {D: {Type: AWS::RDS::DBInstance, Properties: {DeletionProtection: !Ref P}}}",
    ),
    *[
        ("images_stay_what_they_are", words, "R: {Type: AWS::ECR::Repository}")
        for words in ("lets tags move", "does not scan", "grows for ever")
    ],
    *[
        (
            "nothing_is_open_to_the_world",
            words,
            "G: {Type: AWS::EC2::SecurityGroup, Properties: {SecurityGroupIngress: "
            "[{IpProtocol: '-1', FromPort: 22, CidrIp: 0.0.0.0/0}]}}",
        )
        for words in ("every protocol", "port 22 to addresses", "port 22 to the world")
    ],
    (
        "nothing_is_open_to_the_world",
        "port 80 to the world",
        "Parameters: {C: {Type: String, Default: '::/0'}}\nResources:\n"
        "  L: {Type: AWS::ElasticLoadBalancingV2::LoadBalancer, Properties: {SecurityGroups: [!Ref G]}}\n"
        "  G: {Type: AWS::EC2::SecurityGroup}\n"
        "  I: {Type: AWS::EC2::SecurityGroupIngress, Properties: "
        "{GroupId: !GetAtt G.GroupId, IpProtocol: tcp, FromPort: 80, CidrIpv6: !Ref C}}",
    ),
    *bad_compute.BAD,
]
