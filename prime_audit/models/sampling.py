"""Sampled decoding with common random numbers: the draws are given, so that candidates can share them."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray


@dataclass(frozen=True)
class Draws:
    """How to sample, with every random number fixed beforehand.

    Rows that get the same uniform numbers differ in their answers only as far as their distributions do:
    common random numbers, which take most of the noise out of a comparison (Glasserman and Yao 1992).

    Attributes:
        temperature: What logits are divided by.
        top_p: Share of the probability that is kept, likeliest tokens first.
        uniforms: Numbers in [0, 1), shape ``(rows, steps)``; one per row and new token.
    """

    temperature: float
    top_p: float
    uniforms: NDArray[np.float64]


def pick(logits: torch.Tensor, temperature: float, top_p: float, uniforms: torch.Tensor) -> torch.Tensor:
    """Draws one token per row by inverting the distribution function over tokens sorted by probability.

    Args:
        logits: Shape ``(rows, tokens)``.
        temperature: What they are divided by.
        top_p: The smallest set of likeliest tokens with at least this probability is kept (nucleus
            sampling, arXiv:1904.09751) and renormalised.
        uniforms: Shape ``(rows,)``, in [0, 1).

    Returns:
        Token positions ``(rows,)``.
    """
    ordered, index = torch.softmax(logits.double() / temperature, dim=-1).sort(dim=-1, descending=True)
    below = ordered.cumsum(dim=-1) - ordered
    kept = ordered.masked_fill(below >= top_p, 0.0)
    reached = kept.cumsum(dim=-1)
    wanted = (uniforms.to(reached) * reached[:, -1])[:, None]
    place = torch.searchsorted(reached, wanted, right=True).clamp(max=int(kept.shape[-1]) - 1)
    # Rounding may point at a token that was cut off; the last kept one is meant.
    place = torch.minimum(place, (kept > 0).sum(dim=-1, keepdim=True) - 1)
    return index.gather(1, place)[:, 0]
