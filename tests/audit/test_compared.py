"""Records that chose when training stopped: neither members nor non-members of the audit."""

import numpy as np
import pytest

from attacks import ATTACKS as KNOWN
from attacks import Evidence
from attacks.statistics import within_user_auc
from prime_audit.audit import Scored
from prime_audit.audit.kept import kept_scores
from prime_audit.audit.panel import Flips, build_panel
from prime_audit.audit.verdict import run_tests
from prime_audit.data import Holdout, Item, User
from tests.audit.test_audit import scores


class TestRecordsThatWereNotTrainedOn:
    """A target's latest members chose when training stopped, and nothing was learnt of them."""

    @staticmethod
    def entry(rng: np.random.Generator, trend: float, leak: float, leave_out: bool) -> tuple[Scored, Flips]:
        member = rng.integers(0, 2, 60).astype(bool)
        history = tuple(Item(f"i{n:02}", "text", "title") for n in range(60))
        design = Holdout({"t": tuple(member.tolist())}, {})
        kept = np.array(design.compared(User("t", "target", history, ()), round(0.3 * member.sum())))
        learnt = member & (np.cumsum(member) <= member.sum() - round(0.3 * member.sum()))
        base = scores(rng, np.zeros(60))
        found = Evidence(scores(rng, trend * np.arange(60) + leak * learnt, base), base)
        compared = kept if leave_out else None
        return Scored("t", ("t",), found, (1,), compared=compared), {"t": member}

    def auc(self, **how: object) -> list[float]:
        found = []
        for seed in range(200):
            entry, known = self.entry(np.random.default_rng(seed), **how)  # type: ignore[arg-type]
            panel = build_panel([entry], known, KNOWN["reference"], KNOWN["loss"])
            estimate = within_user_auc(panel.users).value
            assert estimate is not None
            found.append(estimate)
        return found

    def test_they_do_not_hide_a_leak(self) -> None:
        """Fails where they count as members: nothing was learnt of them, so they pull the AUC down."""
        counted = np.mean(self.auc(trend=0.0, leak=1.0, leave_out=False))
        left_out = np.mean(self.auc(trend=0.0, leak=1.0, leave_out=True))
        assert counted == pytest.approx(0.85, abs=0.02)  # 0.7 of the members at 1, the others at one half
        assert left_out > 0.99

    @pytest.mark.parametrize("trend", [0.0, -0.02])
    def test_without_a_leak_the_auc_is_one_half_whatever_changes_with_time(self, trend: float) -> None:
        """Fails where held-out records of their time stay: members would all be older."""
        found = self.auc(trend=trend, leak=0.0, leave_out=True)
        assert np.mean(found) == pytest.approx(0.5, abs=4 * np.std(found) / np.sqrt(len(found)))

    def test_a_test_of_no_leak_rejects_as_often_as_it_says(self) -> None:
        rejected = 0
        for seed in range(300):
            entry, known = self.entry(np.random.default_rng(1000 + seed), -0.02, 0.0, leave_out=True)
            panel = build_panel([entry], known, KNOWN["reference"], KNOWN["loss"])
            key = ("target", "m", "reference")
            result = run_tests({key: panel}, np.random.default_rng(seed), 200)[key]
            rejected += result.p_adjusted <= 0.05
        assert 4 <= rejected <= 29  # binomial(300, .05), 99.9 %

    def test_they_are_not_counted_as_asked_for(self) -> None:
        entry, known = self.entry(np.random.default_rng(3), 0.0, 1.0, leave_out=True)
        panel = build_panel([entry], known, KNOWN["reference"], KNOWN["loss"])
        assert entry.compared is not None
        kept = int(entry.compared.sum())
        assert panel.attempted == panel.scored == kept < 60
        assert panel.members == int(known["t"][entry.compared].sum())
        assert panel.places[0].tolist() == np.flatnonzero(entry.compared).tolist()
        rows = kept_scores({("target", "m", "reference"): panel}, {"t": [f"i{n}" for n in range(60)]}, known)
        (row,) = rows.sets[0].users[0].scores
        assert [score is not None for score in row] == entry.compared.tolist()
