"""The model registry: the port, and its adapters for MLflow and SageMaker."""
