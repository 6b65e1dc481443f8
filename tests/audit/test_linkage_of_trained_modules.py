"""Linkage among modules that were really trained, on one base for one task: how often it names a stranger."""

import numpy as np
import pytest

from attacks import Change, link
from attacks.unmerge import combined
from prime_audit.audit.linkage import as_change
from prime_audit.config import DataConfig, ModelConfig, TrainingConfig
from prime_audit.core import Seeds
from prime_audit.data import TASKS, generated_dataset
from prime_audit.models import Example, load_model
from prime_audit.modules import train_module

TASK = TASKS["lamp-4"]
TRAINING = TrainingConfig(rank=4, alpha=8, lr=1e-2, epochs=2, batch_size=8)
FEW, MANY = 10, 40
SIZES = (1, 2, 3, 4, 6, 8, 12, 20)


def trained(count: int, folder_of: pytest.TempPathFactory, seed: int | None = None) -> list[Change]:
    """Trains a module per person, from the same A if a seed is given."""
    lm = load_model(ModelConfig(base="tiny", device="cpu", dtype="float32"), folder_of.mktemp("store"))
    people = generated_dataset(DataConfig(sharers=count, targets=1), TASK, Seeds(5)).sharers
    return [
        as_change(
            train_module(
                lm,
                [Example(TASK.prompt(i.input), TASK.completion(i.answer or "")) for i in person.history[:16]],
                TRAINING,
                place if seed is None else seed,
            )
        )
        for place, person in enumerate(people)
    ]


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> list[Change]:
    return trained(FEW, tmp_path_factory)


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> list[Change]:
    return trained(MANY, tmp_path_factory)


@pytest.fixture(scope="module")
def few_from_one_start(tmp_path_factory: pytest.TempPathFactory) -> list[Change]:
    return trained(FEW, tmp_path_factory, seed=0)


@pytest.fixture(scope="module")
def many_from_one_start(tmp_path_factory: pytest.TempPathFactory) -> list[Change]:
    return trained(MANY, tmp_path_factory, seed=0)


def draw(people: list[Change], size: int, rng: np.random.Generator) -> tuple[Change, dict[str, Change]]:
    """A merge of one to three people, and a pool of others."""
    order = rng.permutation(len(people)).tolist()
    merged = int(rng.integers(1, 4))
    weights = rng.normal(size=merged).tolist() if rng.random() < 0.5 else [1 / merged] * merged
    pool = {f"s{place}": people[place] for place in order[merged : merged + size]}
    return combined([people[place] for place in order[:merged]], weights), pool


def wrong(people: list[Change], size: int, draws: int) -> int:
    rng = np.random.default_rng([size, draws])
    pools = (draw(people, size, rng) for _ in range(draws))
    return sum(any(one.named for one in link(*pool).sharers.values()) for pool in pools)


@pytest.mark.parametrize("size", [1, 2, 3, 6])
def test_strangers_of_one_task_are_seldom_named(few: list[Change], size: int) -> None:
    assert wrong(few, size, 50) <= 7


@pytest.mark.parametrize("size", [1, 2, 3, 6])
def test_strangers_from_one_start_are_seldom_named(few_from_one_start: list[Change], size: int) -> None:
    assert wrong(few_from_one_start, size, 50) <= 7


@pytest.mark.parametrize("size", [2, 4])
def test_who_is_in_a_merge_from_one_start_is_named(few_from_one_start: list[Change], size: int) -> None:
    merged = combined(few_from_one_start[:2], [0.5, 0.5])
    pool = {f"s{place}": few_from_one_start[place] for place in range(size)}
    found = {name for name, one in link(merged, pool).sharers.items() if one.named}
    assert found == {"s0", "s1"}


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("size", SIZES)
def test_strangers_from_one_start_are_named_in_at_most_one_pool_of_twenty(
    many_from_one_start: list[Change], size: int
) -> None:
    assert wrong(many_from_one_start, size, 1000) <= 73


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("size", SIZES)
def test_strangers_of_one_task_are_named_in_at_most_one_pool_of_twenty(many: list[Change], size: int) -> None:
    assert wrong(many, size, 1000) <= 73


def test_modules_of_one_task_resemble_each_other_more_than_random_ones(few: list[Change]) -> None:
    """Otherwise the test above would show nothing that made-up modules do not show."""
    alone = [link(few[0], {"other": other}).sharers["other"] for other in few[1:]]
    assert np.median([one.score for one in alone]) > 3


@pytest.mark.parametrize("missing", [0, 1, 2])
def test_who_is_in_it_is_named_beside_those_who_are_missing(few: list[Change], missing: int) -> None:
    merged = combined(few[:3], [1 / 3] * 3)
    pool = {f"s{place}": few[place] for place in range(missing, 8)}
    found = {name for name, one in link(merged, pool).sharers.items() if one.named}
    assert found == {f"s{place}" for place in range(missing, 3)}
