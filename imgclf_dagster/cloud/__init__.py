"""Deployment to an AWS account: stacks and the container image."""
