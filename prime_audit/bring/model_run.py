"""Auditing somebody's own model or adapter: every record is scored by it, and by the base beside it."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from pydantic import JsonValue

from prime_audit.bring.advice import advise
from prime_audit.bring.deployment import check_deployment
from prime_audit.bring.listed import Entry, listed, near_repeats
from prime_audit.bring.outcome import Brought
from prime_audit.bring.panels import ARRAYS, MODEL, base_panels, evidence_panels
from prime_audit.bring.passes import LOSS, Probe, evidence_of, examples_of, token_numbers
from prime_audit.bring.records import RecordLists, read_lists
from prime_audit.bring.request import BASE, NONE, ModelRequest
from prime_audit.config import ModelConfig
from prime_audit.core import default_store, digest_file
from prime_audit.errors import ConfigError, ModelError
from prime_audit.models import LanguageModel, encode_all, load_model
from prime_audit.modules import read_module

_PARTS: Final = ("reference", "lowercase", "repeated", "prefixed", "population", "corpus", "gradient_norm")


def bring_model(request: ModelRequest) -> Brought:
    """Scores two lists of records with a model and runs what can be run on that.

    Args:
        request: What to audit, and with what.

    Returns:
        The panels.

    Raises:
        ConfigError: The options contradict each other.
        DataError: A list cannot be read or holds faults.
        ModelError: A model or the adapter cannot be used, or the reference has another tokenizer.
    """
    _check(request)
    lists = read_lists(request.members, request.nonmembers, request.public)
    audited, reference = _load(request, [*lists.entries, *lists.public])
    evidence, left_out = evidence_of(audited, reference, lists)
    held = ARRAYS | {part for part in _PARTS if evidence.has(part)}
    records = listed(lists.entries)
    methods, lacking = evidence_panels(MODEL, records, evidence, held)
    kept = {"model": evidence.target}
    kept |= {} if evidence.reference is None else {"reference": evidence.reference}
    return Brought(
        listed=records,
        methods=methods,
        alarms=base_panels(records, evidence, held),
        primary="reference" if reference is not None else "loss",
        label=_label(request),
        settings=_settings(request, audited, reference),
        lacking={attack: advise(parts, "model") for attack, parts in lacking.items()},
        described=_described(audited),
        notes=(*_notes(audited, lists), *left_out),
        evidence=kept,
        packages=("torch", "transformers", "peft", "numpy", "scipy", "scikit-learn"),
    )


def _check(request: ModelRequest) -> None:
    if request.adapter is None and request.reference == BASE:
        raise ConfigError(
            "--reference base is the model without its adapter, and there is no --adapter",
            hint="name the model that this one was trained from, or use --reference none",
        )


def _load(request: ModelRequest, entries: Sequence[Entry]) -> tuple[Probe, Probe | None]:
    """Loads the model and what it is compared with, both with the same longest sequence."""
    lm = _model(request.base, request)
    if request.adapter is not None:
        check_deployment(request.adapter, lm)
    module = None if request.adapter is None else read_module(request.adapter, lm)
    wanted = request.reference or (NONE if module is None else BASE)
    other = lm if wanted in (BASE, NONE) else _model(wanted, request)
    shortest = min(lm.max_tokens, other.max_tokens)
    lm, other = replace(lm, max_tokens=shortest), replace(other, max_tokens=shortest)
    if wanted not in (BASE, NONE):
        _check_tokenizer(lm, other, entries)
    numbers = token_numbers(lm, entries)
    return Probe(lm, module, numbers), None if wanted == NONE else Probe(other, None, numbers)


def _model(name: str, request: ModelRequest) -> LanguageModel:
    # float32: the rounding of a half-precision model alone can hide what a merge leaves.
    config = ModelConfig(base=name, dtype="float32", quantize=request.quantize)
    return load_model(config, default_store(), request.max_tokens)


def _check_tokenizer(lm: LanguageModel, other: LanguageModel, entries: Sequence[Entry]) -> None:
    """Refuses a reference that cuts a record into other tokens: its scores could not be compared."""
    examples = examples_of(entries)
    pairs = zip(encode_all(lm, examples, LOSS), encode_all(other, examples, LOSS), strict=True)
    for entry, (ours, theirs) in zip(entries, pairs, strict=True):
        names = [one.tokenizer.convert_ids_to_tokens(list(ours.ids)) for one in (lm, other)]
        if ours.ids != theirs.ids or names[0] != names[1]:
            raise ModelError(
                f"reference {other.name}: has another tokenizer than {lm.name}: it cuts record {entry.id} "
                "into other tokens",
                hint="name the model that the audited one was trained from, or use --reference none",
            )


def _label(request: ModelRequest) -> str:
    base = _shown(request.base)
    return base if request.adapter is None else f"{request.adapter.resolve().name} on {base}"


def _settings(request: ModelRequest, audited: Probe, reference: Probe | None) -> dict[str, JsonValue]:
    """What the figures depend on: digests, and no way to a folder, which is nobody's business."""
    return {
        "base": audited.lm.digest,
        "adapter": None if audited.module is None else audited.module.digest,
        "reference": None if reference is None else reference.lm.digest,
        "max_tokens": audited.lm.max_tokens,
        "members": digest_file(request.members),
        "nonmembers": digest_file(request.nonmembers),
        "public": None if request.public is None else digest_file(request.public),
    }


def _described(audited: Probe) -> dict[str, object]:
    lm = audited.lm
    return {
        "model": {
            "name": _shown(lm.name),
            "digest": lm.digest,
            "quantization": None if lm.quantization is None else dict(lm.quantization),
        },
        "device": str(lm.device),
        "dtype": str(lm.model.dtype).removeprefix("torch."),
    }


def _notes(audited: Probe, lists: RecordLists) -> tuple[str, ...]:
    """What did not fit the model, and what blurs the lists."""
    lm, entries = audited.lm, lists.entries
    examples = examples_of(entries)
    notes = []
    if cut := sum(encoded.cut > 0 for encoded in encode_all(lm, examples, LOSS)):
        notes.append(f"{cut} of {len(entries)} records are longer than {lm.max_tokens} tokens and were cut")
    if near := near_repeats(lists.public, entries):
        notes.append(f"{near} of {len(lists.public)} public records nearly repeat one of the lists")
    return tuple(notes)


def _shown(base: str) -> str:
    path = Path(base).expanduser()
    return path.resolve().name if path.is_dir() else base
