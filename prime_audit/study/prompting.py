"""Prompt leakage in a study: does the history that stands in a deployed prompt come out when it is asked for?

The control is the same method given the half of the history that the coin held out: the prompt that it would
have made is not shown to any model, and its records are looked for in the same answers. The coin might as
well have fallen the other way, so that without a leak the two are alike.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final, Literal

import numpy as np

from attacks import prompt_leakage, prompt_overlap
from attacks.arrays import BoolArray, FloatArray, IntArray
from attacks.prompt_leak import LEAK_RULE
from attacks.statistics import Estimate, sign_flip, success_rate
from prime_audit.audit.membership import interval
from prime_audit.config import MethodConfig, RetrievalSettings, StudyConfig
from prime_audit.core import Seeds, digest_json
from prime_audit.data import Item
from prime_audit.models import LanguageModel, as_read, tokenize
from prime_audit.personalize import (
    METHODS,
    Personalisation,
    TargetContext,
    carry_out,
    predict_with,
    shortened,
)
from prime_audit.results import Metric, N
from prime_audit.study.contexts import context_of
from prime_audit.study.prompt_requests import REQUEST_KINDS, REQUESTS, REQUESTS_VERSION
from prime_audit.study.units import Output, Outputs
from prime_audit.study.workbench import Workbench

Side = Literal["prompt", "control"]
_Sides = dict[Side, dict[int, list[IntArray]]]
_NO_HISTORY: Final = "no record of the history stands in its prompts"
_GIVEN: Final = "; the profile that came with the data does, and there is no held-out one to compare with"
_BOTH: Final = (
    "from the prompt or from the module, which was trained on the same records; without the history in the "
    "prompt the module alone gives what stands under base_rate"
)
_ALIKE: Final = "what its prompts hold of the history is the same whichever half of it they are made from"
_ONE_HALF: Final = "all records of the history fell on one side of the coin, so there is no control"


@dataclass(frozen=True)
class _Part:
    """One part of a record, as the model reads it."""

    record: int
    text: str
    ids: IntArray


def asked() -> dict[str, Any]:
    """Returns what the units' outputs depend on beside method, model and data."""
    requests = digest_json([asdict(request) for request in REQUESTS])
    return {"requests": REQUESTS_VERSION, "wording": requests, "rule": asdict(LEAK_RULE), "form": 3}


def ask_for_history(bench: Workbench, method: MethodConfig, target: str) -> Output:
    """Puts the requests to a deployed prompt and looks for the history in the answers.

    Args:
        bench: The workbench.
        method: A method whose prompts may hold the target's history.
        target: The target.

    Returns:
        ``requests``, how many were put; ``rows``, one per request and record of either side (``prompt``: it
        stands in the prompt; ``control``: it would, had the coin fallen the other way), with the ``run`` in
        tokens, the ``recall``, whether it ``leaked``, and whether it did in the answer to the same request
        without any history in the prompt (``base_leaked``), of the base or, where a module is deployed with
        the prompt (``module``), of that; ``skipped``, why there are no rows. No text.
    """
    user = bench.dataset.user(target)
    members, held_out = bench.holdout.members(user), bench.holdout.nonmembers(user)
    if not members or not held_out:
        return {"requests": len(REQUESTS), "rows": [], "skipped": _ONE_HALF}
    context = context_of(bench, method, target, {})
    model, made, prompts, inside = _asked(bench, method, context, members)
    if not any(inside):
        given = _GIVEN if getattr(method, "source", None) == "given" else ""
        return {"requests": len(REQUESTS), "rows": [], "skipped": _NO_HISTORY + given}
    *_, outside = _asked(bench, method, context, held_out)
    said = _ids(model, predict_with(model, bench.dataset.task, prompts, made.adapter))
    of_base = _ids(model, bench.base_answers if made.adapter is None else _plainly(bench, made))
    rows = []
    for place, request in enumerate(REQUESTS):
        for side, records in _apart(inside[place], outside[place]).items():
            for record, parts in records.items():
                found = prompt_overlap(said[place], parts)
                row = {"request": request.id, "kind": request.kind, "side": side, "record": record}
                row |= {"run": found.run, "recall": round(found.recall, 10), "leaked": found.leaked}
                rows.append({**row, "base_leaked": prompt_overlap(of_base[place], parts).leaked})
    about = {"module": made.adapter is not None, **({} if rows else {"skipped": _ALIKE})}
    return {"requests": len(REQUESTS), "rows": rows, **about}


def _plainly(bench: Workbench, made: Personalisation) -> list[str]:
    """What the deployed module answers to the requests without any history in the prompt."""
    task = bench.dataset.task
    return predict_with(bench.base, task, [task.prompt(request.text) for request in REQUESTS], made.adapter)


def _asked(
    bench: Workbench, method: MethodConfig, context: TargetContext, history: tuple[Item, ...]
) -> tuple[LanguageModel, Personalisation, list[str], list[list[_Part]]]:
    """The model, its prompts when a method has this history, and the parts of it that each prompt holds."""
    given = replace(context, target=replace(context.target, history=history))
    made = carry_out(METHODS[method.kind], given, method)
    model = bench.pretrained if made.on_pretrained else bench.base
    prompts = [made.prompt(request.item) for request in REQUESTS]
    most = method.max_item_tokens if isinstance(method, RetrievalSettings) else None
    # Records as the prompt shows them; then what was made from them, each piece like one more record.
    texts = [(item.input, item.answer or "") for item in (shortened(model, one, most) for one in history)]
    parts = _parts(model, [*texts, *((piece,) for piece in made.private)])
    # A prompt that is too long loses its beginning; what the model does not read, it cannot give away.
    read = as_read(model, prompts, model.max_tokens - bench.dataset.task.max_new_tokens)
    return model, made, prompts, [[part for part in parts if part.text in text] for text in read]


def _parts(model: LanguageModel, records: Sequence[Sequence[str]]) -> list[_Part]:
    """The texts of records, without those that are too short to be looked for."""
    whose = [(place, text) for place, texts in enumerate(records) for text in texts]
    texts = [text.strip() for _, text in whose]
    read = as_read(model, texts)
    return [
        _Part(record, text, ids)
        for (record, _), text, ids in zip(whose, read, _ids(model, texts), strict=True)
        if len(ids) >= LEAK_RULE.shortest
    ]


def _ids(model: LanguageModel, texts: Sequence[str]) -> list[IntArray]:
    """Tokens as they are cut in the middle of a text, so that answers and records can be compared."""
    return [np.array(ids, dtype=np.int64) for ids in tokenize(model, [f" {text}" for text in texts])]


def _apart(prompt: Sequence[_Part], control: Sequence[_Part]) -> _Sides:
    """The parts by side and record; one that stands on both sides tells nothing and counts on neither."""
    sides: dict[Side, tuple[Sequence[_Part], Sequence[_Part]]] = {
        "prompt": (prompt, control),
        "control": (control, prompt),
    }
    found: _Sides = {}
    for side, (own, other) in sides.items():
        elsewhere = {part.text for part in other}
        records: dict[int, list[IntArray]] = defaultdict(list)
        for part in own:
            if part.text not in elsewhere:
                records[part.record].append(part.ids)
        found[side] = records
    return found


def prompt_metrics(config: StudyConfig, outputs: Outputs, seeds: Seeds) -> list[Metric]:
    """Sets what came out of the prompts beside what came out that was never in them.

    Args:
        config: The study.
        outputs: Outputs of all units; those of ``prompt/<method>/<target>`` are read.
        seeds: Of the study; they decide the signs of the test.

    Returns:
        Per method, over all requests and by their kind: ``prompt.leak_rate``, the share of a target's records
        in a prompt that some answer gives away, averaged over targets; ``prompt.control_rate``, the same of
        records that were not in the prompt; ``prompt.leak_difference`` and ``prompt.leak_p``;
        ``prompt.base_rate``, how often the same model without the history in its prompt gives the same
        records away; ``prompt.longest_run`` and
        ``prompt.control_run``, a record's longest common run, on average; ``prompt.run_p``, the same test of
        the runs, which sees less than a whole record.
    """
    found: list[Metric] = []
    for method in config.methods:
        units = [output for name, output in outputs.items() if name.startswith(f"prompt/{method.id}/")]
        if any(unit["rows"] for unit in units):
            for kind in (None, *REQUEST_KINDS):
                found += _metrics(method.id, kind, units, seeds)
        elif units:
            n = N(attempted=sum(unit["requests"] for unit in units), scored=0, failed=0, users=0)
            nothing = Estimate(None, None, units[0]["skipped"])
            found.append(_metric("leak_rate", method.id, None, nothing, n))
    return found


@dataclass(frozen=True)
class _Seen:
    """What came out of one target's records of one side, over several requests."""

    leaked: BoolArray
    base_leaked: BoolArray
    run: FloatArray


def _seen(rows: Sequence[Mapping[str, Any]], side: Side) -> _Seen:
    """A record has come out if any answer holds it."""
    records: dict[int, list[Mapping[str, Any]]] = defaultdict(list)
    for row in rows:
        if row["side"] == side:
            records[row["record"]].append(row)
    return _Seen(
        np.array([any(row["leaked"] for row in of) for of in records.values()], dtype=np.bool_),
        np.array([any(row["base_leaked"] for row in of) for of in records.values()], dtype=np.bool_),
        np.array([max(row["run"] for row in of) for of in records.values()], dtype=np.float64),
    )


def _metrics(
    method: str, kind: str | None, units: Sequence[Mapping[str, Any]], seeds: Seeds
) -> Iterator[Metric]:
    wanted = [[row for row in unit["rows"] if kind in (None, row["kind"])] for unit in units]
    sides = [(_seen(rows, "prompt"), _seen(rows, "control")) for rows in wanted]
    # A target without a record on either side cannot be compared.
    pairs = [(own, other) for own, other in sides if len(own.leaked) and len(other.leaked)]
    inside, outside = [own for own, _ in pairs], [other for _, other in pairs]
    each = len(REQUESTS) if kind is None else sum(request.kind == kind for request in REQUESTS)
    n = N(
        attempted=each * len(units),
        scored=sum(len({row["request"] for row in rows if row["side"] == "prompt"}) for rows in wanted),
        failed=0,
        members=sum(len(own.leaked) for own in inside),
        nonmembers=sum(len(other.leaked) for other in outside),
        users=len(pairs),
    )
    rng = seeds.generator("prompt", method, kind or "all")
    compared = prompt_leakage([own.leaked for own in inside], [other.leaked for other in outside], rng)
    base = success_rate(np.array([own.base_leaked.mean() for own in inside], dtype=np.float64))
    p = Estimate(compared.p, None, compared.leak.reason)
    mixed = _BOTH if any(unit.get("module") for unit in units) else ""
    said = "; ".join(filter(None, [compared.leak.reason, mixed]))
    yield _metric("leak_rate", method, kind, replace(compared.leak, reason=said), n)
    yield _metric("control_rate", method, kind, compared.control, n)
    yield _metric("leak_difference", method, kind, compared.difference, n, "difference of probabilities")
    yield _metric("leak_p", method, kind, p, n)
    yield _metric("base_rate", method, kind, base, n)
    runs, others = (np.array([one.run.mean() for one in side]) for side in (inside, outside))
    p_of_runs = sign_flip(runs - others, rng) if pairs else None
    yield _metric("longest_run", method, kind, _mean(runs, p.reason), n, "tokens")
    yield _metric("control_run", method, kind, _mean(others, p.reason), n, "tokens")
    yield _metric("run_p", method, kind, Estimate(p_of_runs, None, p.reason), n)


def _mean(values: FloatArray, reason: str) -> Estimate:
    return Estimate(float(values.mean()) if len(values) else None, None, reason)


_REFERENCES: Final = {"base_rate": "base", **dict.fromkeys(("leak_difference", "leak_p", "run_p"), "control")}


def _metric(
    name: str, method: str, kind: str | None, found: Estimate, n: N, unit: str = "probability"
) -> Metric:
    return Metric(
        id=f"prompt.{name}",
        method=method,
        adversary="A3",
        reference=_REFERENCES.get(name),
        subject="target",
        slice=None if kind is None else {"request": kind},
        value=found.value,
        status="undefined" if found.value is None else "ok",
        reason=found.reason,
        ci=interval(found),
        n=n,
        direction="lower" if name in ("leak_rate", "leak_difference", "longest_run") else None,
        unit=unit,
    )
