"""The hold-out design: fair, independent, reproducible flips; its manifest; the search for duplicates."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from prime_audit.config import DataConfig
from prime_audit.core import Seeds, digest_json
from prime_audit.data import (
    TASKS,
    Dataset,
    Holdout,
    Item,
    User,
    by_date,
    draw_holdout,
    draw_unseen,
    everything_in,
    generated_dataset,
    make_dataset,
    overlaps,
)
from prime_audit.data.users import Role
from prime_audit.errors import DataError


def user(name: str, role: Role, *texts: tuple[str, str]) -> User:
    items = tuple(Item(f"{name}-{i}", text, answer) for i, (text, answer) in enumerate(texts))
    return User(id=name, role=role, history=items, queries=())


def crowd(count: int, records: int) -> Dataset:
    texts = [(f"text {i}", f"title {i}") for i in range(records)]
    users = [user(f"u{i}", "sharer" if i % 2 else "target", *texts) for i in range(count)]
    return make_dataset(TASKS["lamp-4"], [*users, user("p", "public", *texts)])


def test_members_and_nonmembers_part_the_history() -> None:
    data = crowd(4, 20)
    design = draw_holdout(data, Seeds(1))
    assert set(design.flips) == {"u0", "u1", "u2", "u3"}
    for person in (*data.sharers, *data.targets):
        members, nonmembers = design.members(person), design.nonmembers(person)
        assert sorted([*members, *nonmembers], key=person.history.index) == list(person.history)
        assert members == tuple(
            i for i, flip in zip(person.history, design.flips[person.id], strict=True) if flip
        )
        assert not set(members) & set(nonmembers)
    assert design.members(data.public[0]) == data.public[0].history
    assert design.nonmembers(data.public[0]) == ()


def test_flips_are_fair_and_independent() -> None:
    flips = np.array(list(draw_holdout(crowd(400, 20), Seeds(3)).flips.values()), dtype=float)
    assert flips.mean() == pytest.approx(0.5, abs=4 * 0.5 / np.sqrt(flips.size))
    # The number of members is binomial, not balanced: variance 20/4.
    assert flips.sum(axis=1).var() == pytest.approx(5, rel=0.3)
    correlation = np.corrcoef(flips, rowvar=False)[~np.eye(20, dtype=bool)]
    assert np.abs(correlation).max() < 0.25


def test_flips_depend_on_seed_and_user_alone() -> None:
    small, large = crowd(2, 20), crowd(6, 20)
    first = draw_holdout(small, Seeds(1))
    assert draw_holdout(large, Seeds(1)).flips["u1"] == first.flips["u1"]
    assert draw_holdout(small, Seeds(2)).flips != first.flips
    assert first.flips["u0"] != first.flips["u1"]


def test_the_manifest_commits_without_text() -> None:
    data = make_dataset(TASKS["lamp-4"], [user("a", "sharer", ("the body", "Word"), ("x", "y"))])
    design = draw_holdout(data, Seeds(1))
    manifest = design.manifest()
    prompt = TASKS["lamp-4"].prompt("the body") + " Word"
    users = manifest["users"]
    assert isinstance(users, list)
    assert users[0]["records"][0] == {
        "id": "a-0",
        "sha256": hashlib.sha256(prompt.encode()).hexdigest(),
        "member": design.flips["a"][0],
    }
    assert manifest["commitment"] == digest_json({"design": "holdout", "users": users})
    assert "body" not in json.dumps(manifest)
    flipped = Holdout({"a": tuple(not flip for flip in design.flips["a"])}, design.records)
    assert flipped.manifest()["commitment"] != manifest["commitment"]


def test_calibration_records_are_set_aside_from_sharers_alone() -> None:
    data = crowd(4, 20)
    design = draw_holdout(data, Seeds(1), 0.25)
    for person in data.sharers:
        members, nonmembers = design.set_aside(person)
        aside = {*members, *nonmembers}
        assert len(aside) == len(members) + len(nonmembers) == 5
        assert set(members) <= set(design.members(person))
        assert set(nonmembers) <= set(design.nonmembers(person))
        audited = design.audited(person)
        assert audited == tuple(item for item in person.history if item not in aside)
        # The flips stand beside their own records.
        assert design.audited_flips(person.id) == tuple(i in set(design.members(person)) for i in audited)
    for person in data.targets:
        assert design.audited(person) == person.history
        assert design.audited_flips(person.id) == design.flips[person.id]
        assert design.set_aside(person) == ((), ())
    assert design.set_aside(data.public[0]) == ((), ())


def test_calibration_leaves_the_flips_as_they_are_and_depends_on_the_user_alone() -> None:
    plain, design = draw_holdout(crowd(4, 20), Seeds(1)), draw_holdout(crowd(4, 20), Seeds(1), 0.25)
    assert design.flips == plain.flips
    assert plain.calibration == {}
    assert draw_holdout(crowd(2, 20), Seeds(1), 0.25).calibration["u1"] == design.calibration["u1"]
    assert design.calibration["u1"] != design.calibration["u3"]
    assert draw_holdout(crowd(4, 20), Seeds(2), 0.25).calibration != design.calibration


def test_what_is_set_aside_knows_nothing_of_the_flips() -> None:
    design = draw_holdout(crowd(800, 20), Seeds(3), 0.3)
    users = list(design.calibration)
    flips = np.array([design.flips[user] for user in users], dtype=float)
    aside = np.array([design.calibration[user] for user in users])
    assert (aside.sum(axis=1) == 6).all()
    # 2400 fair coins: four standard errors.
    assert flips[aside].mean() == pytest.approx(0.5, abs=4 * 0.5 / np.sqrt(aside.sum()))
    assert aside.mean(axis=0) == pytest.approx(0.3, abs=4 * np.sqrt(0.21 / len(users)))


def test_the_manifest_lists_what_is_set_aside() -> None:
    data = crowd(2, 8)
    plain, design = draw_holdout(data, Seeds(1)), draw_holdout(data, Seeds(1), 0.25)
    users = design.manifest()["users"]
    assert isinstance(users, list)
    listed = {
        entry["id"]: [record.get("calibration", False) for record in entry["records"]] for entry in users
    }
    assert listed == {"u0": [False] * 8, "u1": list(design.calibration["u1"])}
    assert sum(listed["u1"]) == 2
    assert "calibration" not in json.dumps(plain.manifest())
    assert design.manifest()["commitment"] != plain.manifest()["commitment"]
    assert draw_holdout(data, Seeds(1), 0.0).manifest() == plain.manifest()


LONG = "the band came back to town and played every old song that we knew by heart"


def find(*users: User, flips: Mapping[str, tuple[bool, ...]], task: str = "lamp-4") -> list[tuple[str, ...]]:
    return [tuple(hit) for hit in overlaps(Holdout(flips, {}), make_dataset(TASKS[task], users))]


def test_exact_and_near_duplicates_are_found() -> None:
    near = LONG.replace("town", "TOWN,").replace("heart", "ear")
    a = user(
        "a", "sharer", (LONG, "One"), (near, "Two"), ("another thing entirely is told here today", "Three")
    )
    assert find(a, flips={"a": (True, False, False)}) == [("a", "a-1", "a-0", "a")]
    assert find(a, flips={"a": (True, True, False)}) == []
    assert find(a, flips={"a": (False, False, False)}) == []


def test_a_duplicate_that_is_not_audited_blurs_nothing() -> None:
    a = user("a", "sharer", (LONG, "One"), (LONG, "Two"), (LONG, "Three"))
    data = make_dataset(TASKS["lamp-4"], [a])
    design = Holdout({"a": (True, False, False)}, {}, {"a": (False, True, False)})
    assert [hit.nonmember for hit in overlaps(design, data)] == ["a-2"]


def test_the_published_protocol_compares_sharers_with_one_another() -> None:
    a, b = user("a", "sharer", (LONG, "One"), (LONG, "One")), user("b", "sharer", (LONG, "Two"))
    t = user("t", "target", (LONG, "Three"))
    design = everything_in(make_dataset(TASKS["lamp-4"], [a, b, t]))
    found = overlaps(design, make_dataset(TASKS["lamp-4"], [a, b, t]))
    # A sharer's own repetitions are on one side, and a target's records on none.
    assert [(hit.user, hit.nonmember, hit.member_user) for hit in found] == [
        ("a", "a-0", "b"),
        ("a", "a-1", "b"),
        ("b", "b-0", "a"),
        ("b", "b-0", "a"),
    ]


def test_a_query_that_repeats_a_record_is_no_known_nonmember() -> None:
    fresh, near = Item("q0", "something that nobody has ever said before", "New"), Item("q1", LONG, "Other")
    target = replace(user("t", "target", ("a plain text", "Plain")), queries=(fresh, near))
    data = make_dataset(TASKS["lamp-4"], [target, user("a", "sharer", (LONG, "One"))])
    found = draw_unseen(data, Seeds(1), shots=1, population=5)
    assert (found.shots, found.population, found.repeats) == ((fresh,), (), 1)


def test_other_users_and_public_records_count_as_trained_on() -> None:
    a, b, p = (
        user("a", "sharer", (LONG, "A")),
        user("b", "sharer", (LONG, "A")),
        user("p", "public", (LONG, "A")),
    )
    assert find(p, a, b, flips={"a": (False,), "b": (True,)}) == [
        ("a", "a-0", "p-0", "p"),
        ("a", "a-0", "b-0", "b"),
    ]


def test_equal_answers_count_for_free_text_alone() -> None:
    a = user(
        "a", "sharer", ("one long text about a river and its boats", "4"), ("some other words on hills", "4!")
    )
    flips = {"a": (True, False)}
    assert find(a, flips=flips) == [("a", "a-1", "a-0", "a")]
    assert find(a, flips=flips, task="lamp-3") == []


def test_texts_without_words_do_not_match_each_other() -> None:
    a = user("a", "sharer", ("!!!", "..."), ("???", "--"))
    assert find(a, flips={"a": (True, False)}) == []


def test_a_half_of_the_runs_is_the_border() -> None:
    # 8 words give 4 runs; 6 shared words give 2 common runs: 2 / (4 + 4 - 2) = 1/3. 7 give 3: 3/5.
    words = [f"w{i}" for i in range(8)]
    below, above = [*words[:6], "x", "y"], [*words[:7], "x"]
    a = user("a", "sharer", (" ".join(words[:7]), words[7]), (" ".join(below[:7]), below[7]))
    b = user("b", "sharer", (" ".join(above[:7]), above[7]))
    assert find(a, b, flips={"a": (True, False), "b": (False,)}) == [("b", "b-0", "a-0", "a")]


def test_generated_users_fit_the_config() -> None:
    data = generated_dataset(DataConfig(sharers=4, targets=3, max_input_words=5), TASKS["lamp-4"], Seeds(1))
    assert (len(data.sharers), len(data.targets)) == (4, 3)
    assert len(data.public) > 0
    items = [item for person in data.users for item in (*person.history, *person.queries)]
    assert max(len(item.input.split()) for item in items) == 5
    assert generated_dataset(DataConfig(), TASKS["lamp-4"], Seeds(1)).digest != data.digest
    with pytest.raises(DataError, match="only write headlines"):
        generated_dataset(DataConfig(), TASKS["lamp-3"], Seeds(1))


class TestCompared:
    """Records that chose an epoch were not trained on: neither members nor non-members."""

    @staticmethod
    def design(dates: list[str | None], flips: str) -> tuple[Holdout, User]:
        history = tuple(Item(f"i{n}", "text", "title", date) for n, date in enumerate(dates))
        person = User(id="u", role="target", history=history, queries=())
        return Holdout({"u": tuple(side == "I" for side in flips)}, {}), person

    @pytest.mark.parametrize(
        ("flips", "unused", "kept"),
        [
            ("IOIOIO", 0, "111111"),
            ("IOIOIO", 1, "111100"),
            # A held-out record older than the oldest of them stays, as do all members before it.
            ("IOIOIO", 2, "110000"),
            ("OIIOOO", 1, "110000"),
            ("OOOOOO", 0, "111111"),
        ],
    )
    def test_held_out_records_of_the_same_time_go_with_them(self, flips: str, unused: int, kept: str) -> None:
        design, person = self.design([f"2015-01-0{n + 1}" for n in range(6)], flips)
        assert design.compared(person, unused) == tuple(one == "1" for one in kept)

    def test_the_latest_are_those_of_training_whatever_the_order_of_the_file(self) -> None:
        design, person = self.design(["2015", "2011", None, "2015-03", "2012", "2011"], "IIOIOI")
        # From the oldest: 2 (no date, O), 1 (I), 5 (I), 4 (O), 0 (I), 3 (I).
        assert design.compared(person, 1) == (True, True, True, False, True, True)
        assert design.compared(person, 3) == (False, True, True, False, False, False)
        members = design.members(person)
        latest = [members[place].id for place in by_date(members)][-3:]
        assert latest == ["i5", "i0", "i3"]

    def test_flips_of_what_is_left_are_a_fair_draw(self) -> None:
        """Given how many members are left, each of those records is as likely one of them as any other."""
        _, person = self.design([f"20{n + 10}" for n in range(8)], "IIIIOOOO")
        found: dict[int, list[int]] = {}
        for number in range(256):
            flips = tuple(bool(number >> n & 1) for n in range(8))
            if (count := sum(flips)) < 2:
                continue
            kept = Holdout({"u": flips}, {}).compared(person, round(0.4 * count))
            size = sum(kept)
            assert kept == (True,) * size + (False,) * (8 - size)
            group = found.setdefault(100 * size + sum(flips[:size]), [0] * size)
            for place in range(size):
                group[place] += flips[place]
        assert all(len(set(group)) <= 1 for group in found.values())
