"""The model registry: the port, MLflow and SageMaker behind it."""
