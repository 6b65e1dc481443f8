"""A claim of differential privacy beside bounds from planted secrets, on made-up evidence."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from prime_audit.core import write_json
from prime_audit.data import Canary, CanaryDesign, Item
from prime_audit.errors import ModelError
from prime_audit.modules import Guarantee
from prime_audit.results import Metric
from prime_audit.study.canary_metrics import Seen
from prime_audit.study.epsilon_metrics import epsilon_bounds, epsilon_findings, epsilon_metrics

OWN = "control-own-module"


def claim(epsilon: float, unit: str = "example") -> Guarantee:
    return Guarantee.model_validate(
        {
            "epsilon": epsilon,
            "delta": 1e-5,
            "unit": unit,
            "neighbours": "add-remove",
            "noise": 1.0,
            "clip": 1.0,
            "steps": 10,
            "sample_rate": 0.5,
            "accountant": "prv",
        }
    )


def trial(
    folder: Path, signal: float, count: int = 200, promise: Guarantee | None = None
) -> tuple[Any, dict[str, list[Seen]]]:
    """A workbench whose one carrier's module comes with a promise, and what two methods show of it."""
    rng = np.random.default_rng(5)
    coins = rng.integers(0, 2, count).astype(bool)
    canaries = tuple(
        Canary(f"c{i}", "ann", "code", 1, bool(side), secret=f"s{i}", item=Item(f"c{i}", "a", "b"))
        for i, side in enumerate(coins)
    )
    if promise is not None:
        write_json(folder / "privacy.json", promise.model_dump(mode="json"))
    bench = SimpleNamespace(
        config=SimpleNamespace(sharers=SimpleNamespace(privacy=object())),
        canaries=CanaryDesign({"ann": canaries}),
        keys={"plant/ann": "key"},
        store=SimpleNamespace(path=lambda key: folder),
    )

    def said(strength: float) -> list[Seen]:
        return [
            Seen(one, 0.0, (), (), 0.0, 0.0, 1.0, 0.0, strength * one.inserted + float(rng.normal()))
            for one in canaries
        ]

    return cast("Any", bench), {"control-base": said(0.0), OWN: said(signal), "uniform": said(signal)}


def of(metrics: list[Metric], name: str, method: str, bound: str = "one-run") -> Metric:
    (found,) = [m for m in metrics if (m.id, m.method, (m.slice or {}).get("bound")) == (name, method, bound)]
    return found


def test_a_false_claim_is_an_error_and_keeps_its_bound(tmp_path: Path) -> None:
    bounds = epsilon_bounds(*trial(tmp_path, signal=9.0, promise=claim(1.0)))
    metrics = epsilon_metrics(bounds, None)
    for method in (OWN, "uniform"):
        lower, over = (of(metrics, name, method, "f-dp") for name in ("epsilon.lower", "epsilon.over_claim"))
        assert lower.status == "ok"
        assert lower.value is not None
        assert lower.value > 3
        assert over.status == "error"
        assert "claimed 1" in over.reason
        assert of(metrics, "epsilon.claimed", method).value == 1.0
        # At a delta of 1e-5 the bound without an assumption cannot be as sure with 200 secrets.
        assert (of(metrics, "epsilon.over_claim", method).value or 0) > 2
    assert {(f.method, f.attack, f.verdict) for f in epsilon_findings(bounds)} == {
        (OWN, "epsilon", "leak"),
        ("uniform", "epsilon", "leak"),
    }


def test_a_true_claim_is_not_refuted_and_nothing_is_found(tmp_path: Path) -> None:
    bounds = epsilon_bounds(*trial(tmp_path, signal=0.3, promise=claim(1.0)))
    over = of(epsilon_metrics(bounds, None), "epsilon.over_claim", OWN)
    assert over.status == "ok"
    assert over.value is not None
    assert over.value < 0
    assert epsilon_findings(bounds) == []


def test_a_claim_out_of_reach_makes_the_bound_undefined(tmp_path: Path) -> None:
    bounds = epsilon_bounds(*trial(tmp_path, signal=9.0, count=20, promise=claim(2.5)))
    metrics = epsilon_metrics(bounds, None)
    for name in ("epsilon.lower", "epsilon.over_claim"):
        assert of(metrics, name, OWN).status == "undefined"
    assert "m ≥" in of(metrics, "epsilon.lower", OWN).reason
    assert epsilon_findings(bounds) == []


def test_a_claim_about_users_is_not_compared(tmp_path: Path) -> None:
    bounds = epsilon_bounds(*trial(tmp_path, signal=9.0, promise=claim(1.0, "user")))
    over = of(epsilon_metrics(bounds, None), "epsilon.over_claim", OWN)
    assert over.status == "undefined"
    assert over.reason == "not compared: the claim is about one user, the bound about one example"
    assert epsilon_findings(bounds) == []


def test_a_lost_promise_stops_the_study(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"lost its privacy\.json"):
        epsilon_bounds(*trial(tmp_path, signal=9.0))


def test_a_crowded_training_is_said_beside_the_bound(tmp_path: Path) -> None:
    bounds = epsilon_bounds(*trial(tmp_path, signal=0.0, promise=claim(1.0)))
    lower = of(epsilon_metrics(bounds, 0.3), "epsilon.lower", OWN)
    assert "up to 30 % of a sharer's trained tokens" in lower.reason
    assert "30 %" not in of(epsilon_metrics(bounds, 0.05), "epsilon.lower", OWN).reason
