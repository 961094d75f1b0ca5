"""A Dagster Pipes client for SageMaker's jobs, independent of this project's jobs."""
