"""What a program pays for the store."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.unit

HEAVY = ("boto3", "botocore", "dagster", "pyarrow", "pydantic", "numpy", "fastapi")


def test_a_folder_is_read_and_written_without_boto3_dagster_or_arrow(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from object_store.store import ObjectStore\n"
        "import object_store.transfer as transfer\n"
        f"store = ObjectStore(url=Path({str(tmp_path)!r}).as_uri())\n"
        "store.ensure()\n"
        "store.put('a/b', b'1')\n"
        "assert [info.key for info in store.list('a')] == ['a/b']\n"
        "assert dict(transfer.get_many(store, ['a/b'])) == {'a/b': b'1'}\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "[]\n"
