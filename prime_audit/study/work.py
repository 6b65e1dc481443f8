"""What each kind of unit does. Every function returns a small output that holds no user text."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from attacks import TokenScores
from prime_audit.config import MethodConfig, PrivacyConfig, TrainingConfig
from prime_audit.core import Seeds, digest_bytes
from prime_audit.data import Item, Task
from prime_audit.errors import ModelError
from prime_audit.models import load_sentence_encoder, score_tokens
from prime_audit.modules import (
    AdapterBank,
    GateSettings,
    LoraModule,
    adapt,
    read_guarantee,
    read_module,
    train_gates,
    train_module,
    train_private_module,
    write_gates,
    write_guarantee,
    write_module,
)
from prime_audit.personalize import (
    METHODS,
    Outcome,
    Personalisation,
    SearchLog,
    TargetContext,
    base_embedder,
    carry_out,
    nearest,
    predict_with,
    representatives,
    sentence_embedder,
    tfidf_embedder,
)
from prime_audit.personalize.embedders import Embedder
from prime_audit.study.predictions import keep_answers
from prime_audit.study.units import Output
from prime_audit.study.workbench import Workbench
from prime_audit.utility import score

# An item with the form in which it is put.
Put = tuple[Item, Task]


def adapt_base(bench: Workbench, items: Sequence[Put]) -> Output:
    """Adapts the pretrained model to the task on public users' items, each in its form."""
    training = bench.config.training
    settings = bench.config.adaptation
    overrides = {"epochs": settings.epochs, "lr": settings.lr or training.lr}

    def write(folder: Path) -> None:
        examples = [bench.put(item, task) for item, task in items]
        seed = bench.seeds.integer("adapt")
        module = adapt(bench.pretrained, examples, training.model_copy(update=overrides), seed)
        write_module(module, folder, bench.pretrained.name)

    return {"reused": bench.store.ensure(bench.keys["adapt"], write), "items": len(items)}


def train(
    bench: Workbench, user: str, epochs: int | None = None, privacy: PrivacyConfig | None = None
) -> Output:
    """Trains one user's module on the IN half of its history, with differential privacy if that is asked."""
    members = bench.holdout.members(bench.dataset.user(user))
    training = bench.config.training
    if epochs is not None:
        training = training.model_copy(update={"epochs": epochs})

    def write(folder: Path) -> None:
        _write_trained(bench, folder, members, training, bench.training_seeds.integer("train", user), privacy)

    key = bench.keys[f"train/{user}"]
    output: Output = {"reused": bench.store.ensure(key, write), "items": len(members)}
    if privacy is None:
        return output
    # Read back: what the results state is what travels with the module.
    found = read_guarantee(bench.store.path(key))
    if found is None:
        raise ModelError(
            f"the stored module of {user} has lost its privacy.json",
            hint=f"delete modules/{key} in the store; it is trained again",
        )
    return {**output, "privacy": found.model_dump(mode="json")}


def _write_trained(
    bench: Workbench,
    folder: Path,
    items: Sequence[Item],
    training: TrainingConfig,
    seed: int,
    privacy: PrivacyConfig | None,
) -> None:
    """Trains a module and writes it, with its guarantee where there is one."""
    examples = [bench.example(item) for item in items]
    if privacy is None:
        write_module(train_module(bench.base, examples, training, seed), folder, bench.base.name)
        return
    module, guarantee = train_private_module(bench.base, examples, training, privacy, seed)
    write_module(module, folder, bench.base.name)
    write_guarantee(guarantee, folder)


def train_alike(
    bench: Workbench, name: str, items: Sequence[Item], seed: int, privacy: PrivacyConfig | None = None
) -> Output:
    """Trains one more module as the audited ones are trained, for a design that compares with them.

    Args:
        bench: The workbench.
        name: The unit's name; the module goes to the store under its key.
        items: What it is trained on.
        seed: Decides initialisation and order.
        privacy: Of the audited modules, where they are trained with differential privacy.

    Returns:
        Whether it was there already, and the number of items.
    """

    def write(folder: Path) -> None:
        _write_trained(bench, folder, items, bench.config.training, seed, privacy)

    return {"reused": bench.store.ensure(bench.keys[name], write), "items": len(items)}


def trained_alike(bench: Workbench, name: str, user: str) -> LoraModule:
    """Reads what `train_alike` trained; messages about it name the user."""
    return replace(read_module(bench.store.path(bench.keys[name]), bench.base), origin=user)


def gate(bench: Workbench, user: str, settings: GateSettings) -> Output:
    """Trains the gates of one sharer's module on the records that the module was trained on."""
    members = bench.holdout.members(bench.dataset.user(user))

    def write(folder: Path) -> None:
        examples = [bench.example(item) for item in members]
        seed = bench.training_seeds.integer("gate", user)
        write_gates(train_gates(bench.base, bench.module(user), examples, settings, seed), folder)

    return {"reused": bench.store.ensure(bench.keys[f"gate/{user}"], write), "items": len(members)}


def select(bench: Workbench) -> Output:
    """Selects each target's sharers by the similarity of their histories' IN halves.

    Args:
        bench: The workbench.

    Returns:
        ``selected``: each target's sharers with their cosines, most similar first; ``pool``: the sharers
        that were open to selection, which is all of them unless representatives are asked for.
    """
    targets, sharers = embeddings(bench)
    pool = open_to_selection(bench, sharers)
    return {"selected": nearest(targets, sharers, bench.config.sharers.per_target, pool), "pool": pool}


def open_to_selection(bench: Workbench, sharers: Mapping[str, NDArray[np.float64]]) -> list[str]:
    """Returns which sharers may be selected: all of them, or the representatives of their embeddings."""
    count = bench.config.sharers.representatives
    if count is None:
        return list(sharers)
    sizes = {user.id: len(bench.holdout.members(user)) for user in bench.dataset.sharers}
    return list(representatives(sharers, sizes, count, bench.seeds.integer("representatives")))


def embeddings(bench: Workbench) -> tuple[dict[str, NDArray[np.float64]], dict[str, NDArray[np.float64]]]:
    """Embeds the IN half of every target's and of every sharer's history; both by user id."""
    embedder = embedder_of(bench)
    targets = {user.id: embedder(bench.holdout.members(user)) for user in bench.dataset.targets}
    return targets, {user.id: embedder(bench.holdout.members(user)) for user in bench.dataset.sharers}


def embedder_of(bench: Workbench) -> Embedder:
    """Returns the embedder that the study names; nothing of it depends on the targets."""
    if bench.sentence_folder is not None:
        return sentence_embedder(load_sentence_encoder(bench.sentence_folder, bench.base.device))
    if bench.config.sharers.embedder == "tfidf":
        fitted_on = (*bench.dataset.sharers, *bench.dataset.public)
        return tfidf_embedder([bench.holdout.members(user) for user in fitted_on])
    return base_embedder(bench.base, bench.dataset.task.past)


def outcome(bench: Workbench, method: str, target: str, deployed: Output) -> Outcome:
    """Tells a control what another method deployed, read back from the run directory when it asks.

    Args:
        bench: The workbench.
        method: The other method's id.
        target: The target.
        deployed: Output of the other method's unit for this target.

    Returns:
        Its weights, its norm and a reader of its adapter.
    """

    def adapter() -> LoraModule | None:
        return read_module(bench.adapter_path(method, target)) if deployed["adapter"] is not None else None

    weights = dict(zip(deployed["sources"], deployed["weights"], strict=True))
    return Outcome(weights=weights, norm=deployed["norm"], adapter=adapter)


def context_of(
    bench: Workbench,
    method: MethodConfig,
    target: str,
    similarity: Mapping[str, float],
    others: Mapping[str, Outcome] = MappingProxyType({}),
) -> TargetContext:
    """Collects what a method may see of a target.

    Args:
        bench: The workbench.
        method: The method.
        target: The target.
        similarity: The sharers that it may merge, most similar first, with their cosines.
        others: What other methods deployed for this target.

    Returns:
        The context; no record that the audit holds out is in it.
    """
    return TargetContext(
        task=bench.dataset.task,
        target=bench.seen(bench.dataset.user(target)),
        base=bench.base,
        seeds=Seeds(bench.training_seeds.integer("deploy", method.id, target)),
        sharers=tuple(similarity),
        similarity=similarity,
        module=bench.module,
        gates=bench.gates,
        calibration=bench.calibration if similarity and bench.config.sharers.calibration else None,
        loss=bench.config.training.loss,
        others=others,
    )


def deploy(
    bench: Workbench,
    method: MethodConfig,
    target: str,
    similarity: Mapping[str, float],
    others: Mapping[str, Outcome],
) -> Output:
    """Personalises for one target, answers its queries and writes the adapter that would be deployed."""
    user = bench.dataset.user(target)
    searches = hasattr(method, "optimiser")
    log = SearchLog(bench.search_path(f"deploy/{method.id}/{target}")) if searches else None
    context = replace(context_of(bench, method, target, similarity, others), search_log=log)
    deployed = carry_out(METHODS[method.kind], context, method)
    model = bench.pretrained if deployed.on_pretrained else bench.base
    prompts = [deployed.prompt(query) for query in user.queries]
    outputs = predict_with(model, bench.dataset.task, prompts, deployed.adapter)
    keep_answers(bench, method.id, user, outputs)
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
        "notes": dict(deployed.notes),
        "points": [
            {"w": list(p.weights), "u": p.utility, "s": p.similarity, "part": p.part, "items": p.items}
            for p in deployed.points
        ],
    }


def _adapter(bench: Workbench, method: str, target: str, deployed: Personalisation) -> Output:
    """Writes the deployed adapter; returns its digest, its norm, and that over its sources' mean norm."""
    if deployed.adapter is None:
        return {"adapter": None, "norm": 0.0, "norm_ratio": 0.0}
    write_module(deployed.adapter, bench.adapter_path(method, target), bench.base.name)
    norm = deployed.adapter.norm()
    mean = float(np.mean([bench.module(user).norm() for user in deployed.sources]))
    ratio = round(norm / mean, 10) if mean else 0.0
    return {"adapter": deployed.adapter.digest, "norm": round(norm, 10), "norm_ratio": ratio}


def score_base(bench: Workbench, user: str) -> Output:
    """Scores a user's audited history with the base: the reference of the reference attack."""
    return _score(bench, f"score/base/{user}", [user], (), ())


def score_deployed(bench: Workbench, name: str, deployed: Output, subjects: Sequence[str]) -> Output:
    """Scores the subjects' audited histories with what was deployed, read back from the run directory.

    Args:
        bench: The workbench.
        name: The unit's name, ``score/<method>/<target>``, under which the evidence is written.
        deployed: Output of the unit that deployed; without an adapter it is the base that is audited.
        subjects: Whose histories are scored, in this order.

    Returns:
        The number of records scored.
    """
    if deployed["adapter"] is None:
        scores = TokenScores.concat([bench.evidence(f"score/base/{user}") for user in subjects])
        bench.save_evidence(name, scores)
        return {"records": len(scores)}
    _, method, target = name.split("/")
    return _score(bench, name, subjects, (read_module(bench.adapter_path(method, target)),), (1.0,))


def score_merge(
    bench: Workbench, name: str, modules: Sequence[str], weights: Sequence[float], subjects: Sequence[str]
) -> Output:
    """Scores the subjects' audited histories with a merge of users' modules that nobody deployed.

    Args:
        bench: The workbench.
        name: The unit's name, under which the evidence is written.
        modules: The users whose modules are merged.
        weights: One merge weight per module.
        subjects: Whose histories are scored, in this order.

    Returns:
        The number of records scored.
    """
    return _score(bench, name, subjects, tuple(bench.module(user) for user in modules), weights)


def _score(
    bench: Workbench,
    name: str,
    subjects: Sequence[str],
    modules: Sequence[LoraModule],
    weights: Sequence[float],
) -> Output:
    scores = score_adapter(bench, subjects, modules, np.asarray(weights, dtype=np.float64))
    bench.save_evidence(name, scores)
    return {"records": len(scores)}


def score_adapter(
    bench: Workbench, subjects: Sequence[str], modules: Sequence[LoraModule], weights: NDArray[np.float64]
) -> TokenScores:
    """Scores the subjects' audited records with a merge of modules on the base.

    Args:
        bench: The workbench.
        subjects: Whose records are scored, in this order.
        modules: The modules; none means the base itself.
        weights: One merge weight per module.

    Returns:
        The evidence.
    """
    examples = [example for user in subjects for example in bench.examples(user)]
    return score_tokens(
        bench.base,
        examples,
        loss=bench.config.training.loss,
        adapters=AdapterBank(modules) if modules else None,
        weights=np.tile(weights, (len(examples), 1)) if modules else None,
        remap=bench.token_numbers,
    )
