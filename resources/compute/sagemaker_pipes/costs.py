"""Estimates of a job's cost by list price; the order of magnitude, not the bill.

Discounts, savings plans, free tiers and taxes are not included. Prices change: pass your own as
``prices`` where it matters. https://aws.amazon.com/sagemaker/ai/pricing/
"""

from collections.abc import Mapping

PRICES_AS_OF = "2025-06"
"""Month of the list prices below."""

USD_PER_HOUR: Mapping[str, float] = {
    "ml.t3.medium": 0.05,
    "ml.t3.large": 0.10,
    "ml.t3.xlarge": 0.20,
    "ml.t3.2xlarge": 0.399,
    "ml.m5.large": 0.115,
    "ml.m5.xlarge": 0.23,
    "ml.m5.2xlarge": 0.461,
    "ml.m5.4xlarge": 0.922,
    "ml.m5.12xlarge": 2.765,
    "ml.m5.24xlarge": 5.53,
    "ml.c5.xlarge": 0.204,
    "ml.c5.2xlarge": 0.408,
    "ml.c5.4xlarge": 0.816,
    "ml.c5.9xlarge": 1.836,
    "ml.c5.18xlarge": 3.672,
    "ml.g4dn.xlarge": 0.736,
    "ml.g4dn.2xlarge": 0.94,
    "ml.g4dn.4xlarge": 1.505,
    "ml.g4dn.8xlarge": 2.72,
    "ml.g4dn.12xlarge": 4.89,
    "ml.g4dn.16xlarge": 5.44,
    "ml.g5.xlarge": 1.408,
    "ml.g5.2xlarge": 1.515,
    "ml.g5.4xlarge": 2.03,
    "ml.g5.8xlarge": 3.06,
    "ml.g5.12xlarge": 7.09,
    "ml.g5.16xlarge": 5.12,
    "ml.g5.24xlarge": 10.18,
    "ml.g5.48xlarge": 20.36,
    "ml.p3.2xlarge": 3.825,
    "ml.p3.8xlarge": 14.688,
    "ml.p3.16xlarge": 28.152,
}
"""On-demand prices of training and processing instances in us-east-1, without disks."""


def cost_usd(
    instance_type: str,
    instance_count: int,
    billable_seconds: float | None,
    prices: Mapping[str, float] | None = None,
) -> float | None:
    """Estimate the cost of a job's instances in USD; ``None`` if price or time is unknown.

    Args:
        instance_type: such as ``ml.g5.xlarge``.
        instance_count: number of instances.
        billable_seconds: SageMaker's, of one instance; for spot, the discounted time.
        prices: USD per hour by instance type; list prices apply to types it does not name.
    """
    price = {**USD_PER_HOUR, **(prices or {})}.get(instance_type)
    if price is None or billable_seconds is None:
        return None
    return round(price * instance_count * billable_seconds / 3600, 6)


def spot_saving_percent(run_seconds: float | None, billable_seconds: float | None) -> float | None:
    """Return the saving against on-demand in percent: ``1 - billable / run``."""
    if not run_seconds or billable_seconds is None:
        return None
    return round(100 * (1 - billable_seconds / run_seconds), 1)
