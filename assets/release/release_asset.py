"""What the four assets of the release share: their declaration, and how they refuse a version."""

from collections.abc import Callable, Sequence
from typing import Any

import dagster as dg

from assets.line import MODEL_VERSIONS, OWNERS
from assets.retries import retried
from resources.registry.registry import ModelPackage, ModelRegistry, RegistryError
from resources.transience import is_transient


def release_asset(
    *, after: dg.AssetsDefinition, description: str, kinds: set[str] | None = None
) -> Callable[[Callable[..., dg.MaterializeResult]], dg.AssetsDefinition]:
    """Declare an asset of the group ``release``: a partition per model version, retried.

    Args:
        after: the asset that comes before it.
        description: for the web UI, in Markdown.
        kinds: Dagster's kinds, shown as icons.

    Returns:
        The decorator of the asset's function.
    """

    def declare(compute: Callable[..., dg.MaterializeResult]) -> dg.AssetsDefinition:
        compute_or_retry: Callable[..., Any] = retried(compute)
        return dg.asset(
            group_name="release",
            kinds=kinds,
            owners=OWNERS,
            code_version="1",
            partitions_def=MODEL_VERSIONS,
            deps=[after],
            description=description,
        )(compute_or_retry)

    return declare


def find_package(registry: ModelRegistry, version: str) -> ModelPackage:
    """Return the package of a model version.

    Raises:
        dagster.Failure: the registry has none, or does not answer.
    """
    try:
        return registry.get(version)
    except RegistryError as error:
        raise dg.Failure(str(error), allow_retries=is_transient(error)) from error


def refuse_on(version: str, objections: Sequence[str], what: str) -> None:
    """Stop the asset if there are objections.

    Args:
        version: model version of the partition.
        objections: the reasons, a sentence each.
        what: what the version would have become, such as "registered".

    Raises:
        dagster.Failure: there are objections; the message lists all of them. Not retried.
    """
    if objections:
        listed = "\n".join(f"- {objection}" for objection in objections)
        raise dg.Failure(f"{version} is not {what}:\n{listed}", allow_retries=False)
