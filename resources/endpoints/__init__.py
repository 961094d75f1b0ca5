"""Endpoints that serve models: the port, and its adapters for this machine and SageMaker."""
