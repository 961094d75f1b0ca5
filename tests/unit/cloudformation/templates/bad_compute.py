"""The part of ``bad.py`` for ``rules_compute.py``."""

BAD: list[tuple[str, str, str]] = [
    *[
        (
            "canary_is_half_at_most",
            words,
            "Parameters: {P: {Type: Number, MaxValue: 90, MinValue: 0}}\nResources: {E: {Type: "
            "AWS::SageMaker::Endpoint, Properties: {DeploymentConfig: {BlueGreenUpdatePolicy: "
            "{TrafficRoutingConfiguration: {Type: CANARY, CanarySize: {Type: CAPACITY_PERCENT, "
            "Value: !If [C, !Ref P, 10]}, LinearStepSize: {Type: CAPACITY_PERCENT, Value: 60}}}}}}}",
        )
        for words in ("more than half", "10 to 50 %")
    ],
    (
        "deployments_have_time",
        "waits of 7800 s do not fit",
        "Parameters: {W: {Type: Number, MinValue: 0, MaxValue: 3600}}\nResources: {E: {Type: "
        "AWS::SageMaker::Endpoint, Properties: {DeploymentConfig: {BlueGreenUpdatePolicy: "
        "{MaximumExecutionTimeoutInSeconds: 7200, TerminationWaitInSeconds: 600, "
        "TrafficRoutingConfiguration: {Type: CANARY, WaitIntervalInSeconds: !Ref W}}}}}}",
    ),
    (
        "deployments_have_time",
        "must be 600 to 28,800",
        "E: {Type: AWS::SageMaker::Endpoint, Properties: {DeploymentConfig: {BlueGreenUpdatePolicy: "
        "{MaximumExecutionTimeoutInSeconds: 40000, "
        "TrafficRoutingConfiguration: {Type: ALL_AT_ONCE, WaitIntervalInSeconds: 1}}}}}",
    ),
    (
        "deployments_have_time",
        "has no Maximum",
        "E: {Type: AWS::SageMaker::Endpoint, Properties: {DeploymentConfig: {BlueGreenUpdatePolicy: "
        "{TrafficRoutingConfiguration: {Type: ALL_AT_ONCE, WaitIntervalInSeconds: 1}}}}}",
    ),
    (
        "deployments_roll_back",
        "not watched",
        "E: {Type: AWS::SageMaker::Endpoint, Properties: {DeploymentConfig: {BlueGreenUpdatePolicy: {}}}}",
    ),
    (
        "deployments_roll_back",
        "not watched",
        "E: {Type: AWS::SageMaker::Endpoint, Properties: {DeploymentConfig: "
        "{AutoRollbackConfiguration: {Alarms: [{AlarmName: by-hand}]}}}}",
    ),
    *[
        (
            "endpoints_can_be_replaced",
            "name of its own",
            f"M: {{Type: {kind}, Properties: {{{name}: m}}}}",
        )
        for kind, name in (
            ("AWS::SageMaker::Model", "ModelName"),
            ("AWS::SageMaker::EndpointConfig", "EndpointConfigName"),
        )
    ],
    *[
        (
            "variants_are_possible",
            words,
            "C: {Type: AWS::SageMaker::EndpointConfig, Properties: {ProductionVariants: [{VariantName: a, "
            "ServerlessConfig: {MemorySizeInMB: 3000, MaxConcurrency: 300}}, {VariantName: b}]}}",
        )
        for words in ("MemorySizeInMB", "MaxConcurrency", "one name")
    ],
    *[
        (
            "functions_are_possible",
            words,
            "F: {Type: AWS::Lambda::Function, Properties: {MemorySize: 12000, Timeout: 901}}",
        )
        for words in ("MemorySize", "Timeout", "kept for ever")
    ],
    (
        "functions_are_possible",
        "MemorySize",
        "F: {Type: AWS::Lambda::Function, Properties: {MemorySize: 512.5}}",
    ),
    ("nobody_enters_unasked", "R may be", "R: {Type: AWS::ApiGatewayV2::Route}"),
    (
        "nobody_enters_unasked",
        "R may be",
        "Parameters: {A: {Type: String, AllowedValues: [NONE, JWT]}}\nResources: {R: {Type: "
        "AWS::ApiGatewayV2::Route, Properties: {AuthorizationType: !Ref A}}}",
    ),
    (
        "nobody_enters_unasked",
        "U may be",
        "U: {Type: AWS::Lambda::Url, Properties: {AuthType: NONE}}",
    ),
    (
        "nobody_enters_unasked",
        "anybody's resources",
        "P: {Type: AWS::Lambda::Permission, Properties: {Principal: apigateway.amazonaws.com}}",
    ),
    (
        "nobody_enters_unasked",
        "nobody has asked",
        "L: {Type: AWS::ElasticLoadBalancingV2::Listener, Properties: {Protocol: HTTPS, "
        "DefaultActions: [{Type: forward}]}}",
    ),
    ("tasks_are_inside", "public address", "S: {Type: AWS::ECS::Service, Properties: {}}"),
    *[
        (
            "tasks_are_inside",
            words,
            "T: {Type: AWS::ECS::TaskDefinition, Properties: {ContainerDefinitions: "
            "[{Name: c, Privileged: true}]}}",
        )
        for words in ("logs to no group", "is privileged")
    ],
    *[
        (
            "builds_are_ours",
            words,
            "B: {Type: AWS::CodeBuild::Project, Properties: {Environment: "
            "{EnvironmentVariables: [{Name: GITHUB_TOKEN, Value: x}]}}}",
        )
        for words in ("kept for ever", "secret in the open")
    ],
]
