"""What is deployed in an AWS account: stacks and the container image."""
