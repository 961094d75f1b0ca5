"""The object store of the profile."""

from imgclf_dagster.settings.root import Settings
from object_store.store import ObjectStore


def open_store(settings: Settings) -> ObjectStore:
    """Return the object store of the profile.

    Raises:
        SettingsError: profile ``aws`` lacks a required setting.
    """
    if settings.profile == "aws":
        from imgclf_dagster.profiles.aws import build_store

        return build_store(settings)
    return ObjectStore(url=settings.store_dir.as_uri())
