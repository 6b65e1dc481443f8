"""A process's first call of a function, which PyTorch may compute less precisely than all later ones."""

from functools import cache
from typing import Final

import torch

# What PyTorch hands to oneMKL's vector mathematics on a CPU.
VECTOR_MATHS: Final = (
    "acos",
    "asin",
    "atan",
    "ceil",
    "cos",
    "cosh",
    "erf",
    "erfc",
    "erfinv",
    "exp",
    "expm1",
    "floor",
    "lgamma",
    "log",
    "log10",
    "log1p",
    "log2",
    "round",
    "rsqrt",
    "sin",
    "sinh",
    "sqrt",
    "tan",
    "tanh",
    "trunc",
)


@cache
def settle_first_calls() -> None:
    """Has every such function called once by one thread, before several threads may be the first to call it.

    oneMKL up to 2024.2 chooses a function's kernel when it is first called. Where two threads are first at
    the same time, one of them may compute its share with a kernel of low precision (1e-4 instead of 1e-7), in
    that call alone: the sines of a process's first batch, and with them whatever is made of that batch. See
    https://github.com/pytorch/pytorch/issues/188792.
    """
    for dtype in (torch.float32, torch.float64):
        # So few numbers are one thread's work.
        numbers = torch.full((8,), 0.5, dtype=dtype)
        for name in VECTOR_MATHS:
            getattr(torch, name)(numbers)
