"""What each kind of unit does. Every function returns a small output that holds no user text."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from attacks import TokenScores
from prime_audit.config import MethodConfig
from prime_audit.core import Seeds, digest_bytes
from prime_audit.data import Item
from prime_audit.models import score_tokens
from prime_audit.modules import AdapterBank, LoraModule, adapt, export, train_module, write_module
from prime_audit.personalize import (
    METHODS,
    Personalisation,
    TargetContext,
    history_embedding,
    nearest,
    predict_rows,
)
from prime_audit.study.units import Output
from prime_audit.study.workbench import Workbench
from prime_audit.utility import score


def adapt_base(bench: Workbench, items: Sequence[Item]) -> Output:
    """Adapts the pretrained model to the task on public users' items."""
    training = bench.config.training
    settings = bench.config.adaptation
    overrides = {"epochs": settings.epochs, "lr": settings.lr or training.lr}

    def write(folder: Path) -> None:
        examples = [bench.example(item) for item in items]
        seed = bench.seeds.integer("adapt")
        module = adapt(bench.pretrained, examples, training.model_copy(update=overrides), seed)
        write_module(module, folder, bench.pretrained.name)

    return {"reused": bench.store.ensure(bench.keys["adapt"], write), "items": len(items)}


def train(bench: Workbench, user: str, epochs: int | None = None) -> Output:
    """Trains one user's module on the IN half of its history."""
    members = bench.holdout.members(bench.dataset.user(user))
    training = bench.config.training
    if epochs is not None:
        training = training.model_copy(update={"epochs": epochs})

    def write(folder: Path) -> None:
        examples = [bench.example(item) for item in members]
        module = train_module(bench.base, examples, training, bench.seeds.integer("train", user))
        write_module(module, folder, bench.base.name)

    return {"reused": bench.store.ensure(bench.keys[f"train/{user}"], write), "items": len(members)}


def select(bench: Workbench) -> Output:
    """Selects each target's sharers by the similarity of their histories' IN halves."""
    task = bench.dataset.task
    embedded = {
        user.id: history_embedding(bench.base, task, bench.holdout.members(user))
        for user in (*bench.dataset.targets, *bench.dataset.sharers)
    }
    targets = {user.id: embedded[user.id] for user in bench.dataset.targets}
    sharers = {user.id: embedded[user.id] for user in bench.dataset.sharers}
    return {"selected": nearest(targets, sharers, bench.config.sharers.per_target)}


def deploy(bench: Workbench, method: MethodConfig, target: str, similarity: dict[str, float]) -> Output:
    """Personalises for one target, answers its queries and writes the adapter that would be deployed."""
    user = bench.dataset.user(target)
    context = TargetContext(
        task=bench.dataset.task,
        target=bench.seen(user),
        base=bench.base,
        seeds=Seeds(bench.seeds.integer("deploy", method.id, target)),
        sharers=tuple(similarity),
        similarity=similarity,
        module=bench.module,
    )
    deployed = METHODS[method.kind].personalise(context, method)
    model = bench.pretrained if deployed.on_pretrained else bench.base
    prompts = [deployed.prompt(query) for query in user.queries]
    outputs = predict_rows(model, bench.dataset.task, prompts, deployed.modules, deployed.weights)
    scores = score(bench.dataset.task, outputs, [query.answer or "" for query in user.queries])
    return {
        **_provenance(deployed),
        **_adapter(bench, method.id, target, deployed),
        "primary": [round(float(value), 10) for value in scores.per_item],
        "raw": {name: round(float(value), 10) for name, value in sorted(scores.raw.items())},
        # Labels are no user text; free text stays in memory and only its digest is kept.
        "outputs": outputs if bench.dataset.task.kind != "text" else None,
        "outputs_digest": digest_bytes("\x00".join(outputs).encode()),
    }


def _provenance(deployed: Personalisation) -> Output:
    return {
        "sources": list(deployed.sources),
        "weights": [float(weight) for weight in deployed.weights],
        "reverted": deployed.reverted,
        "reason": deployed.reason,
        "chosen": deployed.chosen,
        "points": [
            {"w": list(p.weights), "u": p.utility, "s": p.similarity, "part": p.part} for p in deployed.points
        ],
    }


def _adapter(bench: Workbench, method: str, target: str, deployed: Personalisation) -> Output:
    """Writes the deployed adapter; returns its digest and its norm relative to its sources' mean norm."""
    if not deployed.modules:
        return {"adapter": None, "norm_ratio": 0.0}
    adapter = _as_one_module(deployed.modules, deployed.weights)
    folder = bench.out / "modules" / method / target
    write_module(adapter, folder, bench.base.name)
    mean = float(np.mean([module.norm() for module in deployed.modules]))
    return {"adapter": adapter.digest, "norm_ratio": round(adapter.norm() / mean, 10) if mean else 0.0}


def _as_one_module(modules: tuple[LoraModule, ...], weights: tuple[float, ...]) -> LoraModule:
    return modules[0] if len(modules) == 1 and weights == (1.0,) else export(modules, weights)


def score_base(bench: Workbench, user: str) -> Output:
    """Scores a user's whole history with the base: the reference of the reference attack."""
    return _score(bench, f"score/base/{user}", [user], (), ())


def score_deployed(
    bench: Workbench, name: str, modules: Sequence[str], weights: Sequence[float], subjects: Sequence[str]
) -> Output:
    """Scores the subjects' whole histories with a merge of modules.

    Args:
        bench: The workbench.
        name: The unit's name, under which the evidence is written.
        modules: The users whose modules are merged; empty for the base, whose evidence exists already.
        weights: One merge weight per module.
        subjects: Whose histories are scored, in this order.

    Returns:
        The number of records scored.
    """
    if not modules:
        scores = TokenScores.concat([bench.evidence(f"score/base/{user}") for user in subjects])
        bench.save_evidence(name, scores)
        return {"records": len(scores)}
    return _score(bench, name, subjects, tuple(bench.module(user) for user in modules), weights)


def _score(
    bench: Workbench,
    name: str,
    subjects: Sequence[str],
    modules: Sequence[LoraModule],
    weights: Sequence[float],
) -> Output:
    examples = [example for user in subjects for example in bench.examples(user)]
    adapters = AdapterBank(modules) if modules else None
    rows = np.tile(np.asarray(weights, dtype=np.float64), (len(examples), 1)) if modules else None
    scores = score_tokens(
        bench.base,
        examples,
        loss=bench.config.training.loss,
        adapters=adapters,
        weights=rows,
        remap=bench.token_numbers,
    )
    bench.save_evidence(name, scores)
    return {"records": len(scores)}
