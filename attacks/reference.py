"""Attacks that calibrate the audited model's likelihood with another model's."""

from attacks.arrays import FloatArray
from attacks.base import Attack
from attacks.evidence import Evidence


def reference_difference(evidence: Evidence) -> FloatArray:
    """Mean log-probability under the target minus that under the reference model.

    The reference is the base model without any personal module, which cancels how hard a record is by
    itself (Carlini et al., arXiv 2012.07805; for LoRA modules arXiv 2507.18302).
    """
    if evidence.reference is None:
        raise ValueError("attack reference: needs the scores of a reference model")
    return evidence.target.mean() - evidence.reference.mean()


REFERENCE = Attack(
    "reference", "A2", ("logp", "reference"), "arXiv:2012.07805, arXiv:2507.18302", 1, reference_difference
)
