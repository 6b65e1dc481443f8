"""What each method costs: settings it compared, tokens it trained on and read, bytes it keeps for a person.

Counts are those of the work itself and do not depend on what was found in a store. Seconds depend on the
machine and stand in manifest.json.
"""

import math
from collections.abc import Mapping
from typing import Final

from prime_audit.config import MethodConfig
from prime_audit.models import encode_all
from prime_audit.personalize import METHODS
from prime_audit.results import Metric, N
from prime_audit.study.units import Output, Outputs
from prime_audit.study.workbench import Workbench, own_unit

COUNTED: Final = "count/tokens"
_UNITS: Final = {
    "settings": "settings",
    "training_tokens": "tokens",
    "shared_training_tokens": "tokens",
    "search_tokens": "tokens",
    "answer_tokens": "tokens per query",
    "stored_bytes": "bytes",
}


def count_tokens_of_sharers(bench: Workbench) -> Output:
    """Counts the tokens of every sharer's IN records, as one pass of training reads them.

    Args:
        bench: The workbench.

    Returns:
        ``tokens`` and ``records`` by sharer.
    """
    loss, tokens, records = bench.config.training.loss, {}, {}
    for sharer in bench.dataset.sharers:
        examples = [bench.example(item) for item in bench.holdout.members(sharer)]
        tokens[sharer.id] = sum(len(one.ids) for one in encode_all(bench.base, examples, loss))
        records[sharer.id] = len(examples)
    return {"tokens": tokens, "records": records}


def cost_metrics(bench: Workbench, outputs: Outputs) -> list[Metric]:
    """Collects what every method costs for one target, on average over the targets.

    Args:
        bench: The workbench.
        outputs: Outputs of all units.

    Returns:
        Per method ``cost.settings`` (settings, candidates or epochs compared on the target's history),
        ``cost.training_tokens`` (trained for this target alone), ``cost.shared_training_tokens`` (modules and
        gates of the sharers that it may merge, trained once for all targets; with differential privacy
        and for a part of a pass their expectation), ``cost.search_tokens`` (read and written while
        personalising), ``cost.answer_tokens`` (per query), ``cost.stored_bytes`` (adapter, and the texts that
        prompts are made from).
    """
    metrics = []
    for method in bench.config.methods:
        found = [_of_target(bench, method, target.id, outputs) for target in bench.dataset.targets]
        for name, unit in _UNITS.items():
            value = sum(one[name] for one in found) / len(found)
            n = N(users=len(found))
            metrics.append(
                Metric(
                    id=f"cost.{name}",
                    method=method.id,
                    value=round(value, 6),
                    n=n,
                    direction="lower",
                    unit=unit,
                )
            )
    return metrics


def _of_target(bench: Workbench, method: MethodConfig, target: str, outputs: Outputs) -> dict[str, float]:
    deployed = outputs[f"deploy/{method.id}/{target}"]
    costs, own = deployed["costs"], outputs.get(own_unit(method.id, target))
    answered = len(deployed["primary"])
    found = {
        "settings": costs["settings"],
        "training_tokens": costs["training_tokens"],
        "shared_training_tokens": _shared(bench, method, target, outputs),
        "search_tokens": costs["search_tokens"],
        "answer_tokens": costs["answer_tokens"] / answered if answered else 0.0,
        "stored_bytes": costs["stored_bytes"],
    }
    if own is not None:
        found["training_tokens"] += own["training_tokens"]
        found["search_tokens"] += own["search_tokens"]
        # Every epoch that was judged is a setting that was compared.
        found["settings"] += own["epochs"] if own["held_out"] else 0
    return found


def _shared(bench: Workbench, method: MethodConfig, target: str, outputs: Outputs) -> float:
    """Tokens that the modules of a merge were trained on, for the sharers that the method was given."""
    if METHODS[method.kind].subject != "sharer":
        return 0.0
    counted = outputs[COUNTED]
    passes: Mapping[str, float] = {
        sharer: bench.config.training.epochs + _gate_passes(method, counted["records"][sharer])
        for sharer in outputs["select"]["selected"][target]
    }
    return float(sum(times * counted["tokens"][sharer] for sharer, times in passes.items()))


def _gate_passes(method: MethodConfig, records: int) -> float:
    """How often the gates' training reads a sharer's records; the last pass may be a part of one."""
    if not METHODS[method.kind].needs_gates:
        return 0.0
    steps: int = getattr(method, "steps", 0)
    batch: int = getattr(method, "batch_size", 1)
    return steps / math.ceil(records / batch)
