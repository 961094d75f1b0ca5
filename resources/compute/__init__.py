"""The compute port: jobs, their names, messages and outputs, on this machine or on SageMaker."""
