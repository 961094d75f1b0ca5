"""A Dagster Pipes client for SageMaker's jobs that knows nothing of ours."""
