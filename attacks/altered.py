"""Attacks that compare a record with altered copies of it, under the audited model alone."""

import numpy as np

from attacks.arrays import FloatArray
from attacks.base import Attack
from attacks.evidence import Evidence
from attacks.reference import LOSS_FLOOR


def lowercase_ratio(evidence: Evidence) -> FloatArray:
    """Loss of the record in lower case over its loss as it is (Carlini et al., arXiv 2012.07805).

    Above one for a member, whose own spelling is remembered. A text without capitals gives exactly one. A
    loss below 1e-8 nats per token counts as that.
    """
    if evidence.lowercase is None:
        raise ValueError("attack lowercase: needs the scores of the records in lower case")
    lower, own = -evidence.lowercase.mean(), -evidence.target.mean()
    return np.maximum(lower, LOSS_FLOOR) / np.maximum(own, LOSS_FLOOR)


def neighbourhood(evidence: Evidence) -> FloatArray:
    """Mean log-probability of a record minus the mean over its neighbours (Mattern et al., arXiv 2305.18462).

    The neighbours here differ in one word drawn from public text, for a masked language model that would
    propose fitting ones is not at hand offline.
    """
    if evidence.neighbours is None:
        raise ValueError("attack neighbourhood: needs the scores of neighbours")
    around: FloatArray = evidence.neighbours.mean().reshape(len(evidence), -1).mean(axis=1)
    return evidence.target.mean() - around


LOWERCASE = Attack("lowercase", "A2", ("logp", "lowercase"), "arXiv:2012.07805", 1, lowercase_ratio)
NEIGHBOURHOOD = Attack("neighbourhood", "A2", ("logp", "neighbours"), "arXiv:2305.18462", 1, neighbourhood)
