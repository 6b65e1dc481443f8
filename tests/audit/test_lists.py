"""What is said about two lists: a difference beyond the texts, never a leak, unless a coin drew them."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import ndtri

from attacks import ATTACKS
from attacks.statistics import UserScores
from prime_audit.audit.lists import (
    NO_TEXT,
    ListedPanels,
    above_blind,
    audit_lists,
    observed_findings,
)
from prime_audit.audit.membership import Audited
from prime_audit.audit.panel import Panel
from prime_audit.core import Seeds
from prime_audit.results import Finding

Scores = NDArray[np.float64]
MEMBER = np.arange(120) % 2 == 0
KEY = ("model", "loss")


def panel(scores: Scores, member: NDArray[np.bool_] = MEMBER, attempted: int | None = None) -> Panel:
    user = UserScores("all", member, scores[None])
    total = len(scores)
    return Panel((user,), attempted or total, total, oriented=False, copies_loss=False)


def noise(seed: int, shift: float = 0.0) -> Scores:
    """Scores whose members lie ``shift`` standard deviations higher."""
    scores: Scores = np.random.default_rng(seed).normal(size=len(MEMBER)) + shift * MEMBER
    return scores


def finding(attack: Scores, blind: Scores | None) -> Finding:
    seen = None if blind is None else panel(blind)
    (found,) = observed_findings({KEY: panel(attack)}, "sharer", "loss", seen)
    return found


def test_what_the_texts_do_not_show_is_a_difference() -> None:
    found = finding(noise(1, 1.5), noise(2))
    assert (found.method, found.attack, found.verdict) == ("model", "loss", "difference")
    assert "95 % interval" in found.reason


def test_what_the_texts_show_too_is_no_difference() -> None:
    found = finding(noise(1, 1.0), noise(2, 1.5))
    assert found.verdict == "inconclusive"
    assert "the lists differ by themselves" in found.reason


def test_nothing_seen_says_what_would_have_been_seen() -> None:
    found = finding(noise(1), noise(2))
    assert found.verdict == "none detected"
    assert found.could_have_seen is not None
    assert 0.65 < found.could_have_seen < 0.85


def test_what_would_have_been_seen_is_seen() -> None:
    visible = finding(noise(1), noise(2)).could_have_seen
    assert visible is not None
    shift = float(np.sqrt(2) * ndtri(visible))
    seen = sum(finding(noise(seed, shift), noise(5000 + seed)).verdict == "difference" for seed in range(200))
    # Power .9 with a standard error of .02, and the blind control of the first draw was not quite one half.
    assert seen >= 160


def test_without_texts_there_are_numbers_and_no_verdict() -> None:
    found = finding(noise(1, 3.0), None)
    assert (found.verdict, found.reason) == ("inconclusive", NO_TEXT)


def test_members_below_non_members_ask_for_the_direction() -> None:
    found = finding(noise(1, -1.5), noise(2))
    assert found.verdict == "inconclusive"
    assert "swapped" in found.reason


@pytest.mark.parametrize(
    ("scores", "blind", "reason"),
    [
        (np.zeros(120), noise(2), "all scores are tied"),
        (noise(1, 1.5), np.zeros(120), "all scores are tied"),
    ],
    ids=["attack", "blind"],
)
def test_tied_scores_say_nothing(scores: Scores, blind: Scores, reason: str) -> None:
    assert (finding(scores, blind).verdict, finding(scores, blind).reason) == ("inconclusive", reason)


def test_too_few_records_say_so() -> None:
    few = np.array([True] * 4 + [False] * 4)
    rng = np.random.default_rng(3)
    panels = {KEY: panel(rng.normal(size=8), few)}
    (found,) = observed_findings(panels, "sharer", "loss", panel(rng.normal(size=8), few))
    assert found.verdict == "inconclusive"
    assert "needs 5 members and 5 non-members, has 4 and 4" in found.reason


def test_another_set_of_records_is_not_paired() -> None:
    short = panel(noise(1)[:100], MEMBER[:100], attempted=120)
    (found,) = observed_findings({KEY: short}, "sharer", "loss", panel(noise(2)))
    assert found.verdict == "inconclusive"
    assert found.reason == "it scores 100 records, and the blind control 120"
    metric = above_blind(Audited("model", ATTACKS["loss"], "sharer"), short, panel(noise(2)))
    assert (metric.status, metric.reason) == ("undefined", found.reason)


def test_a_difference_is_rare_where_there_is_none() -> None:
    """2,000 null draws; the limit is that of soundness: at most 131."""
    verdicts = [finding(noise(seed), noise(100_000 + seed)).verdict for seed in range(2000)]
    assert verdicts.count("difference") <= 131
    assert verdicts.count("none detected") > 1500
    assert "leak" not in verdicts


def audited(attack: Scores, blind: Scores | None, *, randomised: bool) -> list[Finding]:
    panels = ListedPanels({KEY: panel(attack)}, seen=None if blind is None else panel(blind))
    return audit_lists(panels, "loss", randomised=randomised, seeds=Seeds(7), draws=1999).findings


def test_a_leak_is_stated_only_where_a_coin_was_flipped() -> None:
    strong, nothing = noise(1, 2.0), noise(2)
    assert audited(strong, nothing, randomised=True)[0].verdict == "leak"
    assert audited(strong, None, randomised=True)[0].verdict == "leak"
    assert audited(strong, nothing, randomised=False)[0].verdict == "difference"
    assert audited(nothing, noise(3), randomised=True)[0].verdict == "none detected"


def test_texts_that_know_the_coin_break_the_design() -> None:
    found = audited(noise(1, 2.0), noise(2, 3.0), randomised=True)
    assert [(entry.method, entry.verdict) for entry in found] == [
        ("model", "inconclusive"),
        ("control-blind", "inconclusive"),
    ]
    assert "control-blind departs from one half" in found[0].reason


def test_every_attack_stands_beside_the_blind_control() -> None:
    panels = ListedPanels(
        {KEY: panel(noise(1, 1.5)), ("model", "zlib"): panel(noise(2))},
        {("control-base", "loss"): panel(noise(3))},
        panel(noise(4)),
    )
    tables = audit_lists(panels, "loss", randomised=False, seeds=Seeds(7), draws=999)
    above = {(m.method, m.attack): m for m in tables.metrics if m.id == "mia.auc_above_blind"}
    assert set(above) == {KEY, ("model", "zlib"), ("control-base", "loss")}
    values = {(m.method, m.attack): m.value for m in tables.metrics if m.id == "mia.auc"}
    found = above[KEY]
    assert found.value == pytest.approx(values[KEY] - values["control-blind", "blind"])  # type: ignore[operator]
    assert found.ci is not None
    assert found.ci.low > 0
    assert [entry.method for entry in tables.findings] == ["model", "control-base"]
    assert [metric.id for metric in tables.metrics if metric.user is not None] == []
