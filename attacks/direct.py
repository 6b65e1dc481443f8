"""Attacks on other traces than likelihoods: gradients, generated text, and an adapter scaled up again."""

from attacks.arrays import FloatArray
from attacks.base import Attack
from attacks.evidence import Evidence


def gradient_norm(evidence: Evidence) -> FloatArray:
    """Minus the norm of the gradient over the LoRA parameters; training makes it small (arXiv 2402.17012)."""
    if evidence.gradient_norm is None:
        raise ValueError("attack gradient-norm: needs gradient norms")
    return -evidence.gradient_norm


def generation(evidence: Evidence) -> FloatArray:
    """Overlap of generated text with the record's answer, beyond the base's; needs nothing but text."""
    if evidence.overlap is None:
        raise ValueError("attack generation: needs the overlap of generations")
    return evidence.overlap


def amplify(evidence: Evidence) -> FloatArray:
    """The loss attack on the base with the deployed change scaled up to the norm of a sharer's own module.

    Whoever holds the adapter file can undo that a merge has shrunk it: a common factor hides nothing.
    """
    if evidence.amplified is None:
        raise ValueError("attack amplify: needs the scores of the amplified adapter")
    return evidence.amplified.mean()


GRADIENT_NORM = Attack("gradient-norm", "A1", ("gradient_norm",), "arXiv:2402.17012", 1, gradient_norm)
GENERATION = Attack("generation", "A3", ("overlap",), "arXiv:2410.19482, as an overlap", 1, generation)
AMPLIFY = Attack("amplify", "A1", ("logp", "amplified"), "the loss attack, rescaled", 1, amplify)
