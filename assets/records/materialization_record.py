"""What the records of all materializations have; imports no Dagster, as ``imgclf runs`` reads some."""

from typing import ClassVar, Self

from pydantic import BaseModel, ConfigDict, model_validator

MATERIALIZATIONS = "materializations/"
"""Prefix of the records in the store."""


class MaterializationRecord(BaseModel):
    """What one materialization of an asset found. A subclass has the fields of its asset.

    Attributes:
        asset: name of the asset.
        newest_schema: newest version of the fields that this code can read. A field that is added needs a
            default and no new version; a changed meaning needs one.
        schema_version: version of the fields of this record.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", protected_namespaces=())

    asset: ClassVar[str]
    newest_schema: ClassVar[int] = 1

    schema_version: int = 1

    @model_validator(mode="after")
    def _is_known(self) -> Self:
        if not 1 <= self.schema_version <= self.newest_schema:
            raise ValueError(
                f"schema version {self.schema_version} of another version of imgclf; this one reads "
                f"up to {self.newest_schema}"
            )
        return self
