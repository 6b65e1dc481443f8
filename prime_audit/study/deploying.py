"""Personalises for one target, answers the queries, and keeps what would be deployed."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from prime_audit.config import MethodConfig
from prime_audit.core import digest_bytes
from prime_audit.data import Item
from prime_audit.models import Meter, metered
from prime_audit.modules import write_module
from prime_audit.personalize import (
    METHODS,
    Outcome,
    Personalisation,
    SearchLog,
    TargetContext,
    carry_out,
    predict_with,
)
from prime_audit.study.contexts import context_of
from prime_audit.study.predictions import keep_answers
from prime_audit.study.units import Output
from prime_audit.study.workbench import Workbench
from prime_audit.utility import score


def deploy(
    bench: Workbench,
    method: MethodConfig,
    target: str,
    similarity: Mapping[str, float],
    others: Mapping[str, Outcome],
) -> Output:
    """Personalises for one target, answers its queries and writes the adapter that would be deployed."""
    user, task = bench.dataset.user(target), bench.dataset.task
    log = (
        SearchLog(bench.search_path(f"deploy/{method.id}/{target}")) if hasattr(method, "optimiser") else None
    )
    context = replace(context_of(bench, method, target, similarity, others), search_log=log)
    with metered() as search:
        deployed = carry_out(METHODS[method.kind], context, method)
    model = bench.pretrained if deployed.on_pretrained else bench.base
    with metered() as answering:
        prompts = [deployed.prompt(query) for query in user.queries]
        outputs = predict_with(model, task, prompts, deployed.adapter)
    keep_answers(bench, method.id, user, outputs)
    scores = score(task, outputs, [query.answer or "" for query in user.queries])
    return {
        **_provenance(deployed),
        **_adapter(bench, method.id, context, deployed),
        "fit": fit_of(deployed, user.queries),
        "costs": _costs(deployed, search, answering),
        "primary": [round(float(value), 10) for value in scores.per_item],
        "raw": {name: round(float(value), 10) for name, value in sorted(scores.raw.items())},
        # Labels are no user text; free text stays in memory and only its digest is kept.
        "outputs": outputs if task.kind != "text" else None,
        "outputs_digest": digest_bytes("\x00".join(outputs).encode()),
    }


def fit_of(deployed: Personalisation, queries: Sequence[Item]) -> Output | None:
    """Adds up what the prompts of some queries had room for; None if they hold nothing of anybody."""
    if deployed.fit is None:
        return None
    fits = [deployed.fit(query) for query in queries]
    return {
        "wanted": sum(fit.wanted for fit in fits),
        "shown": sum(fit.shown for fit in fits),
        "shortened": sum(fit.shortened for fit in fits),
        "profiles_cut": sum(fit.profile_cut for fit in fits),
    }


def _costs(deployed: Personalisation, search: Meter, answering: Meter) -> Output:
    """What it took to personalise and to answer, apart from what was trained beforehand."""
    adapter = 0 if deployed.adapter is None else deployed.adapter.bytes
    return {
        "settings": deployed.settings_tried,
        "search_tokens": search.inference,
        "training_tokens": search.training,
        "answer_tokens": answering.inference,
        "stored_bytes": adapter + sum(len(text.encode()) for text in deployed.kept),
    }


def _provenance(deployed: Personalisation) -> Output:
    return {
        "sources": list(deployed.sources),
        "weights": [float(weight) for weight in deployed.weights],
        "reverted": deployed.reverted,
        "reason": deployed.reason,
        "chosen": deployed.chosen,
        "notes": dict(deployed.notes),
        "aside": deployed.aside,
        "points": [
            {"w": list(p.weights), "u": p.utility, "s": p.similarity, "part": p.part, "items": p.items}
            for p in deployed.points
        ],
    }


def _adapter(bench: Workbench, method: str, context: TargetContext, deployed: Personalisation) -> Output:
    """Writes the deployed adapter; returns its digest, its norm, and that over its sources' mean norm."""
    if deployed.adapter is None:
        # What another configuration or other data had deployed here is not deployed any more.
        shutil.rmtree(bench.adapter_path(method, context.target.id), ignore_errors=True)
        return {"adapter": None, "norm": 0.0, "norm_ratio": 0.0, "source_norm": 0.0}
    write_module(deployed.adapter, bench.adapter_path(method, context.target.id), bench.base.name)
    norm = deployed.adapter.norm()
    # A pooled module is made of records; beside it stand the modules that the same sharers trained.
    sources = tuple(context.pooled) or deployed.sources
    mean = float(np.mean([context.load(user).norm() for user in sources]))
    ratio = round(norm / mean, 10) if mean else 0.0
    return {
        "adapter": deployed.adapter.digest,
        "norm": round(norm, 10),
        "norm_ratio": ratio,
        "source_norm": mean,
    }
