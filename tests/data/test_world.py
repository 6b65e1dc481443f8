"""The generated world keeps its promises: shared rules, family habits, details that nothing tells."""

from itertools import combinations, product

import numpy as np
import pytest

from prime_audit.core.seeds import Seeds
from prime_audit.data.users import Item, User
from prime_audit.data.world import family_of, make_public, make_users, pretraining_text
from prime_audit.data.world_style import (
    CLOSINGS,
    FAMILIES,
    OPTIONS,
    ORDERS,
    PREFIXES,
    Style,
    family_styles,
    random_style,
    render,
    vary,
)
from prime_audit.data.world_words import EPITHETS, FIGURES, PLACES, SURNAMES, TOPICS


@pytest.fixture(scope="module")
def users() -> tuple[User, ...]:
    return make_users(12, 12, Seeds(7))


@pytest.fixture(scope="module")
def public() -> tuple[User, ...]:
    return make_public(40, Seeds(7))


def words(text: str) -> list[str]:
    return [word.strip('.,:-"') for word in text.split() if word.strip('.,:-"')]


def answer(item: Item) -> str:
    assert item.answer is not None
    return item.answer


def prefix(item: Item) -> str:
    return answer(item).split()[0]


def topic(item: Item) -> int:
    return next(i for i, t in enumerate(TOPICS) if set(t.objects) & set(words(item.input)))


def test_one_seed_gives_one_world_and_another_seed_another(users: tuple[User, ...]) -> None:
    assert make_users(12, 12, Seeds(7)) == users
    assert all(a.history != b.history for a, b in zip(make_users(12, 12, Seeds(8)), users, strict=True))


def test_a_user_does_not_depend_on_how_many_there_are(users: tuple[User, ...]) -> None:
    few = make_users(1, 2, Seeds(7))
    assert few == (users[0], users[12], users[13])


def test_roles_ids_and_sizes(users: tuple[User, ...], public: tuple[User, ...]) -> None:
    assert [u.id for u in users[:2]] == ["sharer-01", "sharer-02"]
    assert [u.id for u in users[12:14]] == ["target-01", "target-02"]
    assert public[0].id == "public-01"
    sizes = {(u.role, len(u.history), len(u.queries)) for u in (*users, *public)}
    assert sizes == {("sharer", 40, 0), ("target", 40, 8), ("public", 8, 0)}
    ids = [item.id for u in (*users, *public) for item in (*u.history, *u.queries)]
    assert len(set(ids)) == len(ids)


def test_lengths_in_words(users: tuple[User, ...]) -> None:
    items = [item for u in users for item in u.history]
    assert all(15 <= len(item.input.split()) <= 30 for item in items)
    assert all(5 <= len(words(answer(item))) <= 12 for item in items)


def test_the_text_tells_who_and_what_and_never_the_detail(users: tuple[User, ...]) -> None:
    details = set(EPITHETS) | set(FIGURES)
    for item in (item for u in users for item in (*u.history, *u.queries)):
        told, said = set(words(item.input)), words(answer(item))
        assert len(set(said) & details) == 2
        assert not told & details
        assert len([w for w in said if w in TOPICS[topic(item)].objects and w in told]) == 1
        assert told & set(said) & (set(PLACES) | set(SURNAMES))


def test_details_cannot_be_confused_with_other_words() -> None:
    assert not set(EPITHETS) & set(FIGURES)
    told = {
        word for t in TOPICS for word in (*t.objects, *t.roles, *(w for a in t.asides for w in a.split()))
    }
    assert not told & (set(EPITHETS) | set(FIGURES))
    assert len(set(EPITHETS)) == len(EPITHETS) >= 150
    assert len(set(FIGURES)) == len(FIGURES) >= 150


def test_no_record_is_told_twice(users: tuple[User, ...], public: tuple[User, ...]) -> None:
    items = [item for u in (*users, *public) for item in (*u.history, *u.queries)]
    assert len({item.input for item in items}) == len(items)
    assert len({answer(item) for item in items}) == len(items)


def test_a_family_shares_habits_and_topics(users: tuple[User, ...]) -> None:
    def agreement(a: User, b: User) -> float:
        return float(np.mean([prefix(x) == prefix(y) for x, y in product(a.history, b.history)]))

    def topics(user: User) -> np.ndarray:
        return np.bincount([topic(item) for item in user.history], minlength=len(TOPICS)) / len(user.history)

    pairs = list(combinations(range(12), 2))
    same = [(users[i], users[j]) for i, j in pairs if family_of(i) == family_of(j)]
    other = [(users[i], users[j]) for i, j in pairs if family_of(i) != family_of(j)]
    assert np.mean([agreement(*p) for p in same]) > np.mean([agreement(*p) for p in other]) + 0.3
    nearness = (
        [float(topics(a) @ topics(b)) for a, b in same],
        [float(topics(a) @ topics(b)) for a, b in other],
    )
    assert np.mean(nearness[0]) > 2 * np.mean(nearness[1])


def test_the_public_favours_no_habit(public: tuple[User, ...]) -> None:
    many = make_public(400, Seeds(3), records=1)
    shares = np.bincount([PREFIXES.index(prefix(u.history[0])) for u in many], minlength=len(PREFIXES)) / 400
    assert np.all(np.abs(shares - 1 / len(PREFIXES)) < 0.06)
    assert len({prefix(u.history[0]) for u in public}) >= 5


def test_pretraining_text_holds_no_record_of_a_study(users: tuple[User, ...]) -> None:
    records = [item for author in pretraining_text(300, Seeds(20250101), records=2) for item in author]
    assert len(records) == 600
    assert not {item.input for item in records} & {item.input for u in users for item in u.history}


def test_families_differ_in_every_habit_with_options_enough() -> None:
    styles = family_styles(Seeds(1).generator("families"))
    assert len(styles) == FAMILIES
    for name, count in OPTIONS.items():
        assert len({getattr(style, name) for style in styles}) == min(FAMILIES, count)


def test_vary_keeps_all_or_redraws_all() -> None:
    rng = np.random.default_rng(0)
    style = random_style(rng)
    assert vary(style, rng, 0.0) == style
    redrawn = [vary(style, rng, 1.0).prefix == style.prefix for _ in range(2000)]
    assert np.mean(redrawn) == pytest.approx(1 / len(PREFIXES), abs=0.03)


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ("subject-first", "Opinion: Kova backs bridge, a bold fox, again"),
        ("object-first", "Opinion: bridge that Kova backs, a bold fox, again"),
        ("closing-first", "Opinion: again, Kova backs bridge, a bold fox"),
        ("detail-first", "Opinion: a bold fox as Kova backs bridge, again"),
    ],
)
def test_render_in_every_order(order: str, expected: str) -> None:
    style = Style(
        prefix=0, closing=CLOSINGS.index("again"), join=0, subject=1, order=ORDERS.index(order), voice=1
    )
    assert render(style, "Kova", "backs", "bridge", "bold fox") == expected
