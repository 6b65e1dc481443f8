"""The passes that only some attacks need: altered texts, records before a record, gradients, generations."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from attacks import ATTACKS, TokenScores
from prime_audit.models import (
    Example,
    generation_overlap,
    leaves_room,
    score_lowercase,
    score_neighbours,
    score_prefixed,
    score_repeated,
    score_tokens,
)
from prime_audit.modules import AdapterBank, LoraModule, gradient_norms
from prime_audit.study.parts import Part
from prime_audit.study.workbench import Workbench

# Parts that a pass of a deployed model measures; the others need passes of other models.
MEASURED: Final = (
    *("lowercase", "repeated", "prefixed", "prefixed_members", "neighbours", "amplified"),
    *("gradient_norm", "overlap", "population"),
)
# The base has no module whose gradient or norm could be read, and nobody shares a merge there.
NOT_OF_BASE: Final = ("amplified", "gradient_norm", "prefixed_members")
POPULATION: Final = "population."


def parts_needed(attack_ids: Sequence[str]) -> tuple[str, ...]:
    """Returns the parts of evidence that these attacks read, beside one pass of the model and the base."""
    needs = {part for name in attack_ids for part in ATTACKS[name].needs}
    return tuple(part for part in (*MEASURED, "pretrained", "shadows", "corpus") if part in needs)


@dataclass(frozen=True)
class Probe:
    """A deployed model and whose records it is asked about.

    Attributes:
        subjects: Whose audited records are scored, in this order.
        module: What is deployed; None for the base.
        merged: The users whose modules are in it with a weight other than 0.
        sharer_norm: Mean norm of the modules that it is made from.
        base_overlap: The base's generation overlap on the same records, which is subtracted.
    """

    subjects: tuple[str, ...]
    module: LoraModule | None
    merged: tuple[str, ...] = ()
    sharer_norm: float = 0.0
    base_overlap: NDArray[np.float64] | None = None


def measure(bench: Workbench, probe: Probe, parts: Sequence[str]) -> dict[str, Part]:
    """Measures parts of the evidence about the probe's subjects.

    Args:
        bench: The workbench.
        probe: The model and the subjects.
        parts: Which of `MEASURED`; what this study cannot give is left out: no query to put before a record
            or to compare it with, no room before a record, no second sharer whose members are known.

    Returns:
        The parts by name; ``population`` becomes ``population.target`` and ``population.repeated``.
    """
    found: dict[str, Part] = {}
    for part in parts:
        if part == "population":
            found |= population(bench, probe.module, repeated="repeated" in parts)
        elif (value := _MEASURES[part](bench, probe)) is not None:
            found[part] = value
    return found


def population(bench: Workbench, module: LoraModule | None, *, repeated: bool) -> dict[str, Part]:
    """Scores the known non-members with a model; nothing if the study has none."""
    examples = [bench.example(item) for item in bench.unseen.population]
    if not examples:
        return {}
    how = _how(bench, module, len(examples))
    found: dict[str, Part] = {POPULATION + "target": score_tokens(bench.base, examples, **how)}
    if repeated:
        found[POPULATION + "repeated"] = score_repeated(bench.base, examples, **how)
    return found


def _examples(bench: Workbench, probe: Probe) -> list[Example]:
    return [example for user in probe.subjects for example in bench.examples(user)]


def _how(bench: Workbench, module: LoraModule | None, rows: int, scale: float = 1.0) -> dict[str, Any]:
    """The keywords that every scoring function takes."""
    return {
        "loss": bench.config.training.loss,
        "adapters": None if module is None else AdapterBank([module]),
        "weights": None if module is None else np.full((rows, 1), scale),
        "remap": bench.token_numbers,
    }


def _lowercase(bench: Workbench, probe: Probe) -> Part:
    examples = _examples(bench, probe)
    return score_lowercase(bench.base, examples, **_how(bench, probe.module, len(examples)))


def _repeated(bench: Workbench, probe: Probe) -> Part:
    examples = _examples(bench, probe)
    return score_repeated(bench.base, examples, **_how(bench, probe.module, len(examples)))


def _prefixed(bench: Workbench, probe: Probe) -> Part | None:
    shots = [bench.example(item) for item in bench.unseen.shots]
    examples = _examples(bench, probe)
    if not shots or not leaves_room(bench.base, examples, shots[0], bench.config.training.loss):
        return None
    return score_prefixed(bench.base, examples, shots, **_how(bench, probe.module, len(examples)))


def _prefixed_members(bench: Workbench, probe: Probe) -> Part | None:
    """After members of the next sharer in the merge: what a sharer knows who attacks another one."""
    found = []
    for user in probe.subjects:
        other = next_sharer(probe.merged, user)
        if other is None:
            return None
        known = bench.holdout.members(bench.dataset.user(other))[: bench.config.audit.passes.shots]
        shots = [bench.example(item) for item in known]
        examples = bench.examples(user)
        if not leaves_room(bench.base, examples, shots[0], bench.config.training.loss):
            return None
        how = _how(bench, probe.module, len(examples))
        found.append(score_prefixed(bench.base, examples, shots, **how))
    return TokenScores.concat(found)


def next_sharer(merged: Sequence[str], user: str) -> str | None:
    """Returns whose members are known to whoever attacks a user's records: another sharer of the merge.

    Args:
        merged: The sharers with a weight other than 0; somebody without one is in no merge.
        user: Who is attacked.

    Returns:
        The one after this user, in turn; None if there is nobody else.
    """
    if user in merged:
        start = merged.index(user) + 1
        return next((other for other in (*merged[start:], *merged[: start - 1])), None)
    return merged[0] if merged else None


def _neighbours(bench: Workbench, probe: Probe) -> Part:
    found = []
    for user in probe.subjects:
        examples = bench.examples(user)
        count = bench.config.audit.passes.neighbours
        how = _how(bench, probe.module, len(examples) * count)
        seed = bench.seeds.integer("neighbours", user)
        found.append(score_neighbours(bench.base, examples, count, seed, bench.words, **how))
    return TokenScores.concat(found)


def _amplified(bench: Workbench, probe: Probe) -> Part:
    examples = _examples(bench, probe)
    norm = 0.0 if probe.module is None else probe.module.norm()
    module, scale = (probe.module, probe.sharer_norm / norm) if norm else (None, 1.0)
    return score_tokens(bench.base, examples, **_how(bench, module, len(examples), scale))


def _gradient_norm(bench: Workbench, probe: Probe) -> Part:
    examples = _examples(bench, probe)
    if probe.module is None:
        # The base was deployed: there is no parameter of an adapter whose gradient could tell anything.
        return np.zeros(len(examples))
    return gradient_norms(bench.base, examples, bench.config.training.loss, probe.module)


def _overlap(bench: Workbench, probe: Probe) -> Part:
    found = []
    for user in probe.subjects:
        examples = bench.examples(user)
        how = _how(bench, probe.module, len(examples))
        samples, seed = bench.config.audit.passes.samples, bench.seeds.integer("overlap", user)
        found.append(
            generation_overlap(
                bench.base,
                bench.dataset.task.past,
                examples,
                samples,
                seed,
                adapters=how["adapters"],
                weights=how["weights"],
            )
        )
    whole = np.concatenate(found)
    return whole if probe.base_overlap is None else whole - probe.base_overlap


_MEASURES: Mapping[str, Callable[[Workbench, Probe], Part | None]] = MappingProxyType(
    {
        "lowercase": _lowercase,
        "repeated": _repeated,
        "prefixed": _prefixed,
        "prefixed_members": _prefixed_members,
        "neighbours": _neighbours,
        "amplified": _amplified,
        "gradient_norm": _gradient_norm,
        "overlap": _overlap,
    }
)
