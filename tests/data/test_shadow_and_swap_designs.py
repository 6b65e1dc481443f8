"""Shadow, swap and pool designs: fair, disjoint, committed, and blind to the audited flips."""

import numpy as np
import pytest

from prime_audit.core import Seeds
from prime_audit.data import (
    Holdout,
    Item,
    User,
    draw_pools,
    draw_shadows,
    draw_swaps,
)


def person(name: str, records: int) -> User:
    items = tuple(Item(id=f"{name}-{i}", input=f"input {i}", answer=f"answer {i}") for i in range(records))
    return User(id=name, role="sharer", history=items, queries=(), profile_text=None)


def holdout(*users: User, seed: int = 0, aside: int = 0) -> Holdout:
    rng = np.random.default_rng(seed)
    return Holdout(
        flips={u.id: tuple(bool(f) for f in rng.integers(0, 2, len(u.history))) for u in users},
        records={u.id: tuple((i.id, f"hash of {i.id}") for i in u.history) for u in users},
        calibration={u.id: tuple(i < aside for i in range(len(u.history))) for u in users} if aside else {},
    )


class TestShadows:
    def test_every_record_is_in_exactly_half_of_the_shadows(self) -> None:
        users = [person("a", 11), person("b", 20)]
        design = draw_shadows(users, holdout(*users), Seeds(1), 8)
        for user in users:
            assert design.keep[user.id].shape == (8, len(user.history))
            assert (design.keep[user.id].sum(axis=0) == 4).all()

    def test_shadows_come_in_complementary_pairs(self) -> None:
        user = person("a", 9)
        keep = draw_shadows([user], holdout(user), Seeds(1), 10).keep["a"]
        assert (keep[0::2] == ~keep[1::2]).all()
        assert len({row.tobytes() for row in keep}) > 5

    def test_members_are_the_kept_items(self) -> None:
        user = person("a", 6)
        design = draw_shadows([user], holdout(user), Seeds(2), 8)
        first, second = design.members(user, 0), design.members(user, 1)
        assert {item.id for item in (*first, *second)} == {item.id for item in user.history}
        assert not set(first) & set(second)

    def test_the_splits_do_not_know_the_flips(self) -> None:
        # Over many users the share of kept records is one half among members and non-members alike.
        users = [person(f"u{i}", 40) for i in range(200)]
        flips = holdout(*users)
        design = draw_shadows(users, flips, Seeds(3), 8)
        kept = np.concatenate([design.keep[u.id][0] for u in users])
        member = np.concatenate([np.array(flips.flips[u.id]) for u in users])
        assert kept[member].mean() == pytest.approx(0.5, abs=0.03)
        assert kept[~member].mean() == pytest.approx(0.5, abs=0.03)

    def test_a_users_splits_do_not_depend_on_the_others(self) -> None:
        one, two = person("a", 12), person("b", 12)
        alone = draw_shadows([one], holdout(one), Seeds(4), 8).keep["a"]
        beside = draw_shadows([two, one], holdout(one, two), Seeds(4), 8).keep["a"]
        assert (alone == beside).all()

    def test_what_was_set_aside_is_no_audited_record(self) -> None:
        user = person("a", 10)
        design = draw_shadows([user], holdout(user, aside=3), Seeds(5), 8)
        assert design.audited("a").shape == (8, 7)
        assert (design.audited("a") == design.keep["a"][:, 3:]).all()

    def test_the_manifest_commits_to_who_is_in_and_holds_no_text(self) -> None:
        user = person("a", 4)
        first = draw_shadows([user], holdout(user), Seeds(6), 8).manifest()
        other = draw_shadows([user], holdout(user), Seeds(7), 8).manifest()
        assert first["commitment"] != other["commitment"]
        assert "answer" not in str(first)
        users = first["users"]
        assert isinstance(users, list)
        assert all(len(record["shadows"]) == 4 for record in users[0]["records"])

    def test_an_odd_number_is_refused(self) -> None:
        with pytest.raises(ValueError, match="shadows come in pairs"):
            draw_shadows([], holdout(), Seeds(0), 7)


class TestSwaps:
    def test_a_member_makes_room_for_a_held_out_record_in_its_place(self) -> None:
        user = person("a", 16)
        flips = holdout(user)
        design = draw_swaps([user], flips, Seeds(1), 3)
        before = flips.members(user)
        for index, swap in enumerate(design.swaps["a"]):
            assert flips.flips["a"][swap.member]
            assert not flips.flips["a"][swap.nonmember]
            after = design.members(user, index)
            assert len(after) == len(before)
            changed = [place for place, (x, y) in enumerate(zip(before, after, strict=True)) if x != y]
            assert [before[place].id for place in changed] == [user.history[swap.member].id]
            assert [after[place].id for place in changed] == [user.history[swap.nonmember].id]

    def test_no_record_stands_in_two_swaps(self) -> None:
        user = person("a", 30)
        swaps = draw_swaps([user], holdout(user), Seeds(2), 9).swaps["a"]
        places = [place for swap in swaps for place in (swap.member, swap.nonmember)]
        assert len(set(places)) == len(places) == 18

    def test_there_are_fewer_where_a_side_is_short_and_none_of_what_was_set_aside(self) -> None:
        user = person("a", 8)
        swaps = draw_swaps([user], holdout(user, aside=5), Seeds(3), 9).swaps["a"]
        assert all(min(swap.member, swap.nonmember) >= 5 for swap in swaps)
        assert len(swaps) <= 1

    def test_the_manifest_names_both_records(self) -> None:
        user = person("a", 10)
        design = draw_swaps([user], holdout(user), Seeds(4), 2)
        found = design.manifest()
        assert set(found) == {"design", "users", "commitment"}
        assert "hash of a-" in str(found)


class TestPools:
    def test_each_sharer_is_in_one_pool(self) -> None:
        names = [f"s{i}" for i in range(9)]
        first, second = draw_pools(names, Seeds(1)).pools
        assert (len(first), len(second)) == (5, 4)
        assert sorted([*first, *second]) == names

    def test_the_draw_is_fair_and_committed(self) -> None:
        names = [f"s{i}" for i in range(4)]
        first = [draw_pools(names, Seeds(seed)).pools[0] for seed in range(400)]
        assert sum("s0" in pool for pool in first) / 400 == pytest.approx(0.5, abs=0.1)
        assert len({str(draw_pools(names, Seeds(seed)).manifest()["commitment"]) for seed in range(30)}) > 3
