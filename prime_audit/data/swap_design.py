"""Matched swaps of a record (design D2) and of sharers (design D3)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from prime_audit.core import Seeds, digest_json
from prime_audit.data.designs import Holdout
from prime_audit.data.tasks import Item
from prime_audit.data.users import User


@dataclass(frozen=True)
class Swap:
    """One member that a held-out record takes the place of, both by position in the history."""

    member: int
    nonmember: int


@dataclass(frozen=True)
class SwapDesign:
    """Which records are swapped.

    Attributes:
        swaps: By user id, in the order in which they were drawn.
        holdout: The design whose coin decided who is a member; drawn pairs are fair because it is.
    """

    swaps: Mapping[str, tuple[Swap, ...]]
    holdout: Holdout

    def members(self, user: User, index: int) -> tuple[Item, ...]:
        """Return the IN half with one member's place taken by its held-out counterpart."""
        swap = self.swaps[user.id][index]
        flips = self.holdout.flips[user.id]
        order = [place for place, flip in enumerate(flips) if flip]
        return tuple(user.history[swap.nonmember if place == swap.member else place] for place in order)

    def manifest(self) -> dict[str, object]:
        """Return the design without any text, with the digest of all of it."""
        users = [
            {
                "id": user,
                "swaps": [
                    {
                        "out": dict(zip(("id", "sha256"), self.holdout.records[user][s.member], strict=True)),
                        "in": dict(
                            zip(("id", "sha256"), self.holdout.records[user][s.nonmember], strict=True)
                        ),
                    }
                    for s in swaps
                ],
            }
            for user, swaps in self.swaps.items()
        ]
        body: dict[str, object] = {"design": "swaps", "users": users}
        return {**body, "commitment": digest_json(body)}


def draw_swaps(users: Sequence[User], holdout: Holdout, seeds: Seeds, count: int) -> SwapDesign:
    """Draw the pairs of a member and a held-out record of the same user.

    Records that were set aside for calibration are not drawn.

    Args:
        users: Whose records are swapped.
        holdout: Who is a member.
        seeds: Where the draws come from.
        count: Pairs per user; fewer where a user has not so many records on each side.

    Returns:
        The design; no record stands in two pairs.
    """
    drawn = {}
    for user in users:
        urn = seeds.generator("design", "swaps", user.id)
        aside = holdout.calibration.get(user.id, (False,) * len(user.history))
        free = [place for place, out in enumerate(aside) if not out]
        inside = [place for place in free if holdout.flips[user.id][place]]
        outside = [place for place in free if not holdout.flips[user.id][place]]
        pairs = min(count, len(inside), len(outside))
        members = urn.permutation(inside)[:pairs].tolist()
        others = urn.permutation(outside)[:pairs].tolist()
        drawn[user.id] = tuple(Swap(int(m), int(o)) for m, o in zip(members, others, strict=True))
    return SwapDesign(MappingProxyType(drawn), holdout)


@dataclass(frozen=True)
class PoolDesign:
    """Two pools of sharers, of which each is merged without the other.

    Attributes:
        pools: Ids of the sharers of pool A and of pool B, in the order of the data.
    """

    pools: tuple[tuple[str, ...], tuple[str, ...]]

    def manifest(self) -> dict[str, object]:
        """Return the design with the digest of all of it."""
        body: dict[str, object] = {"design": "pools", "a": list(self.pools[0]), "b": list(self.pools[1])}
        return {**body, "commitment": digest_json(body)}


def draw_pools(sharers: Sequence[str], seeds: Seeds) -> PoolDesign:
    """Put half of the sharers in each pool, at random.

    Args:
        sharers: Ids of the sharers.
        seeds: Where the draw comes from.

    Returns:
        The design; pool A is the larger one where their number is odd.
    """
    urn = seeds.generator("design", "pools")
    first = set(urn.permutation(len(sharers))[: (len(sharers) + 1) // 2].tolist())
    pool_a = tuple(sharer for place, sharer in enumerate(sharers) if place in first)
    pool_b = tuple(sharer for place, sharer in enumerate(sharers) if place not in first)
    return PoolDesign((pool_a, pool_b))
