"""Jobs on SageMaker: requests, inputs, machines and attempts."""
