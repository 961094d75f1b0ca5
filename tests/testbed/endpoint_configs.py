"""Models and endpoint configurations: what SageMaker checks of them before it starts anything.

Wordings of the refusals are SageMaker's as far as they are known from its users' reports; what
serverless excludes: https://docs.aws.amazon.com/sagemaker/latest/dg/serverless-endpoints.html
"""

from collections.abc import Callable
from typing import Any

from tests.testbed import storage
from tests.testbed.listing import page
from tests.testbed.state import ACCOUNT, ApiError, State, now

_MANIFESTS = (
    "application/vnd.docker.distribution.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v1+prettyjws",
    "application/vnd.docker.distribution.manifest.v2+json",
)
_SERVERLESS_MEMORY_MB = range(1024, 6144 + 1, 1024)


def invalid(message: str) -> ApiError:
    """A ValidationException."""
    return ApiError("ValidationException", message)


def found(state: State, kind: str, word: str, name: str) -> Any:
    """The entry ``name`` of the table ``kind``. Raises ValidationException in SageMaker's words."""
    entry = state.table(kind).get(name)
    if entry is None:
        raise invalid(f'Could not find {word} "{state.arn(kind, name)}".')
    return entry


def absent(state: State, kind: str, word: str, name: str) -> str:
    """The ARN of what is about to be made. Raises ValidationException if it is there already."""
    arn = state.arn(kind, name)
    if name in state.table(kind):
        raise invalid(f'Cannot create already existing {word} "{arn}".')
    return arn


def create_model(state: State, request: dict[str, Any]) -> dict[str, Any]:
    containers = [request["PrimaryContainer"]] if "PrimaryContainer" in request else []
    containers += request.get("Containers", [])
    if len(containers) != 1 or not {"Image", "ModelDataUrl"} <= set(containers[0]):
        raise invalid("the stand-in runs models of one container with Image and ModelDataUrl")
    container = containers[0]
    with state.lock:
        arn = absent(state, "model", "model", request["ModelName"])
        _check_image(state, container["Image"])
        _check_data(container["ModelDataUrl"])
        kept = {key: value for key, value in request.items() if key != "Tags"}
        kept |= {"ModelArn": arn, "CreationTime": now(), "PrimaryContainer": container}
        kept.pop("Containers", None)
        state.table("model")[request["ModelName"]] = kept
        state.tag(arn, request.get("Tags"))
    return {"ModelArn": arn}


def _check_image(state: State, uri: str) -> None:
    """An image that the account has must be in Docker's own format. (One that was never pushed is
    not looked for.) The words: https://github.com/aws/amazon-sagemaker-feedback/issues/180

    Raises:
        ApiError: it is an OCI manifest, or an index of several images.
    """
    from moto.ecr.models import ecr_backends

    name, _, digest = uri.partition("/")[2].partition("@")
    repository, _, tag = name.partition(":")
    backend = ecr_backends[ACCOUNT][state.region]
    if repository not in backend.repositories:
        return
    for image in backend.repositories[repository].images:
        wanted = image.image_digest == digest if digest else (tag or "latest") in image.image_tags
        if wanted and image.image_manifest_media_type not in _MANIFESTS:
            raise invalid(
                f"Unsupported manifest media type {image.image_manifest_media_type} for image "
                f"{uri}. Ensure that valid manifest media type is used for specified image."
            )


def _check_data(url: str) -> None:
    try:
        missing = url not in {f"s3://{storage.split(url)[0]}/{key}" for key in storage.keys(url)}
    except storage.DownloadFailed:
        missing = True
    if missing:
        raise invalid(f"Could not find model data at {url}.")


def create_endpoint_config(state: State, request: dict[str, Any]) -> dict[str, Any]:
    with state.lock:
        name = request["EndpointConfigName"]
        arn = absent(state, "endpoint-config", "endpoint configuration", name)
        variants = request["ProductionVariants"]
        names = [variant["VariantName"] for variant in variants]
        if len(set(names)) != len(names):
            raise invalid("Production variant names must be unique")
        for variant in variants:
            model = found(state, "model", "model", variant.get("ModelName", ""))
            _check_variant(request, variant, model)
        kept = {key: value for key, value in request.items() if key != "Tags"}
        kept |= {"EndpointConfigArn": arn, "CreationTime": now()}
        state.table("endpoint-config")[name] = kept
        state.tag(arn, request.get("Tags"))
    return {"EndpointConfigArn": arn}


def _check_variant(config: dict[str, Any], variant: dict[str, Any], model: dict[str, Any]) -> None:
    if "ServerlessConfig" not in variant:
        missing = {"InstanceType", "InitialInstanceCount"} - set(variant)
        if missing:
            raise invalid(f"{' and '.join(sorted(missing))} must be given for an instance variant")
        return
    refusals = {
        "instance types": "InstanceType" in variant or "InitialInstanceCount" in variant,
        "several production variants": len(config["ProductionVariants"]) > 1,
        "data capture": config.get("DataCaptureConfig", {}).get("EnableCapture", False),
        "VPC configuration": "VpcConfig" in model or "VpcConfig" in config,
        "network isolation": model.get("EnableNetworkIsolation", False)
        or config.get("EnableNetworkIsolation", False),
        "volume sizes": "VolumeSizeInGB" in variant,
        "KMS keys of a storage volume": "KmsKeyId" in config,
    }
    for what, given in refusals.items():
        if given:
            raise invalid(f"Serverless endpoints do not support {what}")
    if variant["ServerlessConfig"]["MemorySizeInMB"] not in _SERVERLESS_MEMORY_MB:
        raise invalid("MemorySizeInMB must be 1024, 2048, 3072, 4096, 5120 or 6144")


def _describer(kind: str, word: str, key: str) -> Callable[[State, dict[str, Any]], dict[str, Any]]:
    def describe(state: State, request: dict[str, Any]) -> dict[str, Any]:
        with state.lock:
            return dict(found(state, kind, word, request[key]))

    return describe


def _deleter(kind: str, word: str, key: str) -> Callable[[State, dict[str, Any]], dict[str, Any]]:
    def delete(state: State, request: dict[str, Any]) -> dict[str, Any]:
        # SageMaker lets one in use go too; the endpoint then cannot be updated or repaired.
        with state.lock:
            found(state, kind, word, request[key])
            del state.table(kind)[request[key]]
            state.tags.pop(state.arn(kind, request[key]), None)
        return {}

    return delete


def _lister(
    kind: str, members: tuple[str, ...], answer: str
) -> Callable[[State, dict[str, Any]], dict[str, Any]]:
    def list_all(state: State, request: dict[str, Any]) -> dict[str, Any]:
        with state.lock:
            entries = [
                {member: entry[member] for member in members}
                for entry in state.table(kind).values()
            ]
        return page(request, entries, member=answer, name=members[0])

    return list_all


OPERATIONS: dict[str, Callable[[State, dict[str, Any]], dict[str, Any]]] = {
    "CreateModel": create_model,
    "DescribeModel": _describer("model", "model", "ModelName"),
    "DeleteModel": _deleter("model", "model", "ModelName"),
    "ListModels": _lister("model", ("ModelName", "ModelArn", "CreationTime"), "Models"),
    "CreateEndpointConfig": create_endpoint_config,
    "DescribeEndpointConfig": _describer(
        "endpoint-config", "endpoint configuration", "EndpointConfigName"
    ),
    "DeleteEndpointConfig": _deleter(
        "endpoint-config", "endpoint configuration", "EndpointConfigName"
    ),
    "ListEndpointConfigs": _lister(
        "endpoint-config",
        ("EndpointConfigName", "EndpointConfigArn", "CreationTime"),
        "EndpointConfigs",
    ),
}
