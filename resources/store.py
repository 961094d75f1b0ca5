"""The object store as a resource of Dagster, which shows where it is."""

from typing import Self

import dagster as dg
from pydantic import field_validator

from object_store.address import checked_url
from object_store.store import ObjectStore


class StoreResource(dg.ConfigurableResource[ObjectStore]):
    """Gives assets, checks and sensors an ``ObjectStore``; the fields are its arguments."""

    url: str
    region: str = ""
    profile_name: str = ""
    kms_key_arn: str = ""
    options: dict[str, str] = {}

    _checked = field_validator("url")(checked_url)

    @classmethod
    def of(cls, store: ObjectStore) -> Self:
        """Return the resource that gives a store like ``store``."""
        return cls(
            url=store.url,
            region=store.region,
            profile_name=store.profile_name,
            kms_key_arn=store.kms_key_arn,
            options=dict(store.options),
        )

    def create_resource(self, context: dg.InitResourceContext) -> ObjectStore:
        """Return the store; nothing is asked of it yet."""
        return ObjectStore(**self.model_dump())
