"""The Label Studio server of the home: its folder, its secrets and how it is started."""

import secrets
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from guard import label_studio as guarded
from guard.hosts import LOOPBACK, in_header
from imgclf_dagster.label_studio.install import QUIET, Installation
from imgclf_dagster.processes.loopback import send
from imgclf_dagster.processes.ports import HOST
from imgclf_dagster.settings.root import SettingsError
from imgclf_dagster.settings.secret_files import keep_secret, private_folder, read_secret

USERNAME = "imgclf@localhost"
"""The user of the server; Label Studio requires an e-mail address."""

BLOCKED = (
    "0.0.0.0/8,10.0.0.0/8,100.64.0.0/10,169.254.0.0/16,172.16.0.0/12,192.0.0.0/24,192.168.0.0/16,"
    "198.18.0.0/15,224.0.0.0/4,240.0.0.0/4,::/128,fc00::/7,fe80::/10,ff00::/8"
)
"""Networks from which Label Studio must not fetch: its default list of reserved ones without
loopback, where our backend listens. Link-local addresses serve a cloud machine's credentials."""


@dataclass(frozen=True)
class Server:
    """A Label Studio server with a folder of its own.

    Attributes:
        folder: holds database, uploads and secrets; only the user may enter it.
        document_root: folder below which the folders of local storages must be.
        port: TCP port on loopback.
        allowed_hosts: host names besides loopback's under which a proxy reaches it.
    """

    folder: Path
    document_root: Path
    port: int
    allowed_hosts: tuple[str, ...] = ()

    @property
    def url(self) -> str:
        """Address of the server."""
        return f"http://{HOST}:{self.port}"

    @property
    def data_dir(self) -> Path:
        """Folder of the database and uploads."""
        return self.folder / "data"

    @property
    def password_file(self) -> Path:
        """File with the password of ``USERNAME``."""
        return self.folder / "password"

    @property
    def token_file(self) -> Path:
        """File with the token of the server's API."""
        return self.folder / "server-token"

    def prepare(self, installation: Installation) -> None:
        """Create the secrets and the database if missing. An interrupted call can be repeated.

        Raises:
            SettingsError: the database exists and its secrets do not, or other users can read them.
        """
        database = self.data_dir / "label_studio.sqlite3"
        private_folder(self.folder)
        private_folder(self.data_dir)
        if database.exists() and not (self.token_file.exists() and self.password_file.exists()):
            # Label Studio stores them once, with its first user.
            raise SettingsError(
                f"{self.token_file} or {self.password_file} is gone, and Label Studio in "
                f"{self.data_dir} still has them: put them back, or delete {self.folder} to start "
                "again (labels that are in the store stay)"
            )
        keep_secret(self.token_file, lambda: secrets.token_hex(20))
        keep_secret(self.password_file, lambda: secrets.token_urlsafe(12))
        keep_secret(self.folder / "secret-key", lambda: secrets.token_urlsafe(50))
        if not database.exists():
            part = database.with_name("new.sqlite3")
            shutil.copyfile(installation.database, part)
            part.chmod(0o600)
            part.replace(database)

    def command(self, installation: Installation) -> tuple[str, ...]:
        """Return the command that starts the server."""
        return (
            *installation.starting(Path(guarded.__file__)),
            *("start", "--no-browser", "--internal-host", HOST, "--port", str(self.port)),
            # Its only effect here: Label Studio does not take another port if this one is busy.
            "--debug",
        )

    def environment(self) -> dict[str, str]:
        """Return the server's environment variables. They hold secrets, for its process only."""
        return {
            **QUIET,
            "LABEL_STUDIO_BASE_DATA_DIR": str(self.data_dir),
            "LABEL_STUDIO_HOST": "",  # links are relative to the browser's address
            # By default it accepts any host name, and lets pages of any origin read.
            guarded.HOSTS_VARIABLE: ",".join(self._hosts()),
            "LABEL_STUDIO_CORS_ALLOW_ALL_ORIGINS": "false",
            "LABEL_STUDIO_USERNAME": USERNAME,
            "LABEL_STUDIO_PASSWORD": self.password(),
            "LABEL_STUDIO_USER_TOKEN": self.token(),
            "LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN": "true",
            "LABEL_STUDIO_DISABLE_SIGNUP_WITHOUT_LINK": "true",
            "LABEL_STUDIO_DEBUG": "false",
            "LABEL_STUDIO_USE_DEFAULT_BANNED_SUBNETS": "false",
            "LABEL_STUDIO_USER_ADDITIONAL_BANNED_SUBNETS": BLOCKED,
            "LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED": "true",
            "LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT": str(self.document_root),
            "LABEL_STUDIO_S3_TRUSTED_STORAGE_DOMAINS": "amazonaws.com",
            "SECRET_KEY": self._kept("secret-key"),
        }

    def _hosts(self) -> tuple[str, ...]:
        """Return the host names as Django expects them: without port, IPv6 in brackets."""
        return tuple(map(in_header, (*LOOPBACK, *self.allowed_hosts)))

    def token(self) -> str:
        """Return the token of the server's API."""
        return self._kept(self.token_file.name)

    def password(self) -> str:
        """Return the password of ``USERNAME``."""
        return self._kept(self.password_file.name)

    def healthy(self) -> Callable[[], bool]:
        """Return a health check: the server answers at its port and accepts our token."""
        token = self.token()

        def check() -> bool:
            import httpx

            headers = {"Authorization": f"Token {token}"}
            try:
                url = f"{self.url}/api/current-user/whoami"
                answer = send("GET", url, timeout_s=2.0, headers=headers)
            except httpx.TransportError:
                return False
            return answer.status_code == 200 and answer.json().get("email") == USERNAME

        return check

    def _kept(self, name: str) -> str:
        secret = read_secret(self.folder / name)
        if secret is None:
            raise SettingsError(f"{self.folder / name} is missing: `prepare` makes it")
        return secret
