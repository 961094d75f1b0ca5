"""Giving up root, as in a container: in processes of their own, for there is no way back."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.patience import WAIT_S
from training.container.privileges import USER_VARIABLE

pytestmark = pytest.mark.unit

REPOSITORY = Path(__file__).parents[4]
AS_ROOT = os.geteuid() == 0

PROBE = """
import json, os, sys
sys.path.insert(0, sys.argv[2])
from pathlib import Path
from training.container.privileges import drop_privileges
root = Path(sys.argv[1])
dropped = drop_privileges(root)
told = {"dropped": dropped, "uids": os.getresuid(), "gids": os.getresgid(),
        "groups": os.getgroups(), "home": os.environ["HOME"]}
if dropped:
    told["read"] = (root / "input/config/hyperparameters.json").read_text()
    (root / "model/model.onnx").write_text("m")
    (root / "output/data").mkdir()
    (root / "output/failure").write_text("f")
    (root / "checkpoints/last").write_text("newer")
    try:
        os.setuid(0)
        told["back"] = True
    except PermissionError:
        told["back"] = False
print(json.dumps(told))
"""


@pytest.fixture
def root() -> Iterator[Path]:
    """A container's root, laid by root; not below pytest's folder, which others may not enter."""
    folder = Path(tempfile.mkdtemp(prefix="imgclf-ml-", dir="/tmp"))
    folder.chmod(0o755)
    for name in ("input/config", "model", "checkpoints"):
        (folder / name).mkdir(parents=True)
    (folder / "input/config/hyperparameters.json").write_text("{}")
    (folder / "checkpoints/last").write_text("older")
    yield folder
    shutil.rmtree(folder)


def probe(
    root: Path, user: str | None = "nobody", *, lacking: str = ""
) -> tuple[dict[str, object], str]:
    """Run it as root, which lacks the capability ``lacking``; what it tells, and what it logs."""
    environment = {k: v for k, v in os.environ.items() if k != USER_VARIABLE}
    if user:
        environment[USER_VARIABLE] = user
    # A nobody may not look into our folders: the module is read before root is given up.
    done = subprocess.run(
        [*(("setpriv", f"--bounding-set=-{lacking}") if lacking else ()),
         sys.executable, "-c", PROBE, str(root), str(REPOSITORY)],
        env=environment, capture_output=True, text=True, check=True, timeout=WAIT_S,
    )  # fmt: skip
    return json.loads(done.stdout), done.stderr


@pytest.mark.skipif(not AS_ROOT, reason="only root can give up being root: run it in a container")
class TestAsRoot:
    def test_it_goes_on_as_the_user_and_there_is_no_way_back(self, root: Path) -> None:
        predicted, _ = probe(root)
        (uid,) = set(predicted["uids"])
        (gid,) = set(predicted["gids"])
        assert uid != 0
        assert predicted["groups"] == [gid]
        assert gid != 0
        assert predicted["back"] is False
        assert predicted["home"] != "/root"
        assert predicted["read"] == "{}"
        assert (root / "checkpoints/last").read_text() == "newer"
        assert (root / "output/failure").stat().st_uid == uid

    def test_inputs_that_only_root_may_read_keep_it_root(self, root: Path) -> None:
        secret = root / "input/config/hyperparameters.json"
        secret.chmod(0o600)
        predicted, scores = probe(root)
        assert predicted["dropped"] is False
        assert predicted["uids"] == [0, 0, 0]
        assert f"stays root: nobody may not use {secret}" in scores

    @pytest.mark.parametrize("capability", ["setgid", "setuid"])
    def test_a_root_that_cannot_become_others_stays_it(self, root: Path, capability: str) -> None:
        predicted, scores = probe(root, lacking=capability)
        assert (predicted["dropped"], predicted["uids"], predicted["gids"]) == (
            False,
            [0] * 3,
            [0] * 3,
        )
        assert "stays root: it may not become nobody" in scores

    def test_a_user_that_the_image_has_not_got_is_named(self, root: Path) -> None:
        with pytest.raises(subprocess.CalledProcessError) as failure:
            probe(root, "imgclf-who")
        assert "imgclf-who" in failure.value.stderr

    def test_without_the_variable_nothing_happens(self, root: Path) -> None:
        before = (root / "model").stat().st_uid
        predicted, scores = probe(root, None)
        assert predicted["dropped"] is False
        assert predicted["uids"] == [0, 0, 0]
        assert scores == ""
        assert (root / "model").stat().st_uid == before


def test_an_ordinary_user_is_what_it_was(root: Path) -> None:
    """As on ECS, whose tasks name the user, and on serverless endpoints."""
    if AS_ROOT:
        shutil.chown(root, "nobody")
        for path in root.rglob("*"):
            shutil.chown(path, "nobody")
    code = "import os, sys; sys.argv = ['-c', *sys.argv[1:]]\n" + (
        "import training.container.privileges, pwd\n"
        "if os.geteuid() == 0: os.setuid(pwd.getpwnam('nobody').pw_uid)\n"
        "from pathlib import Path\n"
        "print(training.container.privileges.drop_privileges(Path(sys.argv[1])), os.geteuid() != 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(root)],
        env={**os.environ, USER_VARIABLE: "nobody"}, cwd=REPOSITORY,
        capture_output=True, text=True, check=True, timeout=WAIT_S,
    )  # fmt: skip
    assert done.stdout.split() == ["True", "True"]
