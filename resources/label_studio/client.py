"""The client of Label Studio, where people label images: any server, by URL and token.

Other packages import this module and ``types`` only (an import contract in pyproject.toml).
"""

from datetime import datetime

import dagster as dg

from resources.label_studio.connection import Connection
from resources.label_studio.imports import ImportsApi
from resources.label_studio.integrations import IntegrationsApi
from resources.label_studio.predictions import PredictionsApi
from resources.label_studio.project import ProjectApi
from resources.label_studio.reviews import ReviewsApi
from resources.label_studio.server import ServerApi
from resources.label_studio.session import is_personal, token_expiry
from resources.label_studio.storage import StorageApi
from resources.label_studio.tasks import TasksApi
from resources.label_studio.withdrawals import WithdrawalsApi


class LabelStudioClient(dg.ConfigurableResource):
    """A client of one project on a Label Studio server; its parts are the server's, by subject.

    All parts use one HTTP session. Each access to a part looks the project up again by its title, at
    the first request that needs its id: use a part for one operation, and do not keep it.
    ``to_project`` is for several operations in a row on one project.

    Every method of a part may raise LabelStudioDown (no answer, or a server error), TokenRefused and
    LabelStudioRefused; those that need the project, ProjectMissing.
    """

    url: str = ""
    """Address of the server; empty: there is none."""

    token: dg.ResourceDependency[str]
    """Legacy or personal token. A dependency, since Dagster shows configuration on its pages."""

    project_title: str = ""
    project_id: int | None = None
    """Id of the project, which is then not looked up by its title."""

    def __repr__(self) -> str:
        """Return a text without the token."""
        name = self.project_id or self.project_title
        return f"LabelStudioClient(url={self.url!r}, project={name!r})"

    __str__ = __repr__

    @property
    def configured(self) -> bool:
        """Whether a server is configured. Without one, every request raises LabelStudioRefused."""
        return bool(self.url and self.token)

    @property
    def token_kind(self) -> str:
        """``personal`` or ``legacy``."""
        return "personal" if is_personal(self.token) else "legacy"

    @property
    def token_expiry(self) -> datetime | None:
        """Time at which a personal token expires; ``None`` if it does not, or is a legacy token."""
        return token_expiry(self.token) if is_personal(self.token) else None

    def project_url(self, project_id: int) -> str:
        """Return the URL of a project's page with the list of its tasks."""
        return self._connection().project_url(project_id)

    def to_project(self, project_id: int) -> "LabelStudioClient":
        """Return a client of the project ``project_id``, which it does not look up by its title."""
        return self.model_copy(update={"project_id": project_id})

    @property
    def server(self) -> ServerApi:
        """The server itself: version, users, addresses that it blocks."""
        return ServerApi(self._connection())

    @property
    def project(self) -> ProjectApi:
        """The project: its state, labelling page and number of annotators per task."""
        return ProjectApi(self._connection())

    @property
    def tasks(self) -> TasksApi:
        """The project's tasks: listing, changes since a time."""
        return TasksApi(self._connection())

    @property
    def imports(self) -> ImportsApi:
        """Import of new tasks."""
        return ImportsApi(self._connection())

    @property
    def withdrawals(self) -> WithdrawalsApi:
        """Withdrawal of tasks without losing annotations."""
        return WithdrawalsApi(self._connection())

    @property
    def predictions(self) -> PredictionsApi:
        """Static predictions (pre-labels) of the tasks."""
        return PredictionsApi(self._connection())

    @property
    def reviews(self) -> ReviewsApi:
        """The tab of finished tasks that people should review."""
        return ReviewsApi(self._connection())

    @property
    def storage(self) -> StorageApi:
        """Label Studio's access to image files."""
        return StorageApi(self._connection())

    @property
    def integrations(self) -> IntegrationsApi:
        """The ML backend and the webhook, through which Label Studio calls us."""
        return IntegrationsApi(self._connection())

    def _connection(self) -> Connection:
        return Connection(self.url, self.token, self.project_title, self.project_id)
