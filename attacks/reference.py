"""Attacks that calibrate the audited model's likelihood with another model's."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from attacks.arrays import FloatArray
from attacks.base import Attack
from attacks.evidence import Evidence, TokenScores

# A loss below this is a model that is certain of every token; the ratio is bounded there.
LOSS_FLOOR = 1e-8
DECIMALS = 2
# A bfloat16 keeps the upper 16 of a float32's 32 bits.
_BF16_DROPPED = 16


def reference_difference(evidence: Evidence) -> FloatArray:
    """Mean log-probability under the target minus that under the reference model.

    The reference is the base model without any personal module, which cancels how hard a record is by
    itself (Carlini et al., arXiv 2012.07805; for LoRA modules arXiv 2507.18302).
    """
    return evidence.target.mean() - base_scores(evidence).mean()


def pretrained_difference(evidence: Evidence) -> FloatArray:
    """The same against the public model, which anybody has, instead of the task-adapted base."""
    if evidence.pretrained is None:
        raise ValueError("attack reference-pretrained: needs the scores of the pretrained model")
    return evidence.target.mean() - evidence.pretrained.mean()


def loss_ratio(evidence: Evidence) -> FloatArray:
    """Minus the target's mean loss over the base's (FLoRA, arXiv 2402.17012).

    A loss below 1e-8 nats per token, of either, counts as that.
    """
    own, base = -evidence.target.mean(), -base_scores(evidence).mean()
    return -np.maximum(own, LOSS_FLOOR) / np.maximum(base, LOSS_FLOOR)


def base_scores(evidence: Evidence) -> TokenScores:
    """Returns the reference model's scores.

    Raises:
        ValueError: There are none.
    """
    if evidence.reference is None:
        raise ValueError("needs the scores of a reference model")
    return evidence.reference


def rounded(evidence: Evidence, decimals: int) -> Evidence:
    """Rounds log-probabilities as an interface does that gives few decimals.

    Args:
        evidence: Evidence about N records.
        decimals: Decimals that are kept.

    Returns:
        The evidence with rounded ``logp``, at most 0, of the target and, where they are there, of the
        reference and the pretrained model; everything else is unchanged.
    """
    return _with_logp(evidence, lambda logp: np.minimum(np.round(logp, decimals), 0.0))


def in_bfloat16(evidence: Evidence) -> Evidence:
    """Rounds log-probabilities to bfloat16 (8 significant bits), as a model in half precision hands them out.

    Args:
        evidence: Evidence about N records.

    Returns:
        The evidence with ``logp`` rounded in the same parts as in `rounded`.
    """
    return _with_logp(evidence, _bfloat16)


def _bfloat16(values: FloatArray) -> FloatArray:
    bits = values.astype(np.float32).view(np.uint32)
    # To nearest, ties to even: add just under half of what is dropped, and the last kept bit.
    last = (bits >> _BF16_DROPPED) & 1
    kept = (bits + 0x7FFF + last) & np.uint32(0xFFFF0000)
    return kept.astype(np.uint32).view(np.float32).astype(np.float64)


def _with_logp(evidence: Evidence, change: Callable[[FloatArray], FloatArray]) -> Evidence:
    def changed(scores: TokenScores | None) -> TokenScores | None:
        return replace(scores, logp=change(scores.logp)) if scores is not None else None

    return replace(
        evidence,
        target=replace(evidence.target, logp=change(evidence.target.logp)),
        reference=changed(evidence.reference),
        pretrained=changed(evidence.pretrained),
    )


def rounded_difference(evidence: Evidence) -> FloatArray:
    """The reference attack on log-probabilities of two decimals."""
    return reference_difference(rounded(evidence, DECIMALS))


def bfloat16_difference(evidence: Evidence) -> FloatArray:
    """The reference attack on log-probabilities in bfloat16."""
    return reference_difference(in_bfloat16(evidence))


_SOURCE = "arXiv:2012.07805, arXiv:2507.18302"
_NEEDS = ("logp", "reference")
REFERENCE = Attack("reference", "A2", _NEEDS, _SOURCE, 1, reference_difference)
REFERENCE_PRETRAINED = Attack(
    "reference-pretrained", "A2", ("logp", "pretrained"), _SOURCE, 1, pretrained_difference
)
REFERENCE_ROUNDED = Attack(
    "reference-2-decimals", "A2", _NEEDS, _SOURCE, 1, rounded_difference, {"decimals": DECIMALS}
)
REFERENCE_BF16 = Attack("reference-bf16", "A2", _NEEDS, _SOURCE, 1, bfloat16_difference)
RATIO = Attack("ratio", "A2", _NEEDS, "arXiv:2402.17012", 1, loss_ratio)
