"""What each kind of unit does. Every function returns a small output that holds no user text."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from attacks import TokenScores
from prime_audit.config import PrivacyConfig, TrainingConfig
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
    base_embedder,
    nearest,
    representatives,
    sentence_embedder,
    tfidf_embedder,
)
from prime_audit.personalize.embedders import Embedder
from prime_audit.study.units import Output
from prime_audit.study.workbench import Workbench

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


def train(bench: Workbench, user: str, privacy: PrivacyConfig | None = None) -> Output:
    """Trains one user's module on the IN half of its history, with differential privacy if that is asked."""
    members = bench.holdout.members(bench.dataset.user(user))
    training = bench.config.training

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
