"""The gate on real runs: modules that are trained in seconds, with many seeds on the same coin flips.

Four worlds of other users and other flips, each with a baseline of five training seeds. Five more runs of the
same method make five pairs with it, and five runs whose modules saw each record eight times as often another
five.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

import prime_audit
from prime_audit.gate import Gate, Run, judge, load_run, make_baseline
from tests.gate.sets import Limit
from tests.support import write_study

RULE = Limit("mia.auc", "uniform", "reference", max_increase=0.0, primary=True)
LAYERS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
WORLDS, SEEDS, EPOCHS = 4, 5, 1
pytestmark = [pytest.mark.long, pytest.mark.timeout(7200)]


def trained(study: Path, world: int, seed: int, epochs: int = EPOCHS) -> Run:
    """Train and audit once."""
    settings = [f"seed={world}", f"training.seed={seed}", f"training.epochs={epochs}"]
    out = study.parent / f"{world}-{seed}-{epochs}"
    prime_audit.evaluate(prime_audit.load_study(study, settings), out)
    return load_run(out)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("real-runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PRIME_AUDIT_CACHE", str(folder / "cache"))
        yield write_study(
            folder,
            data={"sharers": 6, "targets": 6},
            sharers={"per_target": 2},
            training={"rank": 4, "alpha": 8, "lr": 1e-2, "target_modules": LAYERS},
            audit={"permutations": 1000, "attacks": ["reference"], "controls": []},
        )


@pytest.fixture(scope="module")
def verdicts(study: Path) -> tuple[list[Gate], list[Gate]]:
    """What the gate says of each pair: of the same method, and of the one that memorises."""
    same, leaking = [], []
    for world in range(WORLDS):
        baseline = make_baseline([trained(study, world, seed) for seed in range(SEEDS)], [RULE], "first")
        for seed in range(SEEDS, 2 * SEEDS):
            same.append(judge(trained(study, world, seed), [RULE], baseline))
            leaking.append(judge(trained(study, world, seed, 8 * EPOCHS), [RULE], baseline))
    for name, gates in (("same", same), ("leaking", leaking)):
        rows = [gate.rules[0] for gate in gates]
        print(name, [(row.value, row.baseline, row.p, row.detectable) for row in rows])
    return same, leaking


def test_an_unchanged_method_fails_in_few_pairs(verdicts: tuple[list[Gate], list[Gate]]) -> None:
    same, _ = verdicts
    assert len(same) == 20
    assert {gate.verdict for gate in same} <= {"pass", "fail"}
    # More than four of 20 fail in about two of a hundred worlds: five pairs share a baseline.
    assert sum(gate.verdict == "fail" for gate in same) <= 4


def test_a_method_that_memorises_fails_in_nearly_all_pairs(verdicts: tuple[list[Gate], list[Gate]]) -> None:
    _, leaking = verdicts
    assert len(leaking) == 20
    assert sum(gate.exit_code == 3 for gate in leaking) >= 19
