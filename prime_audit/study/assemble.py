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
    Reverted,
    Scores,
    Search,
    Study,
)
from prime_audit.study.blind import paper_blind_panel
from prime_audit.study.canary_metrics import canary_metrics, discovery_metrics, seen_by_method
from prime_audit.study.collect import Collector
from prime_audit.study.doses import dose_metrics
from prime_audit.study.epsilon_metrics import epsilon_metrics
from prime_audit.study.identity import identity_of
from prime_audit.study.linking import linking_metrics
from prime_audit.study.plan_attacks import CONTROL_BASE
from prime_audit.study.planner import OWN_MODULE, PLACEBO, WITHOUT
from prime_audit.study.premise import premise_metrics, searching_methods
from prime_audit.study.privacy import privacy_metrics
from prime_audit.study.prompting import prompt_metrics
from prime_audit.study.remaking import bound_to_records, rerun_method
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
    audited = [flip for user in flips.values() for flip in user]
    repeats = len({(pair.user, pair.nonmember) for pair in overlaps(bench.holdout, bench.dataset)})
    tables.findings = with_repeats(tables.findings, repeats, len(audited) - sum(audited))
    results = Results(
        status="complete",
        study=Study(
            name=config.name,
            task=bench.dataset.task.id,
            seed=config.seed,
            design=config.audit.design,
            config_digest=config_digest(bench),
            primary=config.audit.primary_attack,
        ),
        methods=(*(_method(method) for method in config.methods), *_controls(config, groups)),
        attacks=(
            *(_attack(attack) for attack in config.audit.attack_ids),
            *([blind_info()] if "blind" in config.audit.run_controls else []),
        ),
        metrics=(
            *utility_metrics(config, bench.dataset, outputs),
            *privacy_metrics(outputs),
            *tables.metrics,
            *_premise(bench, outputs),
            *swap_metrics(outputs, bench.seeds),
            *pool_metrics(outputs, bench.seeds),
            *canary_metrics(bench, planted),
            *discovery_metrics(bench, outputs),
            *epsilon_metrics(bench, planted),
            *linking_metrics(outputs),
            *prompt_metrics(config, outputs, bench.seeds),
            *_doses(bench, outputs, groups, flips),
        ),
        findings=tuple(tables.findings),
        curves=tuple(tables.curves),
        distributions=tuple(tables.distributions),
        search=tuple(_searches(bench, outputs)),
        coverage=_coverage(bench, tables, outputs),
    )
    records = {user: [item.id for item in bench.holdout.audited(bench.dataset.user(user))] for user in flips}
    return results, kept_scores(tables.panels, records, flips)


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
    settings["data"].pop("path")
    settings["model"].pop("base")
    settings["sharers"]["embedder"] = bench.embedder_part
    settings["plug-ins"] = {m.kind: identity for m in bench.config.methods if (identity := identity_of(m))}
    return digest_json([settings, bench.dataset.digest, bench.pretrained.digest])


def _method(method: MethodConfig) -> Method:
    kind = METHODS[method.kind]
    params = method.model_dump(mode="json", exclude={"kind", "id"})
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


_WHY = {
    "reference": "against itself the base is one half by definition",
    "shadows": "it has no shadows",
    "corpus": "there are no public users whose words could be counted",
    "prefixed": "no other record was put before its records: there is none, no pass was asked for, or the "
    "longest record leaves no room within training.max_tokens",
    "prefixed_members": "no other sharer is merged in it whose members could be known and leave room before "
    "its records",
}


def _lacking(bench: Workbench, method: str, attack: str, parts: Sequence[str], outputs: Outputs) -> str:
    """Why an attack was not run on a method."""
    if "shadows" in parts:
        shadows, of = bench.config.audit.shadows, [m for m in bench.config.methods if m.id == method]
        why = next(filter(None, map(bound_to_records, of)), "")
        if why and shadows is not None and shadows.weights == "remade":
            return f"its merge cannot be made again of shadows: {why}"
        for target in bench.dataset.targets:
            skipped = outputs.get(f"shade/{method}/{target.id}", {}).get("skipped")
            if skipped:
                return str(skipped)
    first = next((part for part in _WHY if part in parts), "")
    return _WHY.get(first, f"the study measured no {', '.join(parts)} of it")


def _coverage(bench: Workbench, tables: AuditTables, outputs: Outputs) -> Coverage:
    """What was asked for and what came of it: every method, every attack on those that deploy a module."""
    methods = [method.id for method in bench.config.methods]
    attacked_keys = set(tables.run)
    attacked = [f"{method}/{attack}" for method, attack in tables.run]
    reached = {method for method, _ in (*tables.run, *tables.lacking)}
    skipped = [
        Gap(id=f"{method}/attacks", reason="it deploys no module, so no module was attacked")
        for method in methods
        if method not in reached
    ]
    skipped += [
        Gap(id=f"{method}/{attack}", reason=_lacking(bench, method, attack, parts, outputs))
        for (method, attack), parts in tables.lacking.items()
        if not (method == CONTROL_BASE and (method, attack) in attacked_keys)
    ]
    skipped += tables.unmade
    run = (*methods, *dict.fromkeys(attacked))
    reverted = {
        method: tuple(t.id for t in bench.dataset.targets if outputs[f"deploy/{method}/{t.id}"]["reverted"])
        for method in methods
    }
    if "without-sharer" in bench.config.audit.run_controls:
        names = [t.id for t in bench.dataset.targets if f"score/{WITHOUT}/{t.id}" in outputs]
        reverted[WITHOUT] = tuple(t for t in names if outputs[f"score/{WITHOUT}/{t}"]["reverted"])
    return Coverage(
        requested=(*run, *(gap.id for gap in skipped)),
        run=run,
        skipped=tuple(skipped),
        partial=tuple(
            Gap(id=f"{method}/{attack}", reason=f"run on {some} of {every} models")
            for (method, attack), (some, every) in tables.partial.items()
        ),
        reverted=tuple(Reverted(method=m, targets=names) for m, names in reverted.items() if names),
    )
