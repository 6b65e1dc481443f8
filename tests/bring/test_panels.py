"""What an attack needs decides whether it runs, never what the arrays happen to hold."""

from pathlib import Path

import numpy as np
import pytest

from attacks import ATTACKS, Evidence, TokenScores
from prime_audit.bring.listed import Listed
from prime_audit.bring.panels import ARRAYS, base_panels, evidence_panels, runnable
from prime_audit.bring.scores_file import ScoresFile, read_scores


@pytest.fixture
def file(tmp_path: Path) -> ScoresFile:
    path = tmp_path / "scores.csv"
    rows = [f"r{i},{i % 2},-{1 + i % 3} -2 -0.5,-2 -3 -1" for i in range(20)]
    path.write_text("\n".join(["id,member,logp,base_logp", *rows]) + "\n", encoding="utf-8")
    return read_scores(path)


def evidence(file: ScoresFile) -> Evidence:
    assert file.target is not None
    return Evidence(target=file.target, reference=file.reference)


def test_an_attack_runs_exactly_if_all_it_needs_was_handed_in(file: ScoresFile) -> None:
    able, lacking = runnable(evidence(file), file.held)
    assert file.held == {"logp", "reference"}
    assert {attack.id for attack in able} == {
        attack.id for attack in ATTACKS.values() if set(attack.needs) <= file.held
    }
    assert {"loss", "reference", "min-k"} <= {attack.id for attack in able}
    # The arrays are there; nobody measured them.
    assert lacking["min-k++"] == ("mean_logp", "std_logp")
    assert lacking["zlib"] == ("compressed_bytes",)
    assert set(lacking) | {attack.id for attack in able} == set(ATTACKS)


def test_a_base_is_attacked_by_what_reads_one_model_alone(file: ScoresFile) -> None:
    panels = base_panels(file.listed, evidence(file), file.held)
    assert ("control-base", "loss") in panels
    assert all("reference" not in ATTACKS[name].needs for _, name in panels)
    alone = Evidence(target=evidence(file).target)
    assert base_panels(file.listed, alone, file.held) == {}


def test_records_without_tokens_are_counted(file: ScoresFile) -> None:
    target = evidence(file).target.take(range(10))
    whole = Evidence(target=TokenScores.concat([target, _empty()]))
    lists = Listed(
        ids=tuple(map(str, range(11))),
        users=("all",) * 11,
        member=np.arange(11) % 2 == 0,
        texts=None,
        dates=None,
        within=False,
        repeats=0,
    )
    panels, _ = evidence_panels("model", lists, whole, ARRAYS)
    panel = panels["model", "loss"]
    assert (panel.attempted, panel.scored) == (11, 10)


def _empty() -> TokenScores:
    none = np.zeros(0)
    return TokenScores(
        offsets=np.array([0, 0]),
        logp=none,
        mean_logp=none,
        std_logp=none,
        is_argmax=np.zeros(0, dtype=bool),
        token=np.zeros(0, dtype=np.int64),
        compressed_bytes=np.array([8]),
    )
