"""A made-up run of realistic size: the numbers are drawn, the structure is that of a real one."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from prime_audit.gate import Gate, judge
from prime_audit.results import (
    CI,
    AttackInfo,
    Coverage,
    Curve,
    Distribution,
    Family,
    Finding,
    Gap,
    Method,
    Metric,
    N,
    Results,
    Reverted,
    Search,
    SearchPoint,
    SliceValue,
    Study,
)

ATTACKS = ("loss", "zlib", "min-k", "min-k++", "reference")
METHODS: tuple[tuple[str, Family, str, float | None, float | None], ...] = (
    ("base", "prompt", "Task-adapted base", 0.42, None),
    ("rag", "prompt", "Retrieval (BM25)", 0.47, None),
    ("oppu", "training", "Own module (OPPU)", 0.58, 0.93),
    ("uniform", "merging", "Equal merge", 0.49, 0.53),
    ("prime", "merging", "PriME merge", 0.56, 0.66),
    ("control-base", "control", "Base, attacked", None, 0.5),
    ("control-own-module", "control", "A sharer's own module", None, 0.91),
    ("control-placebo", "control", "Merge of other sharers", None, 0.51),
)


class Rule:
    """An absolute limit, as the study's model has it."""

    def __init__(
        self,
        metric: str,
        method: str | None = None,
        attack: str | None = None,
        *,
        min: float | None = None,
        max: float | None = None,
    ) -> None:
        self.metric, self.method, self.attack, self.min, self.max = metric, method, attack, min, max


def _ci(value: float, half: float) -> CI:
    return CI(low=max(value - half, 0.0), high=min(value + half, 1.0), how="within-user DeLong")


def _leaks(name: str, family: str, auc: float, rng: np.random.Generator) -> list[Metric]:
    subject = "target" if family == "training" else "sharer"
    counts = N(attempted=480, scored=480, failed=0, members=240, nonmembers=240, users=12)
    metrics = []
    for attack in ATTACKS:
        value = auc if attack == "reference" else 0.5 + (auc - 0.5) * float(rng.uniform(0.3, 0.7))
        common: dict[str, Any] = {
            "method": name,
            "attack": attack,
            "adversary": "A2",
            "reference": "base",
            "subject": subject,
        }
        width = 0.0 if name == "control-base" and attack == "reference" else 0.045
        ci = _ci(value, width) if width else None
        general = _ci(value, 0.09) if family != "control" else None
        rate = 0.1 + 0.6 * (value - 0.5)
        metrics += [
            Metric(
                id="mia.auc", value=value, ci=ci, sharers_ci=general, n=counts, direction="lower", **common
            ),
            Metric(id="mia.auc_pooled", value=value - 0.01, n=counts, direction="lower", **common),
            Metric(
                id="mia.tpr_at_fpr_0.1", value=rate, ci=_ci(rate, 0.05), n=counts, direction="lower", **common
            ),
            Metric(
                id="mia.tpr_at_fpr_0.01",
                value=None,
                status="undefined",
                reason="needs 300 non-members, has 240",
                n=counts,
                direction="lower",
                **common,
            ),
        ]
        if attack == "reference":
            worst = min(auc + 0.11, 1.0)
            metrics.append(
                Metric(id="mia.auc_worst", value=worst, ci=_ci(worst, 0.12), direction="lower", **common)
            )
            for person in range(12):
                each = min(max(auc + float(rng.normal(0, 0.06)), 0.0), 1.0)
                who = f"{subject[0].upper()}{person + 1:02d}"
                metrics.append(Metric(id="mia.auc", value=each, ci=_ci(each, 0.2), user=who, **common))
            if name == "prime":
                merged: dict[str, SliceValue] = {"targets": "merged"}
                metrics.append(
                    Metric(
                        id="mia.auc", value=0.7, ci=_ci(0.7, 0.05), direction="lower", slice=merged, **common
                    )
                )
    return metrics


def _utilities(name: str, value: float, rng: np.random.Generator) -> list[Metric]:
    metrics = [
        Metric(id="utility.primary", method=name, value=value, ci=_ci(value, 0.05), direction="higher"),
        Metric(id="utility.rouge_l", method=name, value=value, direction="higher"),
        Metric(id="utility.rouge_1", method=name, value=value + 0.03, direction="higher"),
    ]
    if name != "base":
        delta = CI(low=value - 0.45, high=value - 0.39, how="paired t")
        metrics.append(
            Metric(id="utility.delta", method=name, value=value - 0.42, ci=delta, direction="higher")
        )
    for target in range(12):
        each = float(np.clip(value + rng.normal(0, 0.1), 0, 1))
        metrics.append(Metric(id="utility.primary", method=name, target=f"T{target + 1:02d}", value=each))
    return metrics


def _search(rng: np.random.Generator) -> list[Search]:
    entries = []
    for target in range(12):
        sharers = tuple(f"S{(target + step) % 12 + 1:02d}" for step in range(3))
        points = [SearchPoint(w=(0.0, 0.0, 0.0), u=0.42, s=0.3, part="selection")]
        for step in range(40):
            weights = tuple(float(weight) for weight in rng.normal(0.2, 0.3, 3))
            utility = 0.42 + 0.003 * step + float(rng.normal(0, 0.03))
            points.append(
                SearchPoint(w=weights, u=utility, s=0.3 + float(rng.normal(0, 0.05)), part="search")
            )
        chosen = int(np.argmax([point.u or 0 for point in points]))
        back = target in (3, 8)
        entries.append(
            Search(
                method="prime",
                target=f"T{target + 1:02d}",
                sharers=sharers,
                points=tuple(points),
                chosen=0 if back else chosen,
                reverted=back,
                reason="no merge beat the base by the margin" if back else "",
            )
        )
        even = SearchPoint(w=(1 / 3, 1 / 3, 1 / 3), u=None)
        entries.append(
            Search(method="uniform", target=f"T{target + 1:02d}", sharers=sharers, points=(even,), chosen=0)
        )
    return entries


def _curves(rng: np.random.Generator) -> tuple[list[Curve], list[Distribution]]:
    curves, histograms = [], []
    for name, family, _, _, auc in METHODS:
        if auc is None:
            continue
        subject = "target" if family == "training" else "sharer"
        for attack in ATTACKS:
            members, others = rng.normal(2.2 * (auc - 0.5), 1, 240), rng.normal(0, 1, 240)
            cuts = np.sort(np.concatenate([members, others]))[::-1]
            fpr = tuple(float((others >= cut).mean()) for cut in cuts)
            tpr = tuple(float((members >= cut).mean()) for cut in cuts)
            common: dict[str, Any] = {"method": name, "attack": attack, "subject": subject}
            curves.append(Curve(fpr=(0.0, *fpr), tpr=(0.0, *tpr), resolvable_from=1 / 240, **common))
            edges = np.linspace(-4, 5, 19)
            histograms.append(
                Distribution(
                    edges=tuple(float(edge) for edge in edges),
                    member=tuple(int(count) for count in np.histogram(members, edges)[0]),
                    nonmember=tuple(int(count) for count in np.histogram(others, edges)[0]),
                    **common,
                )
            )
    return curves, histograms


def _findings() -> list[Finding]:
    common: dict[str, Any] = {"attack": "reference", "could_have_seen": 0.57}
    return [
        Finding(method="oppu", subject="target", verdict="leak", p=0.0005, **common),
        Finding(method="uniform", subject="sharer", verdict="none detected", p=0.081, **common),
        Finding(method="prime", subject="sharer", verdict="leak", p=0.004, **common),
        Finding(method="control-own-module", subject="sharer", verdict="leak", p=0.0005, **common),
        Finding(method="control-placebo", subject="sharer", verdict="none detected", p=0.62, **common),
    ]


def make_results() -> Results:
    """Draw the run, the same one at every call."""
    rng = np.random.default_rng(5)
    metrics: list[Metric] = []
    for name, family, _, utility, auc in METHODS:
        if utility is not None:
            metrics += _utilities(name, utility, rng)
        if auc is not None:
            metrics += _leaks(name, family, auc, rng)
        if family == "merging":
            metrics.append(Metric(id="norm.ratio", method=name, value=0.62, direction=None))
    curves, histograms = _curves(rng)
    audited = [name for name, *_, auc in METHODS if auc is not None]
    run = [name for name, *_ in METHODS] + [f"{name}/{attack}" for name in audited for attack in ATTACKS]
    skipped = (Gap(id="rag/reference", reason="a prompt method deploys no module"),)
    return Results(
        status="complete",
        study=Study(name="quickstart", task="lamp-4", seed=7, design="holdout", config_digest="c0ffee" * 10),
        methods=tuple(
            Method(id=m, kind=m.split("-")[0], family=f, label=label) for m, f, label, *_ in METHODS
        ),
        attacks=tuple(
            AttackInfo(
                id=attack,
                kind="membership",
                threat_model="token log-probabilities",
                needs=("target",),
                source="Carlini et al. 2021",
                version=1,
            )
            for attack in ATTACKS
        ),
        metrics=tuple(metrics),
        findings=tuple(_findings()),
        curves=tuple(curves),
        distributions=tuple(histograms),
        search=tuple(_search(rng)),
        coverage=Coverage(
            requested=(*run, "rag/reference"),
            run=tuple(run),
            skipped=skipped,
            reverted=(Reverted(method="prime", targets=("T04", "T09")),),
        ),
    )


@pytest.fixture(scope="session")
def results() -> Results:
    """The made-up run."""
    return make_results()


@pytest.fixture(scope="session")
def manifest() -> dict[str, object]:
    """What its manifest would hold."""
    return {
        "tool": {"name": "prime-audit", "version": "0.1.0"},
        "python": "3.11.7",
        "cpu_threads": 2,
        "packages": {"numpy": "2.4.6", "torch": "2.13.0"},
        "command": "prime-audit evaluate quickstart --seed 7",
        "started": "2026-01-01T10:00:00Z",
        "finished": "2026-01-01T10:01:40Z",
        "seconds": {"train": 40.0, "search": 31.5},
        "study": {"name": "quickstart", "methods": [{"kind": "prime", "alpha": 0.1}]},
        "data_digest": "ab" * 32,
        "design": {"commitment": "cd" * 32, "users": 24, "members": 240, "nonmembers": 240},
        "model": {"name": "tiny", "digest": "ef" * 32},
    }


@pytest.fixture(scope="session")
def gate(results: Results) -> Gate:
    """The verdict on three limits, one of them broken."""
    rules = [
        Rule("mia.auc", "prime", "reference", max=0.6),
        Rule("utility.primary", "prime", min=0.45),
        Rule("mia.auc", "uniform", "loss", max=0.7),
    ]
    return judge(results, rules)


@pytest.fixture(scope="session")
def rule() -> Callable[..., Rule]:
    """The class of limits."""
    return Rule
