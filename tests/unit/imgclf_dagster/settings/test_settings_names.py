"""A misspelt setting is named with the nearest right one, and its value is never shown."""

import re
from pathlib import Path

import pytest

from imgclf_dagster.settings.names import OTHER_PREFIXES, OTHER_VARIABLES, setting_paths
from imgclf_dagster.settings.root import Settings, SettingsError, load_settings

pytestmark = pytest.mark.unit

SECRET = "s3cr3t-0123456789abcdef0123456789abcdef"

ROOT = Path(__file__).parents[4]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("IMGCLF_HOME", str(tmp_path))
    monkeypatch.delenv("IMGCLF_SETTINGS", raising=False)
    return tmp_path


@pytest.mark.parametrize(
    ("variable", "meant"),
    [
        ("IMGCLF_TRAINING_EPOCHS", "IMGCLF_TRAINING__EPOCHS"),
        ("IMGCLF_TRAINNG__EPOCHS", "IMGCLF_TRAINING__EPOCHS"),
        ("IMGCLF_LABEL_STUDO__TOKEN", "IMGCLF_LABEL_STUDIO__TOKEN"),
        ("IMGCLF_LABELSTUDIO__TOKEN", "IMGCLF_LABEL_STUDIO__TOKEN"),
        ("IMGCLF_PROFIL", "IMGCLF_PROFILE"),
        ("imgclf_profil", "IMGCLF_PROFILE"),
        ("IMGCLF_HOM", "IMGCLF_HOME"),
        ("IMGCLF_SETTING", "IMGCLF_SETTINGS"),
        ("IMGCLF_AWS_TRAINING__INSTANCE_TYPE", "IMGCLF_AWS__TRAINING__INSTANCE_TYPE"),
    ],
)
def test_an_unknown_variable_is_named_with_the_nearest(
    variable: str, meant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, SECRET)
    with pytest.raises(
        SettingsError, match=f"{variable}: no such setting; did you mean {meant}"
    ) as e:
        load_settings()
    assert SECRET not in str(e.value)


def test_a_variable_unlike_any_other_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMGCLF_QQQQ", SECRET)
    with pytest.raises(SettingsError, match=r"IMGCLF_QQQQ: no such setting$"):
        load_settings()


@pytest.mark.parametrize(
    ("variable", "name", "meant"),
    [
        ("IMGCLF_TRAINING__EPOCH", "training.epoch", "training.epochs"),
        ("IMGCLF_LABEL_STUDIO__TOKENS", "label_studio.tokens", "label_studio.token"),
        ("IMGCLF_AWS__TRAINING__INSTANCE", "aws.training.instance", "aws.training.instance"),
    ],
)
def test_an_unknown_setting_of_a_section_is_named(
    variable: str, name: str, meant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, SECRET)
    with pytest.raises(SettingsError, match=f"{name}: no such setting; did you mean {meant}") as e:
        load_settings()
    assert SECRET not in str(e.value)


@pytest.mark.parametrize(
    "toml",
    [
        f'[label_studo]\ntoken = "{SECRET}"',
        f'[label-studio]\ntoken = "{SECRET}"',
        f'[label_studio]\ntokn = "{SECRET}"',
        f'[aws]\ntoken = "{SECRET}"',
        f'[aws.label_studio]\ntoken = "{SECRET}"',
        f'token = "{SECRET}"',
        f'[[label_studio]]\ntoken = "{SECRET}"',
        f'label_studio = "{SECRET}"',
        f'[training]\nepochs = ["{SECRET}"]',
        f'[training.label]\ntoken = "{SECRET}"',
    ],
)
def test_what_stands_under_a_wrong_name_is_not_shown(home: Path, toml: str) -> None:
    (home / "imgclf.toml").write_text(toml, encoding="utf-8")
    with pytest.raises(SettingsError) as e:
        load_settings()
    assert SECRET not in str(e.value)
    assert e.value.__cause__ is None
    assert e.value.__suppress_context__


def test_a_wrong_section_of_the_file_is_named_with_the_nearest(home: Path) -> None:
    (home / "imgclf.toml").write_text("[trainng]\nepochs = 3\n", encoding="utf-8")
    with pytest.raises(SettingsError, match="trainng: no such setting; did you mean training"):
        load_settings()


def test_a_section_that_is_no_json_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMGCLF_LABEL_STUDIO", f"{{{SECRET}")
    with pytest.raises(SettingsError, match="label_studio.*JSON") as e:
        load_settings()
    assert SECRET not in str(e.value)


def test_a_wrong_value_is_still_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMGCLF_TRAINING__EPOCHS", "many")
    with pytest.raises(SettingsError, match=r"training.epochs: .*got 'many'"):
        load_settings()


def test_every_setting_can_be_set_by_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    for path in setting_paths(Settings):
        monkeypatch.setenv(f"IMGCLF_{'__'.join(path)}".upper(), "\x7f")
    with pytest.raises(SettingsError) as e:
        load_settings()
    assert "no such setting" not in str(e.value)


def test_every_variable_that_the_code_reads_is_known() -> None:
    read = set()
    for folder in (
        "imgclf_dagster",
        "assets",
        "resources",
        "labelling",
        "training",
        "serving",
        "ui",
    ):
        for file in (ROOT / folder).rglob("*.py"):
            text = file.read_text(encoding="utf-8")
            read |= set(re.findall(r'"(IMGCLF_[A-Z]+(?:_[A-Z]+)*)"', text))
    settings = {f"IMGCLF_{'__'.join(path)}".upper() for path in setting_paths(Settings)}
    # Names an action of Label Studio, not a variable.
    unknown = read - OTHER_VARIABLES - settings - {"IMGCLF_ASKS_WHETHER_THE_ADDRESS_IS_ALLOWED"}
    assert {name for name in unknown if not name.startswith(OTHER_PREFIXES)} == set()


@pytest.mark.parametrize("name", ["100% photos", "what?", "a%20b", "%?"])
def test_a_home_whose_path_sqlite_misreads_is_refused(
    name: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IMGCLF_HOME", str(home / name))
    with pytest.raises(SettingsError, match=r"home: .*may not contain .*name another folder"):
        load_settings()
    assert not list(home.iterdir())


@pytest.mark.parametrize("number", ["inf", "1e999"])
@pytest.mark.parametrize("name", ["gates.max_export_difference", "training.learning_rate"])
def test_an_infinite_number_is_named(
    monkeypatch: pytest.MonkeyPatch, name: str, number: str
) -> None:
    monkeypatch.setenv(f"IMGCLF_{name.replace('.', '__')}".upper(), number)
    with pytest.raises(SettingsError, match=f"{name}: must be a finite number"):
        load_settings()


def test_what_is_shown_of_a_wrong_value_is_short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMGCLF_TRAINING__EPOCHS", "9" * 5000)
    with pytest.raises(SettingsError) as e:
        load_settings()
    assert len(str(e.value)) < 600


def test_a_section_of_brackets_alone_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMGCLF_TRAINING", "[" * 100_000)
    with pytest.raises(SettingsError, match="cannot be read"):
        load_settings()
