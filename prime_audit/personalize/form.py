"""The form in which an adapter is handed out: all of it, cut to a rank, or with the modules laid open."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from prime_audit.errors import ConfigError
from prime_audit.modules import LoraModule, export, is_weighted_sum, truncation_error
from prime_audit.personalize.types import Personalisation

FULL: Final = "balanced SVD at full rank: nothing is lost, and no merged module can be read off"
LAID_OPEN: Final = "**concatenation: the file holds the merged modules themselves, as slices**"


def check_form(rank: int | None, concatenate: bool) -> None:
    """Refuses forms that exclude each other, before anything is computed.

    Args:
        rank: Rank to cut to, or None.
        concatenate: Whether the modules are laid open.

    Raises:
        ConfigError: Both are asked for, or the rank is no rank.
    """
    if rank is not None and concatenate:
        raise ConfigError(
            "a concatenation has full rank and cannot be cut", hint="give either a rank or concatenate"
        )
    if rank is not None and rank < 1:
        raise ConfigError(f"rank is {rank}; it must be at least 1")


def in_form(
    found: Personalisation, modules: Mapping[str, LoraModule], rank: int | None, concatenate: bool
) -> tuple[Personalisation, str]:
    """Brings the adapter of a personalisation into the form that is asked for.

    Args:
        found: What a method deployed.
        modules: The modules by sharer.
        rank: Most singular values kept per layer; None keeps all.
        concatenate: Stack the sharers' own factors instead.

    Returns:
        The personalisation with that adapter, and words on the form for the card.

    Raises:
        ConfigError: A concatenation is asked for and the adapter is no weighted sum of modules.
    """
    if found.adapter is None:
        return found, ""
    if concatenate:
        return replace(found, adapter=_laid_open(found, found.adapter, modules)), LAID_OPEN
    if rank is None or rank >= found.adapter.rank:
        return found, FULL
    lost = truncation_error([found.adapter], [1.0], rank)
    words = (
        f"SVD cut to rank {rank}: {lost:.1%} of the change's norm is lost; no merged module can be read off"
    )
    return replace(found, adapter=export([found.adapter], [1.0], rank=rank)), words


def _laid_open(found: Personalisation, adapter: LoraModule, modules: Mapping[str, LoraModule]) -> LoraModule:
    sources = [modules[name] for name in found.sources]
    if not is_weighted_sum(adapter, sources, found.weights):
        raise ConfigError(
            "this merge is no weighted sum of the modules, so it cannot be written as their concatenation",
            hint="leave concatenate out, or use a method that merges in the exact space with one weight each",
        )
    return export(sources, found.weights, form="cat")
