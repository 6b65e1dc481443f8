"""Shadow sharers (design D4): half-splits of whole histories, in complementary pairs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from prime_audit.core import Seeds, digest_json
from prime_audit.data.designs import Holdout
from prime_audit.data.tasks import Item
from prime_audit.data.users import User


@dataclass(frozen=True, eq=False)
class ShadowDesign:
    """Which records each shadow of a user is trained on.

    Attributes:
        keep: By user id ``(M, n)`` over the whole history; True is IN. Rows ``2 j`` and ``2 j + 1`` are each
            other's complement, so that every record is IN exactly M / 2 times.
        holdout: The design of the audited modules, whose flips know nothing of these.
    """

    keep: Mapping[str, NDArray[np.bool_]]
    holdout: Holdout

    def members(self, user: User, shadow: int) -> tuple[Item, ...]:
        """Return the items that one shadow of a user is trained on."""
        kept = self.keep[user.id][shadow]
        return tuple(item for item, inside in zip(user.history, kept, strict=True) if inside)

    def audited(self, user: str) -> NDArray[np.bool_]:
        """Return ``(M, n)`` over the records that the audit scores, in their order."""
        aside = self.holdout.calibration.get(user)
        keep = self.keep[user]
        return keep if aside is None else keep[:, ~np.array(aside, dtype=bool)]

    def manifest(self) -> dict[str, object]:
        """Return the design without any text: ids, hashes and who is IN, with the digest of all of it."""
        users = [
            {
                "id": user,
                "records": [
                    {"id": item, "sha256": digest, "shadows": np.flatnonzero(keep[:, place]).tolist()}
                    for place, (item, digest) in enumerate(self.holdout.records[user])
                ],
            }
            for user, keep in self.keep.items()
        ]
        body: dict[str, object] = {"design": "shadows", "users": users}
        return {**body, "commitment": digest_json(body)}


def draw_shadows(users: Sequence[User], holdout: Holdout, seeds: Seeds, count: int) -> ShadowDesign:
    """Split each history in halves, again and again.

    Args:
        users: Whose shadows are trained; a user's splits do not depend on who else is there.
        holdout: The design of the audited modules.
        seeds: Where the splits come from.
        count: Number of shadows, even.

    Returns:
        The design.

    Raises:
        ValueError: The count is odd.
    """
    if count % 2:
        raise ValueError(f"count is {count}; shadows come in pairs")
    keep = {}
    for user in users:
        urn = seeds.generator("design", "shadows", user.id)
        rows = []
        for _ in range(count // 2):
            half = np.zeros(len(user.history), dtype=bool)
            half[urn.permutation(len(half))[: len(half) // 2]] = True
            rows += [half, ~half]
        keep[user.id] = np.array(rows)
    return ShadowDesign(MappingProxyType(keep), holdout)
