"""Which Label Studio the line talks to, and with what: from the settings, or our own if it runs."""

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
    """A server and how we are known there. Printing it shows no token."""

    url: str
    token: str = field(repr=False)
    own: bool


def label_studio_dir(settings: Settings) -> Path:
    """What belongs to Label Studio in the home; only the user may enter it."""
    return settings.home / "label-studio"


def own_server(settings: Settings) -> Server:
    """The server that ``imgclf up --label-studio`` runs."""
    return Server(
        folder=label_studio_dir(settings),
        # As Label Studio resolves the paths of storages, which must lie below it.
        document_root=settings.store_dir.resolve(),
        port=settings.ports.label_studio,
        allowed_hosts=settings.web.allowed_hosts,
    )


def address_file(settings: Settings) -> Path:
    """Says where our own server is reached while ``imgclf up --label-studio`` runs."""
    return settings.run_dir / "label-studio.json"


def hint_file(settings: Settings) -> Path:
    """Our ML backend touches it when Label Studio's webhook tells of a change."""
    return settings.run_dir / "label-studio.hint"


@contextmanager
def announced(settings: Settings) -> Iterator[None]:
    """Say, while the block lasts, that this process runs our own server.

    From the start, not only once it answers: whoever reads it then finds it down for a few
    seconds, and would otherwise think there is none.
    """
    path = address_file(settings)
    write_address(path, own_server(settings).url, settings.store_dir.as_uri())
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def find_access(settings: Settings) -> Access | None:
    """The server of the settings, else our own if it runs, else ``None``.

    Raises:
        SettingsError: the token is missing, or others may read the file that holds it.
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
    """Title of the project in Label Studio, which takes no title of two letters."""
    title = settings.label_studio.project_title or settings.project
    return title if len(title) > 2 else f"{title} images"


def backend_url(settings: Settings) -> str:
    """Where our ML backend is reached, as Label Studio is told."""
    return settings.label_studio.backend_url or f"http://{HOST}:{settings.ports.labelling}"


def local_backend_url(settings: Settings) -> str:
    """Where our ML backend is reached from this machine."""
    host = settings.label_studio.backend_host
    return f"http://{HOST if host in _ANY else host}:{settings.ports.labelling}"


def backend_within_reach(settings: Settings, access: Access) -> bool:
    """Whether Label Studio can reach the backend at all: not our loopback from another machine."""
    return is_loopback(access.url) or not is_loopback(backend_url(settings))


def credentials_file(settings: Settings) -> Path:
    """Holds ``credentials``."""
    return label_studio_dir(settings) / "backend.json"


def credentials(settings: Settings) -> "Credentials":
    """What Label Studio and the predictor are let in with by the backend, made up the first time.

    Raises:
        SettingsError: others may read the file, or it does not hold credentials.
    """
    from serving.labelling.access import CredentialsUnusable, ensure_credentials

    private_folder(label_studio_dir(settings))
    try:
        return ensure_credentials(credentials_file(settings))
    except CredentialsUnusable as error:
        raise SettingsError(str(error)) from None


def is_loopback(url: str) -> bool:
    """Whether ``url`` leads to the machine of whoever follows it."""
    return urlsplit(url).hostname in _LOOPBACK
