"""Shadow sharers: modules on random halves of the histories, passed through the merge that is audited."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from attacks import ShadowScores
from prime_audit.config import MethodConfig
from prime_audit.models import score_tokens
from prime_audit.modules import (
    AdapterBank,
    LoraModule,
    is_weighted_sum,
    read_module,
)
from prime_audit.personalize import METHODS, carry_out
from prime_audit.study.contexts import context_of
from prime_audit.study.parts import Parts
from prime_audit.study.passes import POPULATION
from prime_audit.study.units import Output
from prime_audit.study.work import train_alike, trained_alike
from prime_audit.study.workbench import Workbench

Merge = tuple[Sequence[LoraModule], Sequence[float]]


def shadow_unit(user: str, shadow: int) -> str:
    """Returns the name of the unit that trains one shadow of a user."""
    return f"shadow/{user}/{shadow}"


def train_shadow(bench: Workbench, user: str, shadow: int) -> Output:
    """Trains one shadow module of a user, with the settings of the audited modules."""
    items = bench.shadows.members(bench.dataset.user(user), shadow)
    seed = bench.training_seeds.integer("shadow", user, str(shadow))
    return train_alike(bench, shadow_unit(user, shadow), items, seed)


def shadow_module(bench: Workbench, user: str, shadow: int) -> LoraModule:
    """Reads one shadow module of a user."""
    return trained_alike(bench, shadow_unit(user, shadow), user)


def shade_own(bench: Workbench, name: str, user: str) -> Output:
    """Scores a sharer's records with each of the sharer's own shadows, unmerged."""
    merges: list[Merge] = [
        ((shadow_module(bench, user, shadow),), (1.0,)) for shadow in range(len(bench.shadows.keep[user]))
    ]
    return _shade(bench, name, [user], merges)


def shade_merge(
    bench: Workbench,
    name: str,
    method: MethodConfig,
    target: str,
    deployed: Output,
    similarity: Mapping[str, float],
) -> Output:
    """Scores the selected sharers' records with the merge made of their shadows.

    Args:
        bench: The workbench.
        name: The unit's name, under which the evidence is written.
        method: The audited method.
        target: The target that it is deployed for.
        deployed: Output of the unit that deployed.
        similarity: The sharers selected for the target, with their cosines.

    Returns:
        Number of records; or ``skipped`` with the reason where the merge cannot be made of the shadows.
    """
    subjects = [sharer for sharer in similarity if sharer in bench.shadows.keep]
    count = bench.config.audit.shadows.count if bench.config.audit.shadows else 0
    if not subjects:
        return _skipped(bench, name, "none of its sharers has shadows")
    if deployed["adapter"] is None:
        return _shade_base(bench, name, subjects, count)
    assert bench.config.audit.shadows is not None  # noqa: S101 - the plan holds no such unit without it
    if bench.config.audit.shadows.weights == "remade":
        merges = [_remade(bench, method, target, similarity, shadow) for shadow in range(count)]
        return _shade(bench, name, subjects, merges)
    sources, weights = deployed["sources"], deployed["weights"]
    adapter = read_module(bench.adapter_path(method.id, target))
    if not is_weighted_sum(adapter, [bench.module(source) for source in sources], weights):
        return _skipped(
            bench,
            name,
            "its merge is no weighted sum of the modules: set audit.shadows.weights to 'remade'",
        )
    return _shade(bench, name, subjects, [(_shaded(bench, sources, m), weights) for m in range(count)])


def _skipped(bench: Workbench, name: str, reason: str) -> Output:
    """Leaves an empty file, so that the unit counts as finished."""
    bench.save_parts(name, {})
    return {"records": 0, "skipped": reason}


def _shaded(bench: Workbench, users: Sequence[str], shadow: int) -> list[LoraModule]:
    """Each user's shadow, or the module itself where the user has none."""
    return [
        shadow_module(bench, user, shadow) if user in bench.shadows.keep else bench.module(user)
        for user in users
    ]


def _remade(
    bench: Workbench, method: MethodConfig, target: str, similarity: Mapping[str, float], shadow: int
) -> Merge:
    loaded = dict(zip(similarity, _shaded(bench, list(similarity), shadow), strict=True))
    context = replace(context_of(bench, method, target, similarity), module=loaded.__getitem__)
    adapter = carry_out(METHODS[method.kind], context, method).adapter
    return ((), ()) if adapter is None else ((adapter,), (1.0,))


def _shade(bench: Workbench, name: str, subjects: Sequence[str], merges: Sequence[Merge]) -> Output:
    """Scores the subjects' records, and the known non-members, with every shadow merge."""
    own = [example for user in subjects for example in bench.examples(user)]
    others = [bench.example(item) for item in bench.unseen.population]
    rows = []
    for modules, weights in merges:
        examples = [*own, *others]
        scores = score_tokens(
            bench.base,
            examples,
            loss=bench.config.training.loss,
            adapters=AdapterBank(modules) if modules else None,
            weights=np.tile(np.asarray(weights, dtype=np.float64), (len(examples), 1)) if modules else None,
            remap=bench.token_numbers,
        )
        rows.append(scores.mean())
    phi = np.stack(rows)
    parts = {"phi": phi[:, : len(own)]}
    if others:
        parts[POPULATION + "phi"] = phi[:, len(own) :]
    bench.save_parts(name, parts)
    return {"records": len(own), "subjects": list(subjects)}


def _shade_base(bench: Workbench, name: str, subjects: Sequence[str], count: int) -> Output:
    """Where the base was deployed, its shadows are the base too: the very scores that are compared with."""
    scores = np.concatenate([bench.evidence(f"score/base/{user}").mean() for user in subjects])
    parts = {"phi": np.tile(scores, (count, 1))}
    if others := [bench.example(item) for item in bench.unseen.population]:
        known = score_tokens(
            bench.base, others, loss=bench.config.training.loss, remap=bench.token_numbers
        ).mean()
        parts[POPULATION + "phi"] = np.tile(known, (count, 1))
    bench.save_parts(name, parts)
    return {"records": len(scores), "subjects": list(subjects)}


def shadow_scores(bench: Workbench, parts: Parts, subjects: Sequence[str]) -> dict[str, ShadowScores]:
    """Cuts what `_shade` wrote into the subjects' parts.

    Args:
        bench: The workbench.
        parts: The unit's evidence.
        subjects: Whose records it holds, in this order.

    Returns:
        Scores by subject.
    """
    phi, start, found = _array(parts["phi"]), 0, {}
    for user in subjects:
        keep = bench.shadows.audited(user)
        found[user] = ShadowScores(phi[:, start : start + keep.shape[1]], keep)
        start += keep.shape[1]
    return found


def population_shadows(parts: Parts) -> ShadowScores | None:
    """Returns the shadows' scores of the known non-members, which no shadow was trained on."""
    if POPULATION + "phi" not in parts:
        return None
    phi = _array(parts[POPULATION + "phi"])
    return ShadowScores(phi, np.zeros(phi.shape, dtype=bool))


def _array(part: object) -> NDArray[np.float64]:
    return np.asarray(part, dtype=np.float64)
