"""The image's tag says which code is in it: other code never finds its own image pushed."""

import subprocess
from importlib.metadata import version
from pathlib import Path

import pytest

from imgclf_dagster.cloud.container_image import ImageNotPushed, default_tag

pytestmark = pytest.mark.unit

RELEASE = version("imgclf-dagster")


def git(*arguments: str) -> str:
    who = ("-c", "user.name=ann", "-c", "user.email=ann@example.org")
    done = subprocess.run(["git", *who, *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A clean checkout with a Dockerfile and a module."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "Dockerfile").touch()
    (tmp_path / "module.py").write_text("a = 1\n")
    (tmp_path / ".gitignore").write_text("*.log\n")
    git("init", "-q")
    git("add", "-A")
    git("commit", "-q", "-m", "first")
    return tmp_path


def test_a_clean_checkout_is_its_commit(checkout: Path) -> None:
    clean = default_tag()
    assert clean == f"{RELEASE}-{git('rev-parse', 'HEAD')[:12]}"
    (checkout / "made.log").touch()
    assert default_tag() == clean, "what git ignores is not in the image"


def test_every_edit_has_a_tag_of_its_own(checkout: Path) -> None:
    tags = [default_tag()]
    (checkout / "module.py").write_text("a = 2\n")
    tags.append(default_tag())
    (checkout / "module.py").write_text("a = 3\n")
    tags.append(default_tag())
    git("add", "module.py")
    assert default_tag() == tags[-1], "staged or not, it is the same code"
    (checkout / "new é.py").write_text("b = 1\n")
    tags.append(default_tag())
    (checkout / "new é.py").write_text("b = 2\n")
    tags.append(default_tag())
    assert len(set(tags)) == len(tags)
    assert all(tag.startswith(tags[0]) for tag in tags)
    (checkout / "new é.py").unlink()
    assert default_tag() == tags[2], "the same code has the same tag"


def test_code_that_nothing_can_be_told_of_needs_a_tag(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert default_tag() == RELEASE, "nothing can be built here"
    (tmp_path / "Dockerfile").touch()
    with pytest.raises(ImageNotPushed, match="--tag"):
        default_tag()
