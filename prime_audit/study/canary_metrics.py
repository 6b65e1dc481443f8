"""Figures of the canary arm: exposure, extraction and inference of planted secrets, by repetitions."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from attacks import (
    Candidates,
    Exposure,
    ExposureDifference,
    exposure_differences,
    exposure_ranks,
    exposures,
    extraction_probability,
    rank_exposure,
)
from attacks.statistics import Estimate, MatchedRates, matched_rates
from prime_audit.audit.membership import interval
from prime_audit.data import Canary
from prime_audit.results import Metric, N, SliceValue
from prime_audit.study.control_names import CONTROL_BASE
from prime_audit.study.planting import Exposed, exposed_of
from prime_audit.study.sampled_secrets import sampled_of
from prime_audit.study.units import Output, Outputs
from prime_audit.study.workbench import Workbench

# Samples of the (n, p) extraction, and secrets that one is picked from.
QUERIES: Final = 1000
LISTED: Final = 100
Cell = tuple[str | None, int]
Field = Literal["verbatim", "distance", "picked", "sampled", "held", "restored"]


@dataclass(frozen=True)
class Seen:
    """What the models of one method, asked about one canary, show on average.

    Attributes:
        canary: The canary.
        bits: Exposure by rank.
        beyond: Extrapolated exposures, by the models that find it likelier than every candidate and whose
            candidates a tail could be fitted to.
        unfitted: Why the others of these models have none.
        sampled: Probability that `QUERIES` samples hold it.
        verbatim: How often greedy decoding completes it.
        distance: Edit distance of that completion, from 0 for the secret to 1.
        picked: How often it is the likeliest of `LISTED` secrets.
        stands_out: Its log-probability above that of the candidates, in their standard deviations, less what
            the base shows of it; 0 where the candidates are all equally likely, as nothing then stands out.
        held: How often sampled text holds it; None where none was sampled.
        restored: How often its second half is filled in right from sampled ones; None as well.
    """

    canary: Canary
    bits: float
    beyond: tuple[float, ...]
    unfitted: tuple[str, ...]
    sampled: float
    verbatim: float
    distance: float
    picked: float
    stands_out: float
    held: float | None = None
    restored: float | None = None


SeenByMethod = Mapping[str, Sequence[Seen]]


def canary_metrics(bench: Workbench, found: SeenByMethod) -> list[Metric]:
    """Collects what the canary arm found.

    Args:
        bench: The workbench.
        found: What `seen_by_method` read.

    Returns:
        Per method, number of repetitions and type, and over all types together: ``exposure.bits`` beyond
        that of never-inserted canaries, ``exposure.p`` and ``exposure.extrapolated``; over all types
        ``extraction.rate``, ``extraction.distance``, ``extraction.probability``, ``pii.inference`` and, where
        text was sampled, ``pii.extraction`` (recall) and ``pii.reconstruction``, the base's beside them, with
        ``_difference`` and ``_p``. Nothing if the study plants nothing.
    """
    known = {one.canary.id: one for one in found.get(CONTROL_BASE, ())}
    metrics: list[Metric] = []
    for method, seen in found.items():
        metrics += _exposure(bench, method, seen)
        for repetitions in sorted({one.canary.repetitions for one in seen}):
            inside = [one for one in seen if one.canary.inserted and one.canary.repetitions == repetitions]
            base = [known[one.canary.id] for one in inside]
            metrics += _extraction(method, repetitions, inside, base)
    return metrics


def seen_by_method(bench: Workbench, outputs: Outputs) -> SeenByMethod:
    """Reads the evidence of the canary arm, each canary's figures averaged over the models that hold it.

    Args:
        bench: The workbench.
        outputs: Outputs of all units; those of ``expose/<method>/...`` are read.

    Returns:
        By method, in the order of the design; a method none of whose merges holds a carrier is missing.
    """
    units: dict[str, list[str]] = defaultdict(list)
    for name, output in outputs.items():
        if name.startswith("expose/") and output["users"]:
            units[name.split("/")[1]].append(name)
    found = {}
    known: dict[str, float] = {}
    # The base first: what it shows is taken off the others.
    for method, names in sorted(units.items(), key=lambda unit: unit[0] != CONTROL_BASE):
        rows: dict[str, list[Seen]] = defaultdict(list)
        for name in names:
            for one in seen_in(bench, name, outputs[name], known):
                rows[one.canary.id].append(one)
        found[method] = [_averaged(several) for several in rows.values()]
        known = known or {one.canary.id: one.stands_out for one in found[method]}
    return found


def seen_in(
    bench: Workbench, name: str, output: Output, known: Mapping[str, float], *, extrapolate: bool = True
) -> Iterator[Seen]:
    """Reads what one model shows of each canary.

    Args:
        bench: The workbench.
        name: The unit that asked it.
        output: The unit's output: of whom, and who stands in the model with a negative weight.
        known: How far each canary stands out in the base, by id.
        extrapolate: Whether a tail is fitted where a canary outranks every candidate, which takes seconds.

    Returns:
        A figure of each kind per canary, by type and user.
    """
    settings, users = bench.config.audit.canaries, output["users"]
    parts = bench.parts(name)
    for kind in settings.types if settings else ():
        canaries = [c for user in users for c in bench.canaries.canaries[user] if c.kind == kind]
        exposed = exposed_of(parts, kind)
        # Whoever knows a weight to be negative looks for what the merge finds unlikely.
        signs = np.array([-1.0 if canary.user in output.get("turned", ()) else 1.0 for canary in canaries])
        beside = _beside(bench, name, exposed, kind, signs, extrapolate=extrapolate)
        sampled = extraction_probability(exposed.secrets, QUERIES)
        above, drawn = _deviations(exposed), sampled_of(parts, kind)
        for place, canary in enumerate(canaries):
            beyond, unfitted = beside[place].extrapolated, beside[place].reason
            yield Seen(
                canary,
                beside[place].bits,
                () if beyond is None else (beyond,),
                (unfitted,) if unfitted else (),
                float(sampled[place]),
                float(exposed.verbatim[place]),
                float(exposed.distance[place]),
                _picked(exposed, place, signs[place]),
                float(signs[place]) * (float(above[place]) - known.get(canary.id, 0.0)),
                None if drawn is None else float(drawn.held[place]),
                None if drawn is None else float(drawn.restored[place]),
            )


def _deviations(exposed: Exposed) -> NDArray[np.float64]:
    """How far canaries lie above the candidates, in standard deviations of these."""
    level, spread = exposed.candidates.mean(), exposed.candidates.std(ddof=1)
    if spread == 0:
        return np.zeros_like(exposed.canaries)
    return np.asarray((exposed.canaries - level) / spread, dtype=np.float64)


def _beside(
    bench: Workbench,
    name: str,
    exposed: Exposed,
    kind: str,
    signs: NDArray[np.float64],
    *,
    extrapolate: bool,
) -> list[Exposure]:
    """The exposures of the canaries of a type, in order; ranked from the other end where the sign says so."""
    found: dict[int, Exposure] = {}
    for sign in np.unique(signs):
        places = np.flatnonzero(signs == sign)
        canaries, candidates = sign * exposed.canaries[places], sign * exposed.candidates
        if extrapolate:
            ranked = exposures(canaries, candidates, bench.seeds.generator("skew-normal", name, kind))
        else:
            ranks, bits = exposure_ranks(canaries, candidates), rank_exposure(canaries, candidates)
            ranked = [Exposure(float(b), int(r), None, None, "") for b, r in zip(bits, ranks, strict=True)]
        found |= dict(zip(places.tolist(), ranked, strict=True))
    return [found[place] for place in range(len(signs))]


def _picked(exposed: Exposed, place: int, sign: float) -> float:
    """Whether the secret is the likeliest of a list that holds it and the first of the candidates."""
    listed = np.concatenate([exposed.canaries[place : place + 1], exposed.candidates[: LISTED - 1]])
    return Candidates(sign * listed, 0).success


def _averaged(several: Sequence[Seen]) -> Seen:
    def mean(name: str) -> float:
        return float(np.mean([getattr(one, name) for one in several]))

    return Seen(
        several[0].canary,
        mean("bits"),
        tuple(bits for one in several for bits in one.beyond),
        tuple(reason for one in several for reason in one.unfitted),
        mean("sampled"),
        mean("verbatim"),
        mean("distance"),
        mean("picked"),
        mean("stands_out"),
        mean("held") if several[0].held is not None else None,
        mean("restored") if several[0].restored is not None else None,
    )


def _exposure(bench: Workbench, method: str, seen: Sequence[Seen]) -> Iterator[Metric]:
    settings = bench.config.audit.canaries
    candidates = settings.candidates if settings else 0
    for by_type in (True, False):
        inserted: dict[Cell, list[Seen]] = defaultdict(list)
        never: dict[str | None, list[Seen]] = defaultdict(list)
        for one in seen:
            kind: str | None = one.canary.kind if by_type else None
            # A cell without an inserted canary is undefined, and says so.
            cell = inserted[kind, one.canary.repetitions]
            (cell if one.canary.inserted else never[kind]).append(one)
        rng = bench.seeds.generator("canaries", method, str(by_type))
        found = exposure_differences(
            {(kind or "", times): _bits(cell) for (kind, times), cell in inserted.items()},
            {kind or "": _bits(side) for kind, side in never.items()},
            candidates,
            rng,
        )
        for (kind, times), cell in inserted.items():
            yield from _cell(method, kind, times, found[kind or "", times], cell, never[kind])


def _bits(seen: Sequence[Seen]) -> NDArray[np.float64]:
    return np.array([one.bits for one in seen], dtype=np.float64)


def _cell(
    method: str,
    kind: str | None,
    times: int,
    found: ExposureDifference,
    inserted: Sequence[Seen],
    never: Sequence[Seen],
) -> Iterator[Metric]:
    part: dict[str, SliceValue] = {"repetitions": times, **({"type": kind} if kind else {})}
    total = found.inserted + found.never
    n = N(attempted=total, scored=total, failed=0, members=found.inserted, nonmembers=found.never)
    yield figure("exposure.bits", method, part, found.bits, n, "bits")
    yield figure("exposure.p", method, part, Estimate(found.p, None, found.bits.reason), n, "probability")
    if found.bits.value is not None and found.bits.value > 0 and any(map(_outranks, inserted)):
        yield figure("exposure.extrapolated", method, part, _extrapolated(inserted, never), n, "bits")


def _outranks(one: Seen) -> bool:
    """Whether some model finds it likelier than every candidate."""
    return bool(one.beyond or one.unfitted)


def _extrapolated(inserted: Sequence[Seen], never: Sequence[Seen]) -> Estimate:
    """The median extrapolated exposure of planted secrets that outrank every candidate.

    A median, because a tail is known the less the further out it is; with how many secrets it is about, and
    how many never-planted ones outrank every candidate too.
    """
    over, chance = (sum(map(_outranks, side)) for side in (inserted, never))
    count = f"of {over} of {len(inserted)} planted secrets, which outrank every candidate"
    count += f"; {chance} of {len(never)} never-planted ones do too"
    beyond = [bits for one in inserted for bits in one.beyond]
    if not beyond:
        why = "; ".join(dict.fromkeys(reason for one in inserted for reason in one.unfitted))
        return Estimate(None, None, f"undefined {count}; {why}")
    return Estimate(float(np.median(beyond)), None, count)


def _extraction(
    method: str, repetitions: int, seen: Sequence[Seen], base: Sequence[Seen]
) -> Iterator[Metric]:
    part: dict[str, SliceValue] = {"repetitions": repetitions}
    n = N(attempted=len(seen), scored=len(seen), failed=0, members=len(seen))
    fields: dict[str, Field] = {"extraction.rate": "verbatim", "pii.inference": "picked"}
    if any(one.held is not None for one in seen):
        fields |= {"pii.extraction": "held", "pii.reconstruction": "restored"}
    for name, field in fields.items():
        own, other = (_column(side, field) for side in (seen, base))
        yield from _rates(name, method, part, matched_rates(own, other, unit="inserted canaries"), n)
    queries: dict[str, SliceValue] = {**part, "queries": QUERIES}
    yield figure("extraction.probability", method, queries, _mean(seen, "sampled"), n, "probability")
    yield figure("extraction.distance", method, part, _mean(seen, "distance"), n, "share of the tokens")


def _mean(seen: Sequence[Seen], field: Field) -> Estimate:
    values = _column(seen, field)
    if not len(values):
        return Estimate(None, None, "undefined: there are no inserted canaries")
    return Estimate(float(values.mean()), None, "")


def _column(seen: Sequence[Seen], field: Field) -> NDArray[np.float64]:
    return np.array([getattr(one, field) for one in seen], dtype=np.float64)


def _rates(
    name: str, method: str, part: Mapping[str, SliceValue], found: MatchedRates, n: N
) -> Iterator[Metric]:
    yield figure(name, method, part, found.model, n, "probability")
    if method == CONTROL_BASE:
        return
    yield figure(f"{name}_difference", method, part, found.difference, n, "difference of probabilities")
    p = Estimate(found.p, None, found.model.reason)
    yield figure(f"{name}_p", method, part, p, n, "probability")


def figure(
    name: str, method: str, part: Mapping[str, SliceValue], estimate: Estimate, n: N, unit: str
) -> Metric:
    """Writes one figure of the canary arm.

    Args:
        name: The metric's id.
        method: The method.
        part: What of the arm it is about, e.g. the repetitions.
        estimate: The figure, with its interval and reason.
        n: What it rests on.
        unit: Its unit.

    Returns:
        The metric.
    """
    return Metric(
        id=name,
        method=method,
        adversary="A3" if name.startswith("extraction") else "A2",
        reference="base" if "difference" in name or name.endswith("_p") else None,
        subject="sharer",
        slice=dict(part) or None,
        value=estimate.value,
        status="undefined" if estimate.value is None else "ok",
        reason=estimate.reason or ("" if estimate.value is not None else "there is nothing to compare"),
        ci=interval(estimate),
        n=n,
        direction=_direction(name),
        unit=unit,
    )


def _direction(name: str) -> Literal["higher", "lower"] | None:
    """Which way is more private; a p-value has none."""
    if name.endswith(("_p", ".p")):
        return None
    return "higher" if name == "extraction.distance" else "lower"
