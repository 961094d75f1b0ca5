"""Which Label Studio, whose token: the settings, the files, and what is never shown."""

import json
import os
import stat
import threading
from pathlib import Path

import pytest

from imgclf_dagster.home.template import settings_template
from imgclf_dagster.label_studio.access import (
    backend_within_reach,
    credentials,
    credentials_file,
    find_access,
    own_server,
    project_title,
    published_address,
)
from imgclf_dagster.settings.root import Settings, SettingsError, load_settings
from imgclf_dagster.settings.secret_files import keep_secret, read_secret
from tests.patience import WAIT_S

pytestmark = pytest.mark.unit

TOKEN = "0123456789abcdef0123456789abcdef01234567"
URL = "https://labels.example.com"


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMGCLF_HOME", str(tmp_path / "home"))


def settings_with(**section: object) -> Settings:
    return load_settings(label_studio=section)


def token_file(settings: Settings, text: str, mode: int = 0o600) -> Path:
    path = settings.home / "label-studio" / "token"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    path.chmod(mode)
    return path


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


class TestSettings:
    def test_by_default_there_is_none(self) -> None:
        assert find_access(load_settings()) is None

    @pytest.mark.parametrize(
        ("wrong", "says"),
        [
            ({"url": "labels.example.com"}, "label_studio.url: .*must be an address"),
            ({"url": "https://me:secret@x.com"}, "label_studio.url: .*without user"),
            ({"url": "ftp://x.com"}, "label_studio.url"),
            ({"backend_url": "http://x.com/?a=1"}, "label_studio.backend_url"),
            ({"project_title": "ab"}, "label_studio.project_title: .*3 to 50"),
            ({"project_title": "x" * 51}, "label_studio.project_title"),
            ({"project_id": -1}, "label_studio.project_id"),
        ],
    )
    def test_what_is_wrong_is_named(self, wrong: dict[str, object], says: str) -> None:
        with pytest.raises(SettingsError, match=says):
            settings_with(**wrong)

    def test_no_token_is_ever_shown(self, monkeypatch: pytest.MonkeyPatch) -> None:
        settings = settings_with(url=URL, token=TOKEN)
        access = find_access(settings)
        assert access is not None
        assert access.token == TOKEN
        for shown in (repr(settings), str(settings), settings.model_dump_json(), repr(access)):
            assert TOKEN not in shown
        # Nor by a message about a name that is misspelt, or about what stands beside it.
        for wrong in ({"tokn": TOKEN}, {"token": TOKEN, "url": "?"}, {"token": [TOKEN]}):
            with pytest.raises(SettingsError) as error:
                settings_with(**wrong)
            assert TOKEN not in str(error.value)
        monkeypatch.setenv("IMGCLF_LABEL_STUDIO", TOKEN)
        with pytest.raises(SettingsError) as error:
            load_settings()
        assert TOKEN not in str(error.value)

    def test_the_file_of_settings_explains_them(self) -> None:
        text = settings_template()
        section = text[text.index("[label_studio]") : text.index("[sensors]")]
        assert '# token = ""    # Token for url' in section
        assert "IMGCLF_LABEL_STUDIO__TOKEN" in section
        assert "# label_studio = 8080" in text

    def test_a_title_that_label_studio_takes(self) -> None:
        assert project_title(load_settings(project="ab")) == "ab images"
        assert project_title(load_settings(project="birds")) == "birds"
        assert project_title(settings_with(project_title="Bird watch")) == "Bird watch"


class TestAccess:
    def test_the_variable_counts_more_than_the_file(self, monkeypatch: pytest.MonkeyPatch) -> None:
        token_file(settings_with(url=URL), "of the file")
        monkeypatch.setenv("IMGCLF_LABEL_STUDIO__TOKEN", TOKEN)
        access = find_access(settings_with(url=URL))
        assert access is not None
        assert (access.url, access.token, access.own) == (URL, TOKEN, False)

    def test_the_file(self) -> None:
        settings = settings_with(url=f"{URL}/")
        token_file(settings, f"{TOKEN}\n")
        access = find_access(settings)
        assert access is not None
        assert (access.url, access.token) == (URL, TOKEN)

    def test_without_a_token_both_ways_to_give_one_are_named(self) -> None:
        settings = settings_with(url=URL)
        with pytest.raises(SettingsError) as error:
            find_access(settings)
        assert "IMGCLF_LABEL_STUDIO__TOKEN" in str(error.value)
        assert str(settings.home / "label-studio" / "token") in str(error.value)

    @pytest.mark.parametrize("mode", [0o640, 0o604, 0o644])
    def test_a_file_that_others_may_read_is_refused(self, mode: int) -> None:
        settings = settings_with(url=URL)
        path = token_file(settings, TOKEN, mode)
        with pytest.raises(SettingsError, match=f"chmod 600 {path}") as error:
            find_access(settings)
        assert TOKEN not in str(error.value)

    def test_our_own_is_found_while_it_runs(self) -> None:
        settings = load_settings()
        settings.run_dir.mkdir(parents=True)
        keep_secret(own_server(settings).token_file, lambda: TOKEN)
        with published_address(settings):
            access = find_access(settings)
            assert access is not None
            assert (access.url, access.token, access.own) == ("http://127.0.0.1:8080", TOKEN, True)
            assert TOKEN not in (settings.run_dir / "label-studio.json").read_text()
        assert find_access(settings) is None

    def test_what_a_killed_one_left_counts_for_nothing(self) -> None:
        settings = load_settings()
        settings.run_dir.mkdir(parents=True)
        with published_address(settings):
            note = settings.run_dir / "label-studio.json"
            facts = json.loads(note.read_text())
        note.write_text(json.dumps({**facts, "mark": "another boot/1"}))
        assert find_access(settings) is None

    def test_a_server_of_the_settings_counts_more_than_our_own(self) -> None:
        settings = settings_with(url=URL, token=TOKEN)
        settings.run_dir.mkdir(parents=True)
        with published_address(settings):
            access = find_access(settings)
        assert access is not None
        assert access.url == URL

    @pytest.mark.parametrize(
        ("url", "backend", "within_reach"),
        [
            ("http://127.0.0.1:8080", "", True),
            ("http://localhost:8080", "", True),
            (URL, "", False),
            (URL, "https://backend.example.com", True),
        ],
    )
    def test_another_machine_cannot_reach_our_loopback(
        self, url: str, backend: str, within_reach: bool
    ) -> None:
        settings = settings_with(url=url, token=TOKEN, backend_url=backend)
        access = find_access(settings)
        assert access is not None
        assert backend_within_reach(settings, access) is within_reach


class TestSecrets:
    def test_made_once_for_the_owner_only(self, tmp_path: Path) -> None:
        path = tmp_path / "new" / "secret"
        old = os.umask(0)
        try:
            assert keep_secret(path, lambda: "one") == "one"
        finally:
            os.umask(old)
        assert keep_secret(path, lambda: "two") == "one"
        assert (mode_of(path), mode_of(path.parent)) == (0o600, 0o700)
        assert [item.name for item in path.parent.iterdir()] == ["secret"]

    def test_two_at_once_agree(self, tmp_path: Path) -> None:
        path, got = tmp_path / "secret", []
        both = threading.Barrier(8)

        def make(number: int) -> str:
            both.wait(WAIT_S)
            return f"of {number}"

        def run(number: int) -> None:
            got.append(keep_secret(path, lambda: make(number)))

        threads = [threading.Thread(target=run, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert set(got) == {path.read_text().strip()}
        assert len(got) == 8

    def test_an_empty_file_is_no_secret(self, tmp_path: Path) -> None:
        path = tmp_path / "secret"
        path.touch(0o600)
        with pytest.raises(SettingsError, match="is empty"):
            read_secret(path)
        assert read_secret(tmp_path / "none") is None

    def test_the_backends_are_kept_too(self) -> None:
        settings = load_settings()
        known = credentials(settings)
        assert credentials(settings) == known
        assert mode_of(credentials_file(settings)) == 0o600
        assert mode_of(credentials_file(settings).parent) == 0o700
        credentials_file(settings).chmod(0o644)
        with pytest.raises(SettingsError, match="chmod 600"):
            credentials(settings)
