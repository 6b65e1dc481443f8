"""Whose members stand before a record when another sharer of the merge attacks."""

import pytest

from prime_audit.study.passes import next_sharer


@pytest.mark.parametrize(
    ("merged", "user", "expected"),
    [
        (("a", "b", "c"), "a", "b"),
        (("a", "b", "c"), "c", "a"),
        # A sharer of weight 0, or one of the pool who was not selected, is attacked by somebody who is in it.
        (("a", "b"), "z", "a"),
        (("a",), "a", None),
        (("a",), "z", "a"),
        ((), "a", None),
    ],
)
def test_the_next_sharer_in_the_merge(merged: tuple[str, ...], user: str, expected: str | None) -> None:
    assert next_sharer(merged, user) == expected
