"""AWS's refusals in our words: what, why, remedy; and whether a retry can help."""

import pytest
from botocore.exceptions import (
    ClientError,
    EndpointConnectionError,
    NoCredentialsError,
    NoRegionError,
)

from resources.aws.errors import error_code, error_message, is_in_use, is_missing, is_permanent

pytestmark = pytest.mark.unit

QUOTA = (
    "The account-level service limit 'ml.g5.xlarge for training job usage' is {} Instances, with "
    "current utilization of {} Instances and a request delta of 1 Instances. Please use AWS "
    "Service Quotas to request an increase for this quota."
)
DENIED = (
    "User: arn:aws:sts::123456789012:assumed-role/imgclf-orchestrator/i-0 is not authorized to "
    "perform: sagemaker:CreateTrainingJob on resource: arn:aws:sagemaker:…"
)


def refusal(code: str, message: str = "no") -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, "CreateTrainingJob")


@pytest.mark.parametrize(
    ("error", "permanent", "says"),
    [
        (
            refusal("AccessDeniedException", DENIED),
            True,
            "allow sagemaker:CreateTrainingJob to role imgclf-orchestrator",
        ),
        (refusal("ExpiredTokenException"), True, "sign in again"),
        (refusal("ValidationException", "1 error: InstanceCount"), True, "correct what is named"),
        (refusal("ThrottlingException", "Rate exceeded"), False, "AWS throttles"),
        (refusal("InternalFailure"), False, "try again"),
        (refusal("ResourceLimitExceeded", QUOTA.format(0, 0)), True, "another instance type"),
        (refusal("ResourceLimitExceeded", QUOTA.format(1, 1)), False, "other jobs have ended"),
        (NoCredentialsError(), True, "there are no credentials"),
        (NoRegionError(), True, "aws.region"),
        (EndpointConnectionError(endpoint_url="http://127.0.0.1:9"), False, "cannot be reached"),
    ],
)
def test_each_refusal_has_its_remedy(error: Exception, permanent: bool, says: str) -> None:
    text = error_message(error, "CreateTrainingJob train-1")
    assert text.startswith("CreateTrainingJob train-1: ")
    assert says in text.partition("Remedy: ")[2]
    assert is_permanent(error) is permanent


def test_states_are_told_from_errors() -> None:
    assert is_missing(refusal("ValidationException", "Requested resource not found."))
    assert is_missing(refusal("ResourceNotFound"))
    assert not is_missing(refusal("ValidationException", "1 validation error"))
    assert is_in_use(refusal("ResourceInUse"))
    exists = (
        "Model Package Group already exists: arn:aws:sagemaker:us-east-1:1:model-package-group/x"
    )
    assert is_in_use(refusal("ValidationException", exists))
    assert not is_in_use(refusal("ValidationException", "1 validation error"))
    assert error_code(refusal("ResourceInUse")) == "ResourceInUse"
    assert error_code(NoRegionError()) == "NoRegionError"
