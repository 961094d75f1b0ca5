"""The store as the host sees it: read only, straight through obstore."""

from pathlib import Path

import obstore
from obstore.store import from_url

from serving.deployments import DeploymentRecord, Stage, parse_record, records_prefix

_CHUNK = 8 * 1024**2


class DeploymentStore:
    """Deployment records and models in the store at ``url`` (``file:///…`` or ``s3://…``).

    Credentials and region of S3 come from the usual AWS_* variables. Every method raises what
    obstore raises when the store does not answer.
    """

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self._store = from_url(url)

    def keys(self, stage: Stage, after: str | None = None) -> list[str]:
        """Keys of the stage's records, oldest first; only those behind ``after``, if given."""
        listing = obstore.list(self._store, records_prefix(stage), offset=after)
        return sorted(
            item["path"] for page in listing for item in page if item["path"].endswith(".json")
        )

    def record(self, key: str) -> DeploymentRecord:
        """One record. Raises RecordError if it is not one."""
        return parse_record(bytes(obstore.get(self._store, key).bytes()), key)

    def download(self, key: str, path: Path) -> None:
        """Write an object to a local file. Raises FileNotFoundError if there is no such key."""
        with path.open("wb") as file:
            for chunk in obstore.get(self._store, key).stream(min_chunk_size=_CHUNK):
                file.write(chunk)
