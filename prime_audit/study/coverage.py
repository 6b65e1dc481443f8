"""What a study asked for and what came of it."""

from collections.abc import Iterator, Sequence

from prime_audit.audit import AuditTables
from prime_audit.personalize import METHODS
from prime_audit.results import Coverage, Gap, Reverted
from prime_audit.study.aside import aside_gaps
from prime_audit.study.attributes import attribute_gaps
from prime_audit.study.black_box import black_box_gaps
from prime_audit.study.control_names import CONTROL_BASE, WITHOUT
from prime_audit.study.gaps import gap_of
from prime_audit.study.malicious_metrics import malicious_gaps
from prime_audit.study.remaking import bound_to_records
from prime_audit.study.units import Outputs
from prime_audit.study.workbench import Workbench

_FIT = ("wanted", "shown", "shortened", "profiles_cut")
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


def coverage(bench: Workbench, tables: AuditTables, outputs: Outputs) -> Coverage:
    """Counts what was asked for: every method, and every attack on those that deploy a module.

    Args:
        bench: The workbench.
        tables: What the audit ran, and what it could not run.
        outputs: Outputs of all units.

    Returns:
        What was run, what was left out and why, and what was run on some of a method's models only.
    """
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
    asked = [*_planted(bench, outputs), *malicious_gaps(outputs)]
    asked += [*black_box_gaps(outputs), *attribute_gaps(outputs)]
    skipped += [gap for gap, some in asked if not some]
    run = (*methods, *dict.fromkeys(attacked), *(gap.id for gap, some in asked if some))
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
        partial=(
            *(
                Gap(id=f"{method}/{attack}", reason=f"run on {some} of {every} models")
                for (method, attack), (some, every) in tables.partial.items()
            ),
            *(gap for gap, some in asked if some and gap.reason),
            *_left_out(bench, outputs),
            *_as_audited(bench),
            *aside_gaps(bench, outputs),
        ),
        reverted=tuple(Reverted(method=m, targets=names) for m, names in reverted.items() if names),
    )


def _left_out(bench: Workbench, outputs: Outputs) -> Iterator[Gap]:
    """Per method what its prompts were to show and had no room for."""
    for method in bench.config.methods:
        fits = [outputs[f"deploy/{method.id}/{target.id}"]["fit"] for target in bench.dataset.targets]
        count = {name: sum(fit[name] for fit in fits if fit) for name in _FIT}
        reasons = [
            f"{count['wanted'] - count['shown']} of {count['wanted']} items did not fit into the context"
            if count["shown"] < count["wanted"]
            else "",
            f"{count['shortened']} items were cut to max_item_tokens" if count["shortened"] else "",
            f"{count['profiles_cut']} profiles were cut to the context" if count["profiles_cut"] else "",
        ]
        if any(reasons):
            yield Gap(id=f"{method.id}/prompts", reason="; ".join(filter(None, reasons)))


def _as_audited(bench: Workbench) -> Iterator[Gap]:
    """Per method where what is audited is not quite what is deployed."""
    for method in bench.config.methods:
        kind = METHODS[method.kind]
        if kind.about and kind.may_show_history:
            reason = (
                "its module was asked about records with the plain prompt, not with the history that its own "
                "prompts hold"
            )
            yield Gap(id=f"{method.id}/as audited", reason=reason)


def _planted(bench: Workbench, outputs: Outputs) -> Iterator[tuple[Gap, int]]:
    """Per method that planted secrets were looked for in: what was left out, and in how many models not."""
    for method in bench.config.methods:
        asked = [f"expose/{method.id}/{target.id}" for target in bench.dataset.targets]
        found = [outputs[name] for name in asked if name in outputs]
        if not found:
            continue
        again = sum(bool(output.get("reverted")) for output in found)
        note = f"carried out again on the planted modules it fell back to the base {again} times"
        yield gap_of(f"{method.id}/canaries", found, asked=len(asked), note=note if again else "")
