"""The jobs: parts of the line, for the command line and Dagster's launchpad."""

from typing import TYPE_CHECKING

import dagster as dg

if TYPE_CHECKING:
    from dagster._core.definitions.unresolved_asset_job_definition import (
        UnresolvedAssetJobDefinition,
    )

LINE = "line"
RELEASE_CANDIDATE = "release_candidate"
PROMOTION = "promotion"
CHALLENGE = "challenge"
TUNE = "tune"
LABELLING = "labelling"

LINE_ASSETS = ("raw_images", "annotations", "dataset", "trained_model", "evaluation_report")


def jobs() -> "list[UnresolvedAssetJobDefinition]":
    """Return all jobs of the code location."""
    return [
        dg.define_asset_job(
            LINE,
            selection=dg.AssetSelection.assets(*LINE_ASSETS),
            description="From arriving images to an evaluated candidate.",
        ),
        dg.define_asset_job(
            CHALLENGE,
            # Without evaluation_report: it would count as in progress meanwhile, and that of a model
            # of newer data would have to wait.
            selection=dg.AssetSelection.assets("challenger_model"),
            description="Fine-tune a challenger of the newest trained model and compare the two.",
        ),
        dg.define_asset_job(
            TUNE,
            selection=dg.AssetSelection.assets(
                "raw_images", "annotations", "dataset", "hyperparameters"
            ),
            description="Search hyperparameters for the next fine-tuning.",
        ),
        dg.define_asset_job(
            RELEASE_CANDIDATE,
            selection=dg.AssetSelection.assets("registered_package", "staging_endpoint"),
            description="Register a candidate that passed its gates, and stage it.",
        ),
        dg.define_asset_job(
            PROMOTION,
            selection=dg.AssetSelection.assets("release_approval", "prod_endpoint"),
            description="Record a person's approval and roll the package out to production.",
        ),
        dg.define_asset_job(
            LABELLING,
            selection=dg.AssetSelection.assets("embeddings", "labelling_queue"),
            description="Look at what came, and ask people for the labels that are worth most.",
        ),
    ]
