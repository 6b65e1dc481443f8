"""Attacks that put known records before the one in question; its own tokens alone are scored."""

import numpy as np

from attacks.arrays import FloatArray
from attacks.base import Attack
from attacks.evidence import Evidence, TokenScores
from attacks.reference import LOSS_FLOOR


def recall(evidence: Evidence) -> FloatArray:
    """Log-likelihood after known non-members over that without them (Xie et al., arXiv 2406.15968).

    Known non-members help a record less that the model knows by heart, so the ratio of two negative numbers
    is higher for a member. A loss below 1e-8 nats per token counts as that, so a record that is certain with
    and without them scores 1.
    """
    return _loss(_after_nonmembers(evidence)) / _loss(evidence.target)


def con_recall(gamma: float = 0.5) -> Attack:
    """Contrasts known non-members with known members before the record (Wang et al., arXiv 2409.03363).

    The score is (LL(x | non-members) - gamma LL(x | members)) / LL(x). Whoever runs it knows some members:
    here another sharer in the same merge, who knows its own records. Losses are bounded as in `recall`.

    Args:
        gamma: Weight of the members, not negative.

    Returns:
        The attack.

    Raises:
        ValueError: Gamma is negative.
    """
    if gamma < 0:
        raise ValueError(f"gamma: must not be negative, not {gamma}")

    def signal(evidence: Evidence) -> FloatArray:
        if evidence.prefixed_members is None:
            raise ValueError("attack con-recall: needs the scores after known members")
        after = _loss(_after_nonmembers(evidence)) - gamma * _loss(evidence.prefixed_members)
        return after / _loss(evidence.target)

    needs = ("logp", "prefixed", "prefixed_members")
    return Attack("con-recall", "A4", needs, "arXiv:2409.03363", 1, signal, {"gamma": gamma})


def _after_nonmembers(evidence: Evidence) -> TokenScores:
    if evidence.prefixed is None:
        raise ValueError("needs the scores after known non-members")
    return evidence.prefixed


def _loss(scores: TokenScores) -> FloatArray:
    """Mean loss in nats per token, kept away from zero, ``(N,)``."""
    return np.maximum(-scores.mean(), LOSS_FLOOR)


RECALL = Attack("recall", "A2", ("logp", "prefixed"), "arXiv:2406.15968", 1, recall)
CON_RECALL = con_recall()
