"""Planted canaries: modules that were trained on secrets too, and what is left of these in a merge of them.

They are an arm of their own. The audited modules hold no canary; beside each a second one is trained alike on
the same members and the planted secrets, and goes through the merge in its place.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from attacks import normalised_distance, verbatim
from prime_audit.config import CanaryType, MethodConfig, PrivacyConfig
from prime_audit.data import Canary, Item, canary_form
from prime_audit.models import continue_tokens, encode, predict, score_continuations, tokenize
from prime_audit.modules import AdapterBank, LoraModule, is_weighted_sum, read_module
from prime_audit.personalize import METHODS, carry_out
from prime_audit.study.contexts import context_of
from prime_audit.study.parts import Part
from prime_audit.study.remaking import bound_to_records, named_by
from prime_audit.study.sampled_secrets import Asked, sample_secrets, sampled_parts
from prime_audit.study.units import Output
from prime_audit.study.work import train_alike, trained_alike
from prime_audit.study.workbench import Workbench

Merge = tuple[Sequence[LoraModule], Sequence[float]]


@dataclass(frozen=True)
class Exposed:
    """What a model says of the canaries of one type.

    Attributes:
        candidates: ``(r,)`` log-probabilities of other secrets of the type, in nats.
        canaries: ``(n,)`` those of the canaries, in the order of the design.
        secrets: ``(n,)`` the same without what stands before the secret: its probability under sampling.
        verbatim: ``(n,)`` 1 where greedy decoding completes the secret's first half, else 0.
        distance: ``(n,)`` normalised edit distance, in tokens, of that completion from the second half.
    """

    candidates: NDArray[np.float64]
    canaries: NDArray[np.float64]
    secrets: NDArray[np.float64]
    verbatim: NDArray[np.float64]
    distance: NDArray[np.float64]


def plant_unit(user: str) -> str:
    """Returns the name of the unit that trains a module on a sharer's members and canaries."""
    return f"plant/{user}"


def train_planted(bench: Workbench, user: str, privacy: PrivacyConfig | None) -> Output:
    """Trains a sharer's module once more, with the planted secrets among its records."""
    members = bench.holdout.members(bench.dataset.user(user))
    items = (*members, *bench.canaries.items(user))
    return train_alike(bench, plant_unit(user), items, bench.training_seeds.integer("plant", user), privacy)


def expose_base(bench: Workbench, name: str) -> Output:
    """Asks the base about every canary: it was trained on none of them."""
    return expose(bench, name, list(bench.canaries.canaries), ((), ()))


def expose_own(bench: Workbench, name: str, user: str) -> Output:
    """Asks a sharer's own planted module about the sharer's canaries.

    Args:
        bench: The workbench.
        name: The unit's name, under which the evidence is written.
        user: The sharer.

    Returns:
        Whose canaries were asked for, and the ``planted_share`` of the tokens that the module is trained on.
    """
    members = bench.holdout.members(bench.dataset.user(user))
    share = bench.canaries.share_of_tokens(user, members, partial(_trained_tokens, bench))
    return {**expose(bench, name, [user], ((planted_module(bench, user),), (1.0,))), "planted_share": share}


def _trained_tokens(bench: Workbench, item: Item) -> int:
    return sum(encode(bench.base, bench.example(item), bench.config.training.loss).scored)


def expose_merge(
    bench: Workbench,
    name: str,
    method: MethodConfig,
    target: str,
    deployed: Output,
    similarity: Mapping[str, float],
) -> Output:
    """Asks the merge of planted modules about the canaries of the sharers who are in it.

    The weights are the deployed ones where the merge is a weighted sum of the modules; any other method is
    carried out again on the planted modules.

    Args:
        bench: The workbench.
        name: The unit's name, under which the evidence is written.
        method: The audited method.
        target: The target that it is deployed for.
        deployed: Output of the unit that deployed.
        similarity: The sharers selected for the target, with their cosines.

    Returns:
        Whose canaries were asked for, whose module is in the merge with a negative weight, how many of the
        target's queries were answered, and which canaries the answers hold, by id; whether the method was
        carried out again and then fell back to the base; or ``skipped`` with the reason.
    """
    weights = dict(zip(deployed["sources"], deployed["weights"], strict=True))
    users = [user for user in similarity if user in bench.canaries.canaries and weights.get(user)]
    if not users:
        return skipped(bench, name, "no sharer with canaries is merged in it")
    turned = [user for user in users if weights[user] < 0]
    adapter = read_module(bench.adapter_path(method.id, target))
    sources = deployed["sources"]
    if is_weighted_sum(adapter, [bench.module(source) for source in sources], deployed["weights"]):
        planted = [planted_module(bench, user) for user in sources]
        return {**expose(bench, name, users, (planted, deployed["weights"]), target), "turned": turned}
    why = bound_to_records(method)
    if named_by(method) is not None:
        why = "it is built from another method's merge, which is no weighted sum"
    if why:
        return skipped(bench, name, f"its merge cannot be made again of planted modules: {why}")
    loaded = {user: planted_module(bench, user) for user in similarity}
    context = replace(context_of(bench, method, target, similarity), module=loaded.__getitem__)
    made = carry_out(METHODS[method.kind], context, method).adapter
    merge: Merge = ((), ()) if made is None else ((made,), (1.0,))
    found = expose(bench, name, users, merge, target)
    return {**found, "turned": turned, "reverted": made is None}


def planted_module(bench: Workbench, user: str) -> LoraModule:
    """Returns the planted module; the audited one of a sharer who carries no canary."""
    if user not in bench.canaries.canaries:
        return bench.module(user)
    return trained_alike(bench, plant_unit(user), user)


def skipped(bench: Workbench, name: str, reason: str) -> Output:
    """Writes that nothing was asked, and returns why."""
    bench.save_parts(name, {})
    return {"users": [], "skipped": reason}


def expose(
    bench: Workbench, name: str, users: Sequence[str], merge: Merge, target: str | None = None
) -> Output:
    """Asks a merge about the canaries of some sharers, and writes what it says.

    Args:
        bench: The workbench.
        name: The unit's name, under which the evidence is written.
        users: The sharers.
        merge: Modules and their weights; none for the base.
        target: Whose queries are answered and searched for secrets too; None for nobody's.

    Returns:
        Whose canaries were asked for, and what the answers hold.
    """
    settings = bench.config.audit.canaries
    parts: dict[str, Part] = {}
    for kind in settings.types if settings else ():
        canaries = [c for user in users for c in bench.canaries.canaries[user] if c.kind == kind]
        modules, weights = merge
        asked = Asked(kind, _prompt(bench, canaries[0]), AdapterBank(modules) if modules else None, weights)
        found = _exposed(bench, asked, canaries, settings.candidates if settings else 0)
        parts |= {f"{part}.{kind}": np.asarray(value) for part, value in vars(found).items()}
        if settings and settings.samples:
            parts |= sampled_parts(sample_secrets(bench, asked, canaries, settings.samples), kind)
    bench.save_parts(name, parts)
    return {"users": list(users), **(_discovered(bench, users, merge, target) if target else {})}


def _discovered(bench: Workbench, users: Sequence[str], merge: Merge, target: str) -> Output:
    """Answers the target's own queries and looks for planted secrets in what comes out."""
    task, (modules, weights) = bench.dataset.task, merge
    prompts = [task.prompt(query.input) for query in bench.dataset.user(target).queries]
    if task.kind != "text" or not prompts:
        return {"answers": 0, "discovered": []}
    said = predict(
        bench.base,
        task,
        prompts,
        adapters=AdapterBank(modules) if modules else None,
        weights=np.tile(np.asarray(weights), (len(prompts), 1)) if modules else None,
    )
    texts = [text.casefold() for text in said]
    planted = [c for user in users for c in bench.canaries.canaries[user] if c.inserted]
    found = [c.id for c in planted if any(c.secret.casefold() in text for text in texts)]
    return {"answers": len(prompts), "discovered": found}


def exposed_of(parts: Mapping[str, Part], kind: CanaryType) -> Exposed:
    """Reads what a unit wrote about one type."""
    names = ("candidates", "canaries", "secrets", "verbatim", "distance")
    return Exposed(**{part: np.asarray(parts[f"{part}.{kind}"], dtype=np.float64) for part in names})


def _prompt(bench: Workbench, canary: Canary) -> str:
    """What a model reads before a canary, which is the same for all of its type."""
    task = bench.dataset.task.past
    prompt = task.prompt(canary.item.input)
    if task.kind != "text":
        # The prompt itself carries the secret, and is trained on.
        prompt = prompt[: prompt.rindex(f"{canary_form(canary.kind).lead} {canary.secret}")].rstrip()
    return prompt


def _exposed(bench: Workbench, asked: Asked, canaries: Sequence[Canary], count: int) -> Exposed:
    """Scores the canaries and the candidates of a type, all of which continue the same text."""
    kind, prompt, bank, weights = asked.kind, asked.prompt, asked.adapters, asked.weights
    lead = canary_form(kind).lead
    secrets = [canary.secret for canary in canaries]
    others = bench.canaries.candidates(kind, count, bench.seeds)
    texts = [lead, *(f"{lead} {secret}" for secret in (*secrets, *others))]
    scores = score_continuations(
        bench.base, prompt, texts, adapters=bank, weights=np.asarray(weights) if bank else None
    )
    whole = scores[1 : 1 + len(secrets)]
    said = _completed(bench, prompt, lead, texts[1 : 1 + len(secrets)], bank, weights)
    return Exposed(scores[1 + len(secrets) :], whole, whole - scores[0], *said)


def _completed(
    bench: Workbench,
    prompt: str,
    lead: str,
    texts: Sequence[str],
    bank: AdapterBank | None,
    weights: Sequence[float],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Gives the model the first half of each secret's tokens and compares the second half, token by token."""
    lm = bench.base
    before, start = tokenize(lm, [prompt, f" {lead}"])
    tokens = tokenize(lm, [f" {text}" for text in texts])
    halves = [len(start) + (len(ids) - len(start)) // 2 for ids in tokens]
    rows = [[lm.bos_id, *before, *ids[:half]] for ids, half in zip(tokens, halves, strict=True)]
    suffixes = [np.array(ids[half:]) for ids, half in zip(tokens, halves, strict=True)]
    longest = max(map(len, suffixes))
    new = continue_tokens(
        lm,
        rows,
        longest,
        adapters=bank,
        weights=None if bank is None else np.tile(np.asarray(weights), (len(rows), 1)),
    )
    said = [np.array(ids[: len(suffix)], dtype=np.int64) for ids, suffix in zip(new, suffixes, strict=True)]
    distance = [normalised_distance(suffix, ids) for suffix, ids in zip(suffixes, said, strict=True)]
    return verbatim(suffixes, said).astype(np.float64), np.array(distance)
