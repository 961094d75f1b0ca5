"""Where models answer: the port, this machine and SageMaker behind it."""
