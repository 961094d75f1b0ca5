"""What goes into a batch, and in which order."""

from collections import Counter
from typing import Any

import numpy as np
import pytest

from labelling.selection.choose import choose
from labelling.selection.pool import Choice, Pool
from tests.pools import pool_of, sha

pytestmark = pytest.mark.unit


def chosen(pool: Pool, size: int, **changes: Any) -> list[Choice]:
    options: dict[str, Any] = {"exploration_share": 0.0, "seed": 7}
    return choose(pool, size, **(options | changes))


def reasons_of(choices: list[Choice]) -> Counter[str]:
    return Counter(choice.reason for choice in choices)


def test_what_the_model_is_unsure_of_comes_first() -> None:
    probabilities = np.tile(np.float32([0.98, 0.01, 0.01]), (60, 1))
    unsure = [3, 17, 40]
    probabilities[unsure] = [0.4, 0.39, 0.21]
    pool = pool_of(probabilities=probabilities)
    choices = chosen(pool, 3)
    assert {choice.sha256 for choice in choices} == {sha(number) for number in unsure}
    assert choices[0].why == "the model is unsure: cat 0.40, dog 0.39"
    assert choices[0].score == pytest.approx(0.99)
    assert choices[0].reasons == {"uncertainty": pytest.approx(0.99, abs=1e-3)}


def test_of_images_that_are_equally_unsure_some_are_drawn() -> None:
    pool = pool_of(probabilities=np.full((60, 3), 1 / 3, np.float32))
    found = {choice.sha256 for seed in range(20) for choice in chosen(pool, 5, seed=seed)}
    assert len(found) > 30


def test_before_there_is_a_model_all_are_drawn_from_all_splits() -> None:
    split = np.array(["train", "val", "test"] * 20)
    pool = pool_of(split=split, probabilities=None)
    choices = chosen(pool, 60, exploration_share=0.2)
    assert reasons_of(choices) == {"exploration": 60}
    # Without a share for chance, no image of the validation or test split is asked for.
    assert {split[int(c.sha256, 16)] for c in chosen(pool, 60)} == {"train"}


def test_images_without_a_prediction_are_drawn_after_the_others() -> None:
    probabilities = pool_of().probabilities.copy()
    probabilities[10:40] = np.nan
    choices = chosen(pool_of(probabilities=probabilities), 60)
    assert len({choice.sha256 for choice in choices}) == 60
    assert reasons_of(choices) == {"uncertainty": 30, "exploration": 30}
    assert reasons_of(chosen(pool_of(probabilities=probabilities), 20)) == {"uncertainty": 20}
    assert all("nan" not in choice.why for choice in choices)


def test_a_share_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match=r"exploration_share is 1.2; it is from 0 to 1"):
        chosen(pool_of(), 5, exploration_share=1.2)


def test_what_is_known_to_be_wrong_comes_first_with_its_labels() -> None:
    pool = pool_of(
        corrections={sha(5): ("owl",), "f" * 64: ("cat",)},
        conflicts={sha(9): "cat (anna) or dog (ben)", sha(5): "cat or dog"},
    )
    choices = chosen(pool, 12)
    assert [(c.sha256, c.reason) for c in choices[:3]] == [
        (sha(5), "correction"),
        ("f" * 64, "correction"),
        (sha(9), "label_conflict"),
    ]
    assert choices[0].suggested == ("owl",)
    assert choices[0].why == "a user of the predictor says: owl"
    assert choices[2].why == "its labels contradict each other: cat (anna) or dog (ben)"
    assert len(choices) == 12
    assert len({c.sha256 for c in choices}) == 12


def test_a_flood_of_corrections_leaves_half_of_the_batch_to_the_rest() -> None:
    corrections = {sha(1000 + number): ("cat",) for number in range(100)}
    pool = pool_of(corrections=corrections)
    found = reasons_of(chosen(pool, 20, exploration_share=0.2))
    assert found["correction"] == 8
    assert found["exploration"] == 4
    assert sum(found.values()) == 20
    # with nothing else to ask, they fill it
    alone = pool_of(0, corrections=corrections)
    assert reasons_of(chosen(alone, 20)) == {"correction": 20}


@pytest.mark.parametrize("count", [1, 5, 8, 15, 40])
def test_every_doubt_may_be_asked_for_at_nobodys_cost(count: int) -> None:
    """Nor is less drawn at random, whatever is in doubt."""
    pool = pool_of(corrections={sha(1000 + number): ("cat",) for number in range(count)})
    drawn = 0
    for seed in range(100):
        found = reasons_of(chosen(pool, 18, exploration_share=0.2, seed=seed, doubts=count))
        assert found["correction"] == count
        rest = sum(found.values()) - count
        assert rest == 18 - count if count < 7 else rest in (10, 11)
        drawn += found["exploration"]
    assert drawn / 100 == pytest.approx(3.6, abs=0.15)


def test_a_batch_of_doubts_alone_has_nothing_else() -> None:
    pool = pool_of(corrections={sha(3): ("cat",), "f" * 64: ("cat",)})
    for seed in range(100):
        options = {"exploration_share": 0.2, "seed": seed}
        assert reasons_of(chosen(pool, 0, doubts=2, **options)) == {"correction": 2}
        assert chosen(pool, 0, **options) == []


def test_validation_and_test_images_come_by_chance_or_to_settle_a_conflict() -> None:
    split = np.array(["train", "val", "test"] * 20)
    pool = pool_of(
        split=split,
        corrections={sha(1): ("cat",), sha(0): ("dog",), "e" * 64: ("cat",)},
        conflicts={sha(2): "cat or dog"},
        splits={"e" * 64: "test"},
    )
    for choice in chosen(pool, 30, exploration_share=0.3):
        where = pool.splits.get(choice.sha256) or split[int(choice.sha256, 16)]
        assert where == "train" or choice.reason in ("exploration", "label_conflict")
    only_train = chosen(pool, 60)  # no exploration: the batch rather stays small
    assert {split[int(c.sha256, 16)] for c in only_train if c.reason != "label_conflict"} == {
        "train"
    }
    assert len(only_train) == 21


def test_exploration_deals_every_split_its_share_in_the_long_run() -> None:
    split = np.array(["train"] * 70 + ["val"] * 15 + ["test"] * 15)
    pool = pool_of(100, split=split)
    drawn: Counter[str] = Counter()
    for seed in range(300):
        for choice in chosen(pool, 8, exploration_share=0.2, seed=seed):
            if choice.reason == "exploration":
                drawn[str(split[int(choice.sha256, 16)])] += 1
    total = sum(drawn.values())
    assert total / 300 == pytest.approx(1.6, abs=0.1)
    assert drawn["train"] / total == pytest.approx(0.7, abs=0.06)
    assert drawn["test"] / total == pytest.approx(0.15, abs=0.05)


def test_chance_is_spread_over_the_batch_and_priorities_rise() -> None:
    choices = chosen(pool_of(300), 50, exploration_share=0.2)
    places = [i for i, choice in enumerate(choices) if choice.reason == "exploration"]
    assert len(places) == 10
    assert np.diff(places).max() <= 6
    assert [choice.priority for choice in choices] == [i / 50 for i in range(50)]
    drawn = next(choice for choice in choices if choice.reason == "exploration")
    assert drawn.why == "drawn at random, for the train split"


def test_of_near_duplicates_one_is_asked_for_and_none_if_one_is_labelled() -> None:
    group = np.array([sha(number // 3) for number in range(60)])
    pool = pool_of(group=group, labelled_groups=frozenset({sha(0), sha(1)}))
    choices = chosen(pool, 60, exploration_share=0.3)
    groups = [group[int(choice.sha256, 16)] for choice in choices]
    assert sorted(groups) == [sha(number) for number in range(2, 20)]


def test_a_conflict_is_settled_though_its_like_is_labelled() -> None:
    group = np.array([sha(0)] * 2 + [sha(number) for number in range(2, 60)])
    pool = pool_of(
        group=group, labelled_groups=frozenset({sha(0)}), conflicts={sha(1): "cat or dog"}
    )
    choices = chosen(pool, 5)
    assert choices[0].sha256 == sha(1)
    assert sha(0) not in {choice.sha256 for choice in choices}


@pytest.mark.parametrize("task", ["single_label", "multi_label"])
@pytest.mark.parametrize("labels", [("only",), ("cat", "dog", "owl")])
@pytest.mark.parametrize("n", [0, 1, 2, 50])
def test_every_size_of_pool_is_chosen_from_whole(
    task: str, labels: tuple[str, ...], n: int
) -> None:
    pool = pool_of(n, task=task, labels=labels)
    choices = chosen(pool, n + 5, exploration_share=0.2)
    assert len({choice.sha256 for choice in choices}) == n
    assert all(choice.why and 0 <= choice.score <= 1 for choice in choices)


def test_nothing_is_chosen_of_no_size() -> None:
    assert chosen(pool_of(corrections={sha(1): ("cat",)}), 0, exploration_share=0.5) == []
    assert chosen(pool_of(), -3, exploration_share=0.5) == []


def test_the_same_seed_chooses_the_same() -> None:
    again = [chosen(pool_of(200), 40, exploration_share=0.3) for _ in range(2)]
    other = chosen(pool_of(200), 40, exploration_share=0.3, seed=8)
    assert again[0] == again[1]
    assert again[0] != other


def test_a_pool_whose_parts_do_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match=r"probabilities has the shape \(60, 2\); .* \(60, 3\)"):
        pool_of(probabilities=np.zeros((60, 2), np.float32))
