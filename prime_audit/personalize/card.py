"""The card of a personalisation, which names no sharer and no weight, and the private record, which does.

A merge is made from other people's modules: who they are and how much of each is in it is theirs and the
target's business, and a card travels with the adapter.
"""

import json
from dataclasses import asdict
from typing import Any

from prime_audit.core import printable
from prime_audit.personalize.record import Record

_HEAD = """---
base_model: {base_json}
library_name: peft
tags: [lora, personalisation, prime-audit]
---
# {title}

{summary}

| | |
|---|---|
| Task | `{task}` |
| Method | {label} (`{kind}`), seed {seed} |
| Objective | {objective} |
| Settings | {settings} |
| Base | `{base}`, digest `{base_digest}`{held} |
| Task adaptation | {adaptation} |
| Norm ratio | {norm} |
| Form | {form} |
"""

_UTILITY = """
## Utility

From 0 to 1, higher is better whatever the task; greedy answers, or the most likely label.

| Measured on | Items | Base | Deployed |
|---|---|---|---|
{rows}
"""

_MEANING = {
    "history": "the whole history, which the method has seen: too favourable",
    "selection": "the selection part, which the search did not see and which chose the result",
    "queries": "the queries, which the method has not seen",
}

_LIMITS = """
## What these numbers do not cover

- **Privacy.** No attack was run. A small norm ratio is not privacy, and agreement with the sharers is not
  leakage; `prime-audit evaluate` measures what such an adapter gives away about the people it is made from.
- **Other people.** The utility is that of one person's own items, and of no one else's.
- **The choice of modules.** The adapters were ranked by how well each alone answers the history, the
  selection part included. A guarantee of differential privacy that a module carries covers neither this
  choice nor the merge weights.
- `private.json` names the sharers and their weights. It is readable by its owner alone and is not meant to be
  published with the adapter.
"""

_USE = """
## Use

```python
from peft import PeftModel
from transformers import AutoModelForCausalLM

model = AutoModelForCausalLM.from_pretrained({base_json})  # or the folder it lies in
{adapt}model = PeftModel.from_pretrained(model, "this folder")
```
"""

_MERGE = 'model = PeftModel.from_pretrained(model, "the task adapter").merge_and_unload()\n'

_USE_IN_4_BITS = """
## Use

```python
from peft import PeftModel
from transformers import AutoModelForCausalLM, BitsAndBytesConfig

four_bits = BitsAndBytesConfig(
    load_in_4bit=True,
    bnb_4bit_quant_type="{type}",
    bnb_4bit_use_double_quant={double},
    bnb_4bit_compute_dtype="{dtype}",
)
model = AutoModelForCausalLM.from_pretrained(  # or the folder it lies in
    {base_json}, dtype="{dtype}", quantization_config=four_bits
)
{load}
```
"""

_LOAD = 'model = PeftModel.from_pretrained(model, "this folder")'
# Merged into weights in 4 bits, most of the task adapter would be rounded away.
_LOAD_BOTH = """model = PeftModel.from_pretrained(model, "the task adapter", adapter_name="task")
model.load_adapter("this folder", adapter_name="person")
model.base_model.set_adapter(["task", "person"])"""


def card(record: Record) -> str:
    """Returns the card in Markdown.

    Args:
        record: What was deployed.

    Returns:
        The text; equal records give equal texts.
    """
    base = printable(record.base)
    head = _HEAD.format(
        title="The base was kept" if record.reverted else "A personalised adapter",
        summary=_summary(record),
        base=base,
        base_json=json.dumps(base),
        base_digest=record.base_digest[:16],
        held=_held(record),
        task=record.context.task.id,
        label=record.kind.label,
        kind=record.settings.kind,
        seed=record.seed,
        objective=_objective(record),
        settings=_settings(record),
        adaptation=_adaptation(record),
        norm="no change is deployed" if record.reverted else _norm(record.norm_ratio),
        form=record.form or "nothing is written",
    )
    use = "" if record.reverted else _use(record, base)
    return head + _UTILITY.format(rows=_rows(record)) + use + _LIMITS


def private(record: Record) -> dict[str, Any]:
    """Returns what only the owner should read: sharers, weights, every evaluated point.

    Args:
        record: What was deployed.

    Returns:
        Plain JSON values; texts of nobody are among them.
    """
    deployed = record.deployed
    weights = dict(zip(deployed.sources, map(float, deployed.weights), strict=True))
    return {
        "schema_version": 1,
        "target": record.context.target.id,
        "task": record.context.task.id,
        "seed": record.seed,
        "method": record.settings.model_dump(mode="json"),
        "base": {"name": record.base, "digest": record.base_digest, "quantization": _quantization(record)},
        "adaptation": None if record.adaptation is None else record.adaptation.digest,
        "reverted": record.reverted,
        "reason": record.reason,
        "adapter": None if deployed.adapter is None else deployed.adapter.digest,
        "norm_ratio": record.norm_ratio,
        "utility": {part: asdict(found) for part, found in record.utility.items()},
        "sharers": [
            {
                "id": name,
                "digest": module.digest,
                "norm": module.norm(),
                "utility_alone": record.alone[name],
                "considered": name in record.context.sharers,
                "weight": weights.get(name),
            }
            for name, module in record.modules.items()
        ],
        # Weights of a point belong to these sharers, in this order.
        "considered": list(record.context.sharers),
        "points": [
            {"w": list(p.weights), "u": p.utility, "s": p.similarity, "part": p.part, "items": p.items}
            for p in deployed.points
        ],
        "chosen": deployed.chosen,
        "notes": dict(deployed.notes),
    }


def _summary(record: Record) -> str:
    if record.reverted:
        return (
            f"The method fell back to the base: {record.reason}. No adapter was written, since one that "
            "changes nothing would only look like a personalisation. Deploy the base as it is."
        )
    return "A LoRA adapter merged from other people's adapters for one person, who is not named here."


def _objective(record: Record) -> str:
    settings = record.settings
    alpha, utility, penalty = (getattr(settings, key, None) for key in ("alpha", "utility", "privacy"))
    if alpha is not None and utility is not None and penalty is not None:
        return f"maximise utility (`{utility}`) minus {alpha:g} times the privacy term (`{penalty}`)"
    source = f"; {record.kind.source}" if record.kind.source else ""
    # A class without a docstring has none of its own, and the parent's would describe something else.
    text = (type(settings).__doc__ or record.kind.label).split("\n\n")[0]
    return " ".join(text.split()).rstrip(".") + source


def _settings(record: Record) -> str:
    chosen = record.settings.model_dump(mode="json", exclude={"kind", "id"})
    return ", ".join(f"`{key}: {json.dumps(value)}`" for key, value in chosen.items()) or "none"


def _adaptation(record: Record) -> str:
    if record.adaptation is None:
        return "none: the adapter sits on the base itself"
    how = "merged into the base first" if _quantization(record) is None else "beside the base's weights"
    return f"an adapter {how}, digest `{record.adaptation.digest[:16]}`"


def _quantization(record: Record) -> dict[str, Any] | None:
    found = record.context.base.quantization
    return None if found is None else dict(found)


def _held(record: Record) -> str:
    found = _quantization(record)
    if found is None:
        return ""
    return f"; its linear layers in {found['bits']} bits ({found['type']}), and in full it is another model"


def _norm(ratio: float) -> str:
    return f"{ratio:.3g}: the norm of this change over the mean norm of the modules it is made from"


def _rows(record: Record) -> str:
    return "\n".join(
        f"| {_MEANING[part]} | {found.items} | {found.base:.4f} | {found.deployed:.4f} |"
        for part, found in record.utility.items()
    )


def _use(record: Record, base: str) -> str:
    found, base_json = _quantization(record), json.dumps(base)
    if found is None:
        return _USE.format(base_json=base_json, adapt="" if record.adaptation is None else _MERGE)
    dtype = str(record.context.base.model.dtype).removeprefix("torch.")
    load = _LOAD if record.adaptation is None else _LOAD_BOTH
    return _USE_IN_4_BITS.format(
        type=found["type"], double=found["double"], dtype=dtype, base_json=base_json, load=load
    )
