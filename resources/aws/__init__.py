"""The ports' adapters for AWS: SageMaker computes, registers and serves, CloudFormation deploys."""
