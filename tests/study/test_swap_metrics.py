"""Figures of swaps and pools on made-up outputs: what is averaged over what, and what is tested."""

from typing import Any

import numpy as np
import pytest

from prime_audit.core import Seeds
from prime_audit.results import Metric
from prime_audit.study.swap_metrics import pool_metrics, swap_metrics


def gap(
    sharer: str, swap: int, member: float, nonmember: float, weights: str = "frozen", weight: float = 1.0
) -> dict[str, Any]:
    found: dict[str, Any] = {"sharer": sharer, "swap": swap, "weights": weights, "weight": weight}
    return {**found, "member": member, "nonmember": nonmember}


def score(
    sharer: str, merged: float, apart: float, records: str = "held-out", weight: float = 1.0
) -> dict[str, Any]:
    found: dict[str, Any] = {"sharer": sharer, "rank": 0, "records": records, "weight": weight}
    return {**found, "merged": merged, "apart": apart}


def one(metrics: list[Metric], name: str, **part: str) -> Metric:
    (found,) = [metric for metric in metrics if metric.id == name and metric.slice == part]
    return found


class TestSwaps:
    def test_a_swap_is_the_mean_of_its_two_records_over_targets(self) -> None:
        outputs: dict[str, dict[str, Any]] = {
            "swapped/uniform/t1": {"gaps": [gap("a", 0, 0.4, 0.2), gap("b", 0, 0.1, 0.1)]},
            "swapped/uniform/t2": {"gaps": [gap("a", 0, 0.2, 0.0)]},
            "deploy/uniform/t1": {"reverted": False},
        }
        metrics = swap_metrics(outputs, Seeds(1))
        found = one(metrics, "swap.gap", weights="frozen")
        # Sharer a: (.3 + .1) / 2 = .2; sharer b: .1.
        assert found.value == pytest.approx(0.15)
        assert found.reason == "interval needs 6 sharers, has 2"
        assert found.n is not None
        assert (found.n.scored, found.n.users) == (2, 2)
        assert one(metrics, "swap.share", weights="frozen").value == 1.0
        assert one(metrics, "swap.p", weights="frozen").value == 0.25

    def test_weights_as_they_were_and_chosen_again_stand_apart(self) -> None:
        both = [gap("a", 0, 0.2, 0.2), gap("a", 0, 0.6, 0.2, "remade")]
        metrics = swap_metrics({"swapped/prime/t": {"gaps": both}}, Seeds(1))
        assert one(metrics, "swap.gap", weights="frozen").value == pytest.approx(0.2)
        assert one(metrics, "swap.gap", weights="remade").value == pytest.approx(0.4)

    def test_many_sharers_have_an_interval_and_a_small_p(self) -> None:
        rng = np.random.default_rng(0)
        gaps = [gap(f"s{i}", j, *rng.normal(0.3, 0.1, 2)) for i in range(8) for j in range(2)]
        metrics = swap_metrics({"swapped/uniform/t": {"gaps": gaps}}, Seeds(1))
        found = one(metrics, "swap.gap", weights="frozen")
        assert found.ci is not None
        assert found.ci.low > 0.2
        assert one(metrics, "swap.p", weights="frozen").value == pytest.approx(1e-4)

    @pytest.mark.parametrize("draws", [pytest.param(50), pytest.param(1000, marks=pytest.mark.long)])
    def test_without_memory_it_is_rarely_found(self, draws: int) -> None:
        rng = np.random.default_rng(1)
        rejected = 0
        for draw in range(draws):
            gaps = [gap(f"s{i}", 0, *rng.normal(0, 0.1, 2)) for i in range(10)]
            metrics = swap_metrics({"swapped/uniform/t": {"gaps": gaps}}, Seeds(draw))
            rejected += (one(metrics, "swap.p", weights="frozen").value or 0) <= 0.05
        assert rejected <= (73 if draws == 1000 else 8)

    def test_a_negative_weight_turns_the_change_over_and_weight_zero_is_left_out(self) -> None:
        gaps = [
            gap("a", 0, 0.2, 0.2),
            gap("b", 0, -0.4, -0.4, weight=-0.5),
            gap("c", 0, 9.0, 9.0, weight=0.0),
        ]
        metrics = swap_metrics({"swapped/prime/t": {"gaps": gaps}}, Seeds(1))
        found = one(metrics, "swap.gap", weights="frozen")
        assert found.value == pytest.approx(0.3)
        assert found.n is not None
        assert (found.n.attempted, found.n.scored, found.n.users) == (3, 2, 2)
        assert one(metrics, "swap.share", weights="frozen").value == 1.0

    def test_merges_without_any_module_say_nothing(self) -> None:
        metrics = swap_metrics({"swapped/prime/t": {"gaps": [gap("a", 0, 0.2, 0.2, weight=0.0)]}}, Seeds(1))
        assert {metric.status for metric in metrics} == {"undefined"}
        assert {metric.reason for metric in metrics} == {"no merge holds a module that could be compared"}

    def test_nothing_swapped_gives_nothing(self) -> None:
        assert swap_metrics({"deploy/uniform/t": {}}, Seeds(1)) == []


class TestPools:
    def test_resembling_the_target_cancels(self) -> None:
        # Both merges find sharer a ten nats likelier than the base does; its own module adds one.
        outputs = {"pool/uniform/t": {"scores": [score("a", 11.0, 10.0), score("b", 1.5, 1.0)]}}
        metrics = pool_metrics(outputs, Seeds(1))
        found = one(metrics, "user.gap", records="held-out")
        assert found.value == pytest.approx(0.75)
        assert found.unit == "nats per record"
        assert one(metrics, "user.share", records="held-out").value == 1.0
        # 11 and 1.5 against 10 and 1: three of four pairs.
        assert one(metrics, "user.auc", records="held-out").value == 0.75

    def test_a_negative_weight_turns_the_scores_over_and_weight_zero_is_left_out(self) -> None:
        scores = [score("a", -3.0, -1.0, weight=-1.0), score("b", 9.0, 1.0, weight=0.0)]
        metrics = pool_metrics({"pool/prime/t": {"scores": scores}}, Seeds(1))
        found = one(metrics, "user.gap", records="held-out")
        assert found.value == pytest.approx(2.0)
        assert found.n is not None
        assert (found.n.attempted, found.n.scored, found.n.users) == (2, 1, 1)
        # Merged 3 against apart 1, both turned over.
        assert one(metrics, "user.auc", records="held-out").value == 1.0

    def test_kinds_of_records_stand_apart(self) -> None:
        both = [score("a", 2.0, 1.0), score("a", 5.0, 1.0, "members")]
        metrics = pool_metrics({"pool/uniform/t": {"scores": both}}, Seeds(1))
        assert one(metrics, "user.gap", records="members").value == pytest.approx(4.0)
        assert one(metrics, "user.gap", records="held-out").value == pytest.approx(1.0)
