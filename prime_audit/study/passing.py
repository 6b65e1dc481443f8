"""What the units do that measure further parts of evidence about a deployed model."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from prime_audit.models import score_tokens
from prime_audit.modules import read_module
from prime_audit.study.parts import Part
from prime_audit.study.passes import Probe, measure, population
from prime_audit.study.units import Output
from prime_audit.study.workbench import Workbench


def score_pretrained(bench: Workbench, name: str, user: str) -> Output:
    """Scores a user's audited history with the model as it came."""
    loss = bench.config.training.loss
    scores = score_tokens(bench.pretrained, bench.examples(user), loss=loss, remap=bench.token_numbers)
    bench.save_evidence(name, scores)
    return {"records": len(scores)}


def pass_population(bench: Workbench, name: str, parts: Sequence[str]) -> Output:
    """Scores the known non-members with the base."""
    return _saved(bench, name, population(bench, None, repeated="repeated" in parts))


def pass_base(bench: Workbench, name: str, user: str, parts: Sequence[str]) -> Output:
    """Measures the base on one user's records; its own generations are not compared with anything."""
    return _saved(bench, name, measure(bench, Probe((user,), None), parts))


def pass_nobody(bench: Workbench, name: str) -> Output:
    """Measures nothing: no pass of a method is about this user, whom nothing would be compared with."""
    return _saved(bench, name, {})


def pass_deployed(
    bench: Workbench, name: str, deployed: Output, subjects: Sequence[str], parts: Sequence[str]
) -> Output:
    """Measures what a method deployed for one target on the subjects' records."""
    _, method, target = name.split("/")
    module = None if deployed["adapter"] is None else read_module(bench.adapter_path(method, target))
    sources = deployed["sources"]
    norm = float(deployed["source_norm"])
    merged = tuple(user for user, weight in zip(sources, deployed["weights"], strict=True) if weight)
    probe = Probe(tuple(subjects), module, merged, norm, _base_overlap(bench, subjects, parts))
    return _saved(bench, name, measure(bench, probe, parts))


def pass_own(bench: Workbench, name: str, user: str, parts: Sequence[str]) -> Output:
    """Measures a sharer's own module on the sharer's records."""
    module = bench.module(user)
    kept = [part for part in parts if part != "prefixed_members"]
    probe = Probe((user,), module, (user,), module.norm(), _base_overlap(bench, (user,), parts))
    return _saved(bench, name, measure(bench, probe, kept))


def _base_overlap(
    bench: Workbench, subjects: Sequence[str], parts: Sequence[str]
) -> NDArray[np.float64] | None:
    if "overlap" not in parts:
        return None
    return np.concatenate(
        [np.asarray(bench.parts(f"pass/control-base/{user}")["overlap"]) for user in subjects]
    )


def _saved(bench: Workbench, name: str, parts: dict[str, Part]) -> Output:
    bench.save_parts(name, parts)
    return {"parts": sorted(parts)}
