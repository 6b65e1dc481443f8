"""Merges that need every entry of ΔW: trimming, sign election, random dropping; and the way back to a LoRA.

Everything works on one layer at a time, so memory holds one layer's dense change per module.
"""

from collections.abc import Callable, Iterable

import torch
from scipy.linalg import eigh
from torch import Tensor

from prime_audit.modules.lora import LoraModule

# An absolute float32 has 31 bits; they are counted in two steps, high half first.
_LOW_BITS = 16
_LOW_MASK = (1 << _LOW_BITS) - 1


def change(module: LoraModule, layer: str) -> Tensor:
    """Returns a module's change ``ΔW = scaling · B · A`` of one layer.

    Args:
        module: The module.
        layer: The layer's name.

    Returns:
        Shape ``(d_out, d_in)``, float32.
    """
    a, b = module.factors[layer]
    return module.scaling * (b.float() @ a.float())


def trim_threshold(parts: Callable[[], Iterable[Tensor]], density: float) -> float:
    """Finds the magnitude from which on the largest ``density`` of all entries lie, over many tensors.

    The order of non-negative floats is that of their bits, so two passes that count bits find the exact
    value without ever holding all entries.

    Args:
        parts: Returns the tensors, float32; it is called twice and must give the same values.
        density: The share of entries that stay, above 0 and at most 1; ``floor(density · n)``, at least one.

    Returns:
        The magnitude of the smallest entry that stays. Entries that tie with it stay too.
    """
    high = torch.zeros(1 << (31 - _LOW_BITS), dtype=torch.int64)
    for part in parts():
        high += torch.bincount(_bits(part) >> _LOW_BITS, minlength=len(high))
    wanted = max(1, int(density * int(high.sum())))
    block, wanted = _place(high, wanted)
    low = torch.zeros(1 << _LOW_BITS, dtype=torch.int64)
    for part in parts():
        bits = _bits(part)
        low += torch.bincount(bits[bits >> _LOW_BITS == block] & _LOW_MASK, minlength=len(low))
    exact, _ = _place(low, wanted)
    bits = torch.tensor([block << _LOW_BITS | exact], dtype=torch.int32)
    return float(bits.view(torch.float32))


def _bits(part: Tensor) -> Tensor:
    return part.float().abs().flatten().view(torch.int32)


def _place(counts: Tensor, wanted: int) -> tuple[int, int]:
    """Returns the bin that holds the ``wanted``-th largest entry, and its place from the top of that bin."""
    from_top = counts.flip(0).cumsum(0)
    position = int(torch.searchsorted(from_top, torch.tensor(wanted)))
    before = int(from_top[position - 1]) if position else 0
    return len(counts) - 1 - position, wanted - before


def trim(tensor: Tensor, threshold: float) -> Tensor:
    """Sets entries below a magnitude to zero (TIES, arXiv 2306.01708, section 4, step 1).

    Args:
        tensor: A dense change.
        threshold: From `trim_threshold`.

    Returns:
        The trimmed tensor.
    """
    return torch.where(tensor.abs() >= threshold, tensor, 0.0)


def elect_signs(changes: Tensor) -> Tensor:
    """Elects for each entry the sign with the larger total magnitude (TIES, step 2).

    Args:
        changes: Dense changes, shape ``(modules, d_out, d_in)``.

    Returns:
        Shape ``(d_out, d_in)``: -1, 1, or 0 where the changes cancel exactly or are all zero.
    """
    return changes.sum(dim=0).sign()


def disjoint_mean(changes: Tensor, signs: Tensor) -> Tensor:
    """Averages for each entry the changes that have its elected sign (TIES, step 3).

    Args:
        changes: Dense changes, shape ``(modules, d_out, d_in)``.
        signs: From `elect_signs`.

    Returns:
        Shape ``(d_out, d_in)``; zero where no change has the sign, and where the sign is zero.
    """
    agree = (changes.sign() == signs) & (changes != 0)
    return (changes * agree).sum(dim=0) / agree.sum(dim=0).clamp(min=1)


def drop(tensor: Tensor, density: float, generator: torch.Generator) -> Tensor:
    """Keeps each entry with probability ``density`` and divides what stays by it (DARE, arXiv 2311.03099).

    The expectation is the tensor itself.

    Args:
        tensor: A dense change.
        density: The probability of staying, above 0 and at most 1.
        generator: Draws the mask.

    Returns:
        The thinned tensor.
    """
    mask = torch.bernoulli(torch.full_like(tensor, density), generator=generator)
    return tensor * mask / density


def low_rank(changes: Iterable[tuple[str, Tensor]], rank: int) -> tuple[LoraModule, float]:
    """Writes dense changes as a module, cut to a rank by the singular value decomposition.

    The cut is the best one of its rank in each layer (Eckart and Young), and the factors are balanced as in
    `export`.

    Args:
        changes: Layer names with their dense changes ``(d_out, d_in)``; read one after another.
        rank: Rank of every layer, padded with zeros where a layer is smaller.

    Returns:
        A module with scaling 1; and the relative error ``‖ΔW - BA‖ / ‖ΔW‖`` over all layers (Frobenius), 0
        if ΔW is zero.
    """
    factors: dict[str, tuple[Tensor, Tensor]] = {}
    lost = total = 0.0
    for name, dense in changes:
        a, b = _cut(dense.double(), rank)
        lost += float((dense.double() - b @ a).square().sum())
        total += float(dense.double().square().sum())
        factors[name] = (a.float().contiguous(), b.float().contiguous())
    module = LoraModule(rank=rank, alpha=float(rank), rslora=False, factors=factors)
    return module, (lost / total) ** 0.5 if total else 0.0


def _cut(dense: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """Returns A ``(rank, d_in)`` and B ``(d_out, rank)``, balanced."""
    if dense.shape[0] < dense.shape[1]:
        b, a = _cut(dense.T, rank)
        return a.T, b.T
    # A few eigenvectors of the smaller Gram matrix cost a fraction of a full SVD.
    gram = (dense.T @ dense).numpy()
    wanted = (max(0, len(gram) - rank), len(gram) - 1)
    vectors = torch.from_numpy(eigh(gram, subset_by_index=wanted)[1]).flip(1)
    # The sign of a singular pair is free; fixing it makes equal merges equal files.
    largest = vectors.gather(0, vectors.abs().argmax(dim=0, keepdim=True))
    vectors = vectors * torch.where(largest < 0, -1.0, 1.0)
    images = dense @ vectors
    root = images.norm(dim=0).sqrt()
    missing = rank - len(root)
    a = torch.nn.functional.pad(root[:, None] * vectors.T, (0, 0, 0, missing))
    b = torch.nn.functional.pad(images / root.clamp(min=torch.finfo(root.dtype).tiny), (0, missing))
    return a, b
