"""A made-up run of realistic size: the numbers are drawn, the structure is that of a real one."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from pydantic import JsonValue

from prime_audit.gate import Gate, Run, judge
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
    SliceValue,
    Study,
)
from tests.gate.sets import Limit
from tests.report.merges import premise, searches

Row = tuple[str, Family, str, float | None, float | None]
ATTACKS = ("loss", "zlib", "min-k", "min-k++", "reference")
METHODS: tuple[Row, ...] = (
    ("base", "prompt", "Task-adapted base", 0.42, None),
    ("rag", "prompt", "Retrieval (BM25)", 0.47, None),
    ("oppu", "training", "Own module (OPPU)", 0.58, 0.93),
    ("uniform", "merging", "Equal merge", 0.49, 0.53),
    ("prime", "merging", "PriME merge", 0.56, 0.66),
    ("norm-matched", "control", "Uniform at PriME's norm", 0.51, 0.61),
    ("control-base", "control", "Base, attacked", None, 0.5),
    ("control-own-module", "control", "A sharer's own module", None, 0.91),
    ("control-placebo", "control", "Merge of other sharers", None, 0.51),
)
# Every method of the base install with three controls that are deployed, and the audit's controls.
WIDE: tuple[Row, ...] = (
    ("pretrained", "prompt", "Pretrained model", 0.35, None),
    *METHODS[:3],
    ("nearest", "merging", "Nearest sharer", 0.45, 0.86),
    ("uniform", "merging", "Equal merge", 0.49, 0.53),
    ("task-arithmetic", "merging", "Task arithmetic", 0.5, 0.67),
    ("similarity", "merging", "Similarity softmax", 0.495, 0.54),
    ("ties", "merging", "TIES", 0.47, 0.58),
    ("dare", "merging", "DARE", 0.48, 0.55),
    ("lorahub", "merging", "LoRAHub", 0.53, 0.64),
    ("per-pcs", "merging", "Per-Pcs", 0.52, 0.62),
    ("prime", "merging", "PriME", 0.56, 0.66),
    ("official", "merging", "PriME as published", 0.51, 0.65),
    ("random-weights", "control", "Random weights at its norm", 0.46, 0.64),
    ("norm-matched", "control", "Equal merge at its norm", 0.51, 0.61),
    ("rescaled", "control", "Scaled to the equal merge's norm", 0.53, 0.57),
    *METHODS[6:],
)
OF = {"random-weights": "prime", "norm-matched": "prime", "rescaled": "prime"}
PARAMS: dict[str, dict[str, JsonValue]] = {
    "prime": {"alpha": 0.1, "budget": 40},
    "official": {"alpha": 0.1, "budget": 10},
    "lorahub": {"l1": 0.05, "budget": 40},
    **{name: {"of": of} for name, of in OF.items()},
}


def _ci(value: float, half: float) -> CI:
    return CI(low=max(value - half, 0.0), high=min(value + half, 1.0), how="within-user DeLong")


def _leaks(
    name: str, family: str, auc: float, attacks: Sequence[str], rng: np.random.Generator
) -> list[Metric]:
    subject = "target" if family == "training" else "sharer"
    counts = N(attempted=480, scored=480, failed=0, members=240, nonmembers=240, users=12)
    metrics = []
    for attack in attacks:
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


def _curves(
    rows: tuple[Row, ...], attacks: Sequence[str], rng: np.random.Generator
) -> tuple[list[Curve], list[Distribution]]:
    curves, histograms = [], []
    for name, family, _, _, auc in rows:
        if auc is None:
            continue
        subject = "target" if family == "training" else "sharer"
        for attack in attacks:
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


def make_results(rows: tuple[Row, ...] = METHODS, attacks: Sequence[str] = ATTACKS) -> Results:
    """Draw the run, the same one at every call."""
    rng = np.random.default_rng(5)
    methods = tuple(
        Method(id=name, kind=name.split("-")[0], family=family, label=label, params=PARAMS.get(name, {}))
        for name, family, label, *_ in rows
    )
    merged = {name for name, family, *_ in rows if family == "merging" or name in OF}
    entries = searches(tuple(method for method in methods if method.id in merged))
    metrics: list[Metric] = []
    for name, family, _, utility, auc in rows:
        if utility is not None:
            metrics += _utilities(name, utility, rng)
        if auc is not None:
            metrics += _leaks(name, family, auc, attacks, rng)
        if name in merged:
            ratios = [entry.norm_ratio or 0.0 for entry in entries if entry.method == name]
            metrics.append(Metric(id="norm.ratio", method=name, value=float(np.mean(ratios))))
    metrics += [metric for name in ("prime", "official") if name in merged for metric in premise(name)]
    curves, histograms = _curves(rows, attacks, rng)
    run = [name for name, *_ in rows]
    run += [f"{name}/{attack}" for name, *_, auc in rows if auc is not None for attack in attacks]
    gone = {name: tuple(e.target for e in entries if e.method == name and e.reverted) for name in merged}
    return Results(
        status="complete",
        study=Study(name="quickstart", task="lamp-4", seed=7, design="holdout", config_digest="c0ffee" * 10),
        methods=methods,
        attacks=tuple(_attack(attack) for attack in attacks),
        metrics=tuple(metrics),
        findings=tuple(finding for finding in _findings() if finding.method in {name for name, *_ in rows}),
        curves=tuple(curves),
        distributions=tuple(histograms),
        search=entries,
        coverage=Coverage(
            requested=(*run, "rag/reference"),
            run=tuple(run),
            skipped=(Gap(id="rag/reference", reason="a prompt method deploys no module"),),
            reverted=tuple(Reverted(method=name, targets=gone[name]) for name, *_ in rows if gone.get(name)),
        ),
    )


def _attack(name: str) -> AttackInfo:
    return AttackInfo(
        id=name,
        kind="membership",
        threat_model="token log-probabilities",
        needs=("target",),
        source="Carlini et al. 2021",
        version=1,
    )


@pytest.fixture(scope="session")
def results() -> Results:
    """The made-up run."""
    return make_results()


@pytest.fixture(scope="session")
def wide() -> Results:
    """A made-up run of 17 deployed methods, 12 targets and 40 candidates each."""
    return make_results(WIDE)


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
        Limit("mia.auc", "prime", "reference", max=0.6),
        Limit("utility.primary", "prime", min=0.45),
        Limit("mia.auc", "uniform", "loss", max=0.7),
    ]
    return judge(Run(results), rules)


@pytest.fixture(scope="session")
def rule() -> Callable[..., Limit]:
    """The class of limits."""
    return Limit
