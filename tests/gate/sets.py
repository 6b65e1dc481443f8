"""Made-up runs: scores of records whose members stand out by a known amount, and how training moves them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from attacks.statistics import UserScores, within_user_auc
from prime_audit.gate import Baseline, Identity, Run, make_baseline
from prime_audit.results import (
    CI,
    AttackInfo,
    Coverage,
    Method,
    Metric,
    N,
    Results,
    Scores,
    ScoreSet,
    Study,
    UserRecords,
    UserRows,
)


@dataclass(frozen=True)
class Limit:
    """A rule."""

    metric: str
    method: str | None = None
    attack: str | None = None
    min: float | None = None
    max: float | None = None
    max_increase: float | None = None
    max_decrease: float | None = None
    slice: Mapping[str, str | int | float | bool] | None = None
    primary: bool = False
    severity: Literal["fail", "warn"] = "fail"
    min_n: int | None = None
    on_missing: Literal["error", "fail"] = "error"


PRIMARY = Limit("mia.auc", "prime", "reference", max_increase=0.0, primary=True)
SECONDARY = (
    Limit("mia.auc", "prime", "loss", max_increase=0.0),
    Limit("mia.auc", "prime", "zlib", max_increase=0.0),
    Limit("utility.primary", "prime", max_decrease=0.0),
)


@dataclass(frozen=True)
class World:
    """Users, coin flips, and what of a record's score is the record's own.

    `gap` is how far members stand out in standard deviations, `common` the share of a score's variance that
    stays when a module is trained again, `wander` by how much the gap moves with the training seed.
    """

    flips: Mapping[str, np.ndarray]
    own: Mapping[str, np.ndarray]
    ease: np.ndarray
    gap: float = 0.6
    common: float = 0.7
    wander: float = 0.05
    attacks: tuple[str, ...] = ("reference", "loss", "zlib")

    def train(self, rng: np.random.Generator, *, more: float = 0.0, seed: int = 0) -> Run:
        """Trains and audits once; `more` is added to the gap."""
        gap = self.gap + more + self.wander * rng.standard_normal()
        sets, metrics = [], []
        for attack in self.attacks:
            rows = []
            for name, flips in self.flips.items():
                noise = rng.standard_normal((2, len(flips)))
                scores = gap * flips + np.sqrt(self.common) * self.own[name]
                scores = np.round(scores + np.sqrt(1 - self.common) * noise, 6)
                rows.append((name, flips, scores))
            metrics.append(_auc(attack, [UserScores(*row) for row in rows]))
            users = tuple(UserRows(user=n, scores=tuple(map(tuple, s.tolist()))) for n, _, s in rows)
            sets.append(ScoreSet(method="prime", attack=attack, subject="sharer", users=users))
        metrics += _utility(self.ease + 0.05 * rng.standard_normal(len(self.ease)))
        return Run(_results(metrics, seed), self.identity(), Scores(users=self.records(), sets=tuple(sets)))

    def identity(self) -> Identity:
        return Identity(
            name="made-up",
            task="t",
            data="d",
            design={"design.json": "c"},
            attacks={"reference": 1, "loss": 1, "zlib": 1},
            results_schema=1,
            study="s",
        )

    def records(self) -> dict[str, UserRecords]:
        return {
            name: UserRecords(
                records=tuple(f"{name}-{i}" for i in range(len(flips))), member=tuple(flips.tolist())
            )
            for name, flips in self.flips.items()
        }

    def baseline(
        self, rng: np.random.Generator, seeds: int = 5, rules: Sequence[Limit] = (PRIMARY, *SECONDARY)
    ) -> Baseline:
        return make_baseline([self.train(rng, seed=k) for k in range(seeds)], rules, "first")


def world(rng: np.random.Generator, users: int = 8, records: int = 24, **more: Any) -> World:  # noqa: ANN401
    flips = {f"u{i}": rng.integers(0, 2, records).astype(bool) for i in range(users)}
    for flip in flips.values():
        flip[:2] = (True, False)
    own = {name: rng.standard_normal(records) for name in flips}
    return World(flips, own, rng.uniform(0.2, 0.8, 10), **more)


def _auc(attack: str, users: Sequence[UserScores]) -> Metric:
    found = within_user_auc(users)
    assert found.interval is not None
    members, others = (sum(getattr(user, side) for user in users) for side in ("members", "nonmembers"))
    both = members + others
    return Metric.model_validate(
        {
            "id": "mia.auc",
            "method": "prime",
            "attack": attack,
            "subject": "sharer",
            "value": found.value,
            "ci": CI(low=found.interval.low, high=found.interval.high, how=found.interval.how),
            "n": N(attempted=both, scored=both, failed=0, members=members, nonmembers=others),
            "direction": "lower",
        }
    )


def _utility(values: np.ndarray) -> list[Metric]:
    fields = {"id": "utility.primary", "method": "prime", "direction": "higher"}
    own = [{**fields, "target": f"t{i}", "value": float(v)} for i, v in enumerate(values)]
    return [Metric.model_validate(one) for one in ({**fields, "value": float(values.mean())}, *own)]


def _results(metrics: Sequence[Metric], seed: int) -> Results:
    return Results(
        status="complete",
        study=Study(name="made-up", task="t", seed=1, design="holdout", config_digest=f"k{seed}"),
        methods=(Method(id="prime", kind="prime", family="merging", label="PriME"),),
        attacks=tuple(
            AttackInfo(id=a, kind="membership", threat_model="A2", source="x", version=1)
            for a in ("reference", "loss", "zlib")
        ),
        metrics=tuple(metrics),
        coverage=Coverage(requested=(), run=()),
    )
