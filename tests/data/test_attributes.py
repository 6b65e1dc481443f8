"""What kind of person a user is: families, labels and thirds of lengths."""

from dataclasses import replace

from prime_audit.config import DataConfig
from prime_audit.core import Seeds
from prime_audit.data import TASKS, Item, User, attributes_of, generated_dataset, make_dataset


def person(name: str, role: str, *answers: str) -> User:
    items = tuple(Item(f"{name}-{place}", "text", answer) for place, answer in enumerate(answers))
    return User(name, "sharer" if role == "sharer" else "target", items, ())


def test_generated_users_go_round_the_families() -> None:
    dataset = generated_dataset(DataConfig(sharers=6, targets=5), TASKS["lamp-4"], Seeds(1))
    family = attributes_of(dataset, generated=True)["family"]
    assert [family[f"sharer-{place:02d}"] for place in range(1, 7)] == ["1", "2", "3", "4", "1", "2"]
    assert [family[f"target-{place:02d}"] for place in range(1, 6)] == ["1", "2", "3", "4", "1"]
    assert "family" not in attributes_of(dataset, generated=False)


def test_lengths_are_cut_where_the_sharers_thirds_are() -> None:
    words = ("a", "a b", "a b c", "a b c d", "a b c d e", "a b c d e f")
    sharers = [person(f"s{len(text.split())}", "sharer", text, text) for text in words]
    targets = [person("t1", "target", "a"), person("t2", "target", "a b c", "a b c d e f g h i j k l")]
    found = attributes_of(make_dataset(TASKS["lamp-4"], [*sharers, *targets]), generated=False)
    assert list(found) == ["length"]
    kinds = [found["length"][user] for user in ("s1", "s2", "s3", "s4", "s5", "s6", "t1", "t2")]
    assert kinds == ["short", "short", "medium", "medium", "long", "long", "short", "long"]


def test_equal_lengths_are_one_class() -> None:
    users = [person(f"s{place}", "sharer", "a b") for place in range(4)]
    found = attributes_of(make_dataset(TASKS["lamp-4"], users), generated=False)["length"]
    assert set(found.values()) == {"short"}


def test_the_most_frequent_label_and_the_first_in_order_of_several() -> None:
    task = TASKS["lamp-3"]
    users = [person("ann", "sharer", "5", "4", "5"), person("bob", "target", "4", "2")]
    dataset = make_dataset(task, users)
    assert attributes_of(dataset, generated=False) == {"label": {"ann": "5", "bob": "2"}}
    first = replace(task, labels=tuple(reversed(task.labels)))
    assert attributes_of(replace(dataset, task=first), generated=False)["label"]["bob"] == "4"


def test_a_history_of_another_form_than_its_queries_is_what_counts() -> None:
    """Past items of LaMP-1 are texts, though its queries ask for a choice."""
    assert list(
        attributes_of(make_dataset(TASKS["lamp-1"], [person("a", "sharer", "x y")]), generated=False)
    ) == ["length"]
