"""From finished units to results.json: a pure function of the units' outputs and the evidence files."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from attacks import ATTACKS
from prime_audit.audit import AuditTables, Subjects, audit
from prime_audit.audit.audit import CONTROL_BLIND
from prime_audit.audit.blind import blind_info
from prime_audit.audit.kept import kept_scores
from prime_audit.audit.paper import audit_paper
from prime_audit.audit.verdict import with_repeats
from prime_audit.config import MethodConfig, StudyConfig
from prime_audit.core import digest_json
from prime_audit.data import overlaps
from prime_audit.personalize import METHODS
from prime_audit.results import (
    AttackInfo,
    Coverage,
    Gap,
    Method,
    Metric,
    Results,
    Scores,
    Search,
    Study,
)
from prime_audit.study.attributes import attribute_metrics
from prime_audit.study.black_box import black_box_metrics
from prime_audit.study.blind import paper_blind_panel
from prime_audit.study.canary_findings import canary_attacks, canary_findings
from prime_audit.study.canary_metrics import canary_metrics, seen_by_method
from prime_audit.study.canary_totals import (
    discovery_metrics,
    planted_share,
    precision_metrics,
    share_metrics,
)
from prime_audit.study.collect import Collector
from prime_audit.study.comparing import versus_metrics
from prime_audit.study.control_names import CONTROL_BASE, OWN_MODULE, PLACEBO, WITHOUT
from prime_audit.study.costs import cost_metrics
from prime_audit.study.coverage import coverage
from prime_audit.study.doses import dose_metrics
from prime_audit.study.epsilon_metrics import epsilon_bounds, epsilon_findings, epsilon_metrics
from prime_audit.study.identity import identity_of
from prime_audit.study.linking import linking_metrics
from prime_audit.study.malicious_metrics import malicious_metrics
from prime_audit.study.posing_metrics import posing_metrics
from prime_audit.study.premise import premise_metrics, searching_methods
from prime_audit.study.privacy import privacy_metrics
from prime_audit.study.prompting import prompt_metrics
from prime_audit.study.remaking import rerun_method
from prime_audit.study.swap_metrics import pool_metrics, swap_metrics
from prime_audit.study.units import Outputs
from prime_audit.study.utility import utility_metrics
from prime_audit.study.workbench import Workbench

CONTROLS = {
    "base": (CONTROL_BASE, "Base (no personal module)"),
    "own-module": (OWN_MODULE, "Own module (a sharer's unmerged module)"),
    "placebo": (PLACEBO, "Placebo (a merge of other sharers)"),
    "without-sharer": (WITHOUT, "Without the sharer (the merge made again)"),
    "blind": (CONTROL_BLIND, "Blind (texts alone, no model)"),
}


def assemble(bench: Workbench, outputs: Outputs) -> tuple[Results, Scores]:
    """Builds the results of a finished study, and the scores of single records that they rest on.

    Args:
        bench: The workbench.
        outputs: The output of every unit.

    Returns:
        Results that are equal for equal runs (no times, hosts or paths), and the scores.
    """
    config = bench.config
    groups = Collector(bench, outputs).groups()
    flips = {user.id: bench.member(user.id) for user in bench.dataset.users if user.id in bench.holdout.flips}
    tables = _audited(bench, outputs, groups, flips)
    planted = seen_by_method(bench, outputs)
    bounds = epsilon_bounds(bench, planted)
    audited = [flip for user in flips.values() for flip in user]
    repeats = len({(pair.user, pair.nonmember) for pair in overlaps(bench.holdout, bench.dataset)})
    tables.findings = with_repeats(tables.findings, repeats, len(audited) - sum(audited))
    results = Results(
        status="complete",
        study=_study(bench),
        methods=(*(_method(bench, method) for method in config.methods), *_controls(config, groups)),
        attacks=(
            *(_attack(attack) for attack in config.audit.attack_ids),
            *([blind_info()] if "blind" in config.audit.run_controls else []),
            *(canary_attacks(bounds) if planted else []),
        ),
        metrics=(
            *utility_metrics(config, bench.dataset, outputs),
            *cost_metrics(bench, outputs),
            *versus_metrics(config, bench.dataset, outputs, bench.seeds),
            *privacy_metrics(outputs),
            *tables.metrics,
            *_premise(bench, outputs),
            *swap_metrics(outputs, bench.seeds),
            *pool_metrics(outputs, bench.seeds),
            *canary_metrics(bench, planted),
            *discovery_metrics(bench, outputs),
            *precision_metrics(bench, outputs),
            *malicious_metrics(bench, outputs, planted),
            *posing_metrics(outputs),
            *share_metrics(outputs),
            *epsilon_metrics(bounds, planted_share(outputs)),
            *linking_metrics(outputs),
            *black_box_metrics(bench, outputs),
            *attribute_metrics(bench, outputs),
            *prompt_metrics(config, outputs, bench.seeds),
            *_doses(bench, outputs, groups, flips),
        ),
        findings=(*tables.findings, *canary_findings(bench, planted), *epsilon_findings(bounds)),
        curves=tuple(tables.curves),
        distributions=tuple(tables.distributions),
        search=tuple(_searches(bench, outputs)),
        coverage=coverage(bench, tables, outputs),
    )
    records = {user: [item.id for item in bench.holdout.audited(bench.dataset.user(user))] for user in flips}
    return results, kept_scores(tables.panels, records, flips)


def cancelled(bench: Workbench) -> Results:
    """Builds the results of a run that was stopped: what it was asked for, and no figure.

    Args:
        bench: The workbench.

    Returns:
        Results with the status ``cancelled``.
    """
    methods = [_method(bench, method) for method in bench.config.methods]
    gaps = tuple(
        Gap(id=method.id, reason="the run was stopped; the same command continues") for method in methods
    )
    asked = tuple(method.id for method in methods)
    return Results(
        status="cancelled",
        study=_study(bench),
        methods=tuple(methods),
        coverage=Coverage(requested=asked, run=(), skipped=gaps),
    )


def _study(bench: Workbench) -> Study:
    config = bench.config
    return Study(
        name=config.name,
        task=bench.dataset.task.id,
        seed=config.seed,
        design=config.audit.design,
        config_digest=config_digest(bench),
        primary=config.audit.primary_attack,
    )


def _audited(
    bench: Workbench, outputs: Outputs, groups: Sequence[Subjects], flips: Mapping[str, NDArray[np.bool_]]
) -> AuditTables:
    """The audit by the study's design."""
    audit_settings = bench.config.audit
    primary = audit_settings.primary_attack
    if audit_settings.design == "holdout":
        draws = audit_settings.permutations
        return audit(groups, flips, audit_settings.attack_ids, bench.seeds, draws, primary)
    selected = {target: list(chosen) for target, chosen in outputs["select"]["selected"].items()}
    blind = "blind" in audit_settings.run_controls
    seen = paper_blind_panel(bench, selected, outputs["select"]["pool"]) if blind else None
    return audit_paper(groups[0], selected, audit_settings.attack_ids, seen, primary, bench.seeds)


def _premise(bench: Workbench, outputs: Outputs) -> list[Metric]:
    if bench.config.audit.premise is None:
        return []
    searching = [method.id for method in searching_methods(bench.config)]
    return premise_metrics(searching, [target.id for target in bench.dataset.targets], outputs)


def _doses(
    bench: Workbench, outputs: Outputs, groups: Sequence[Subjects], flips: Mapping[str, NDArray[np.bool_]]
) -> list[Metric]:
    about = next((group.methods for group in groups if group.subject == "sharer"), {})
    return dose_metrics(bench.config, outputs, about, flips)


def config_digest(bench: Workbench) -> str:
    """Digest of what determines the numbers: the study, its data and its model, wherever they lie."""
    settings = bench.config.model_dump(mode="json", exclude={"report", "run", "gate", "task"})
    # Whom these three select stands in the digest of the data.
    for name in ("path", "sharers_from", "public"):
        settings["data"].pop(name)
    # The digest of the model, below, stands for both.
    settings["model"].pop("base")
    settings["model"].pop("quantize")
    settings["methods"] = [bench.settings_of(method) for method in bench.config.methods]
    settings["sharers"]["embedder"] = bench.embedder_part
    settings["plug-ins"] = {m.kind: identity for m in bench.config.methods if (identity := identity_of(m))}
    return digest_json([settings, bench.dataset.digest, bench.pretrained.digest])


def _method(bench: Workbench, method: MethodConfig) -> Method:
    kind = METHODS[method.kind]
    params = bench.settings_of(method)
    del params["kind"], params["id"]
    return Method.model_validate(
        {"id": method.id, "kind": method.kind, "family": kind.family, "label": kind.label, "params": params}
    )


def _controls(config: StudyConfig, groups: Sequence[Subjects]) -> list[Method]:
    named = {
        control for group in groups for control in (*group.alarms, *group.references, *group.counterfactuals)
    }
    if "blind" in config.audit.run_controls:
        named.add(CONTROL_BLIND)
    if config.audit.canaries is not None:
        # Their secrets are compared with what the base says and with what the own modules hold.
        named |= {CONTROL_BASE, OWN_MODULE}
    of: dict[str, dict[str, JsonValue]] = {}
    if WITHOUT in named:
        of[WITHOUT] = {"of": rerun_method(config).id}
    return [
        Method(id=control, kind=kind, family="control", label=label, params=of.get(control, {}))
        for kind, (control, label) in CONTROLS.items()
        if control in named
    ]


def _attack(name: str) -> AttackInfo:
    attack = ATTACKS[name]
    fields = ("id", "kind", "threat_model", "source", "version")
    described: dict[str, Any] = {field: getattr(attack, field) for field in fields}
    described.update(needs=tuple(attack.needs), params=dict(attack.params))
    return AttackInfo.model_validate(described)


def _searches(bench: Workbench, outputs: Outputs) -> list[Search]:
    about_sharers = [m for m in bench.config.methods if METHODS[m.kind].subject == "sharer"]
    return [
        _search(method.id, target.id, outputs) for method in about_sharers for target in bench.dataset.targets
    ]


def _search(method: str, target: str, outputs: Outputs) -> Search:
    output = outputs[f"deploy/{method}/{target}"]
    sharers = tuple(outputs["select"]["selected"][target])
    weights = dict(zip(output["sources"], output["weights"], strict=True))
    return Search.model_validate(
        {
            "method": method,
            "target": target,
            "sharers": sharers,
            "points": tuple({**p, "w": tuple(p["w"])} for p in output["points"]),
            "chosen": output["chosen"],
            "weights": tuple(weights.get(sharer, 0.0) for sharer in sharers) if weights else (),
            "norm_ratio": output["norm_ratio"],
            "reverted": output["reverted"],
            "reason": output["reason"],
            "notes": output["notes"],
        }
    )
