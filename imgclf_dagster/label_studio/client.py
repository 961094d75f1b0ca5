"""The client of Label Studio, built from the settings."""

from typing import TYPE_CHECKING

from imgclf_dagster.settings.root import Settings

if TYPE_CHECKING:
    from resources.label_studio.client import LabelStudioClient


def build_label_studio(settings: Settings) -> "LabelStudioClient":
    """Return the client of Label Studio; it is not ``configured`` if no server is known.

    Raises:
        SettingsError: see :func:`find_access`.
    """
    from imgclf_dagster.label_studio.access import find_access, project_title
    from resources.label_studio.client import LabelStudioClient

    access = find_access(settings)
    return LabelStudioClient(
        url=access.url if access else "",
        token=access.token if access else "",
        project_title=project_title(settings),
        project_id=settings.label_studio.project_id,
    )
