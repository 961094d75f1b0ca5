"""Which Label Studio the line uses and how it logs in: that of the settings, or its own."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from imgclf_dagster.label_studio.server import Server
from imgclf_dagster.processes.ports import HOST
from imgclf_dagster.settings.root import Settings, SettingsError
from imgclf_dagster.settings.secret_files import private_folder, read_secret
from serving.endpoint.address import read_address, write_address

if TYPE_CHECKING:
    from serving.labelling.access import Credentials

_ANY = ("0.0.0.0", "::")  # noqa: S104 - compared with, not bound
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class Access:
    """A server's address and API token; the repr does not show the token.

    Attributes:
        url: address of the server.
        token: token of its API.
        own: whether ``imgclf up --label-studio`` runs it.
    """

    url: str
    token: str = field(repr=False)
    own: bool


def label_studio_dir(settings: Settings) -> Path:
    """Return the home's folder for Label Studio, which only the user may enter."""
    return settings.home / "label-studio"


def own_server(settings: Settings) -> Server:
    """Return the server that ``imgclf up --label-studio`` runs."""
    return Server(
        folder=label_studio_dir(settings),
        # Label Studio resolves the paths of storages, which must be below it.
        document_root=settings.store_dir.resolve(),
        port=settings.ports.label_studio,
        allowed_hosts=settings.web.allowed_hosts,
    )


def address_file(settings: Settings) -> Path:
    """Return the file that holds the own server's address while ``imgclf up --label-studio`` runs."""
    return settings.run_dir / "label-studio.json"


def hint_file(settings: Settings) -> Path:
    """Return the file that our ML backend touches when Label Studio's webhook reports a change."""
    return settings.run_dir / "label-studio.hint"


@contextmanager
def published_address(settings: Settings) -> Iterator[None]:
    """Publish the address of the own server while the block lasts."""
    # Published before the server answers: a reader should find it down for some seconds, and not
    # conclude that there is none.
    path = address_file(settings)
    write_address(path, own_server(settings).url, settings.store_dir.as_uri())
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def find_access(settings: Settings) -> Access | None:
    """Return the access to the server of the settings, else to our own if it runs, else ``None``.

    Raises:
        SettingsError: the token is missing, or other users can read its file.
    """
    url = settings.label_studio.url
    if url:
        return Access(url, _token(settings), own=False)
    address = read_address(address_file(settings))
    if address is None:
        return None
    return Access(address.url, own_server(settings).token(), own=True)


def _token(settings: Settings) -> str:
    file = label_studio_dir(settings) / "token"
    token = settings.label_studio.token.get_secret_value() or read_secret(file)
    if not token:
        raise SettingsError(
            f"label_studio.url is set, and there is no token for it: take one from Label Studio's "
            f"page Account & Settings, and put it into IMGCLF_LABEL_STUDIO__TOKEN or {file} "
            "(mode 0600)"
        )
    return token


def project_title(settings: Settings) -> str:
    """Return the project's title in Label Studio, which needs at least three characters."""
    title = settings.label_studio.project_title or settings.project
    return title if len(title) > 2 else f"{title} images"


def backend_url(settings: Settings) -> str:
    """Return the address at which Label Studio reaches our ML backend."""
    return settings.label_studio.backend_url or f"http://{HOST}:{settings.ports.labelling}"


def local_backend_url(settings: Settings) -> str:
    """Return the address at which this machine reaches our ML backend."""
    host = settings.label_studio.backend_host
    return f"http://{HOST if host in _ANY else host}:{settings.ports.labelling}"


def backend_within_reach(settings: Settings, access: Access) -> bool:
    """Whether Label Studio can reach the backend; another machine cannot reach our loopback."""
    return is_loopback(access.url) or not is_loopback(backend_url(settings))


def credentials_file(settings: Settings) -> Path:
    """Return the file that holds :func:`credentials`."""
    return label_studio_dir(settings) / "backend.json"


def credentials(settings: Settings) -> "Credentials":
    """Return the backend's credentials for Label Studio and the predictor; create them if missing.

    Raises:
        SettingsError: other users can read the file, or it does not hold credentials.
    """
    from serving.labelling.access import CredentialsUnusable, ensure_credentials

    private_folder(label_studio_dir(settings))
    try:
        return ensure_credentials(credentials_file(settings))
    except CredentialsUnusable as error:
        raise SettingsError(str(error)) from None


def is_loopback(url: str) -> bool:
    """Whether ``url`` names the loopback interface."""
    return urlsplit(url).hostname in _LOOPBACK
