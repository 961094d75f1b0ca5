"""What recipe auto makes of the settings."""

from pathlib import Path

import pytest

from assets.policies import TrainingPolicy
from imgclf_dagster.settings.root import load_settings
from training.config import FINETUNED_NET, PROBED_NETS, Hyperparameters

pytestmark = pytest.mark.unit


def test_by_default_a_probe_is_followed_by_a_fine_tuning() -> None:
    policy = TrainingPolicy()
    assert policy.has_challenger
    assert policy.first_job() == Hyperparameters(recipe="probe")
    assert policy.challenger_job() == Hyperparameters(recipe="finetune")
    nets = policy.first_job().architecture, policy.challenger_job().architecture
    assert nets == (PROBED_NETS, FINETUNED_NET)


def test_what_the_user_set_counts_for_both() -> None:
    policy = TrainingPolicy(architecture="resnet18+regnetz_c16", epochs=3, seed=4)
    first, challenger = policy.first_job(), policy.challenger_job()
    assert first.architecture == "resnet18+regnetz_c16"
    assert challenger.architecture == "resnet18"  # one net is fine-tuned: the first
    assert (first.seed, challenger.seed, challenger.epochs) == (4, 4, 3)


@pytest.mark.parametrize("recipe", ["probe", "finetune", "scratch"])
def test_another_recipe_has_no_challenger(recipe: str) -> None:
    policy = TrainingPolicy.model_validate({"recipe": recipe})
    assert not policy.has_challenger
    assert policy.first_job() == Hyperparameters.model_validate({"recipe": recipe})


def test_without_pretrained_weights_a_small_net_is_trained() -> None:
    policy = TrainingPolicy(weights="none")
    assert policy.first_job().recipe == "scratch"
    assert not policy.has_challenger


def test_a_variable_sets_one_value_and_the_recipe_decides_the_others(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("IMGCLF_HOME", str(tmp_path))
    monkeypatch.setenv("IMGCLF_TRAINING__RECIPE", "finetune")
    assert load_settings().training.first_job().architecture == FINETUNED_NET
    monkeypatch.setenv("IMGCLF_TRAINING__RECIPE", "auto")
    monkeypatch.setenv("IMGCLF_TRAINING__EPOCHS", "7")
    (tmp_path / "imgclf.toml").write_text("[training]\nbatch_size = 16\n", encoding="utf-8")
    job = load_settings().training.challenger_job()
    assert (job.architecture, job.epochs, job.batch_size) == (FINETUNED_NET, 7, 16)


def test_a_launchpad_changes_the_recipe_with_its_defaults() -> None:
    policy = TrainingPolicy(epochs=5)
    asked = policy.with_changes({"recipe": "finetune"})
    assert (asked.first_job().architecture, asked.epochs) == (FINETUNED_NET, 5)
