"""Prompts that hold words about a person and past items, as far as the model's context takes them."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from prime_audit.data import Item, Task
from prime_audit.models import LanguageModel, count_tokens, first_tokens, prompt_room

Pick = Callable[[Item], tuple[Item, ...]]


@dataclass(frozen=True)
class Fit:
    """What became of what one prompt was to show.

    Attributes:
        wanted: Number of items that were retrieved.
        shown: Number of them that the prompt holds; the others did not fit into the context.
        shortened: Number of shown items that lost their end to ``max_item_tokens``.
        profile_cut: Whether the profile lost its end, or all of itself, to the context.
    """

    wanted: int = 0
    shown: int = 0
    shortened: int = 0
    profile_cut: bool = False


class PersonalPrompt:
    """Builds prompts: the profile first, then the items, the best one last, then the task's own prompt."""

    def __init__(
        self,
        lm: LanguageModel,
        task: Task,
        *,
        pick: Pick | None = None,
        profile: str = "",
        max_item_tokens: int | None = None,
    ) -> None:
        """Prepares a person's prompts.

        Args:
            lm: The model that reads them.
            task: The task.
            pick: Finds the items for a query, in ascending order of rank; None for no items.
            profile: Words about the person; empty for none.
            max_item_tokens: Most tokens of an item's input and answer together; None for no limit.
        """
        self._lm = lm
        self._task = task
        self._pick = pick
        self._profile = profile
        self._most = max_item_tokens
        self._made: dict[Item, tuple[str, Fit]] = {}

    def __call__(self, query: Item) -> str:
        """Returns the prompt of a query."""
        return self._make(query)[0]

    def fit(self, query: Item) -> Fit:
        """Returns what the prompt of a query had room for."""
        return self._make(query)[1]

    def _make(self, query: Item) -> tuple[str, Fit]:
        if query not in self._made:
            self._made[query] = self._fitted(query)
        return self._made[query]

    def _fitted(self, query: Item) -> tuple[str, Fit]:
        """Leaves out the lowest-ranked items until the prompt fits, and only then the profile's end."""
        picked = self._pick(query) if self._pick is not None else ()
        items = tuple(shortened(self._lm, item, self._most) for item in picked)
        cut = [short != item for short, item in zip(items, picked, strict=True)]
        room = prompt_room(self._lm, self._task)
        left_out, profile = 0, self._profile
        prompt = self._text(query, items, profile)
        while self._size(prompt) > room and left_out < len(items):
            left_out += 1
            prompt = self._text(query, items[left_out:], profile)
        too_long = self._size(prompt) - room
        if too_long > 0 and profile:
            most = max(0, self._size(profile) - too_long)
            profile = first_tokens(self._lm, profile, most)
            prompt = self._text(query, (), profile)
        shown = len(items) - left_out
        return prompt, Fit(len(items), shown, sum(cut[left_out:]), profile != self._profile)

    def _text(self, query: Item, items: tuple[Item, ...], profile: str) -> str:
        about = f"About this person: {profile}\n\n" if profile else ""
        return about + self._task.prompt(query.input, items)

    def _size(self, text: str) -> int:
        return count_tokens(self._lm, [text])[0]


def shortened(lm: LanguageModel, item: Item, most: int | None) -> Item:
    """Cuts an item as a prompt shows it.

    Args:
        lm: The model whose tokens count.
        item: A past item.
        most: Most tokens of its input and answer together; None for no limit.

    Returns:
        The item with the end of its input cut, and, where the answer alone is too long, that of its answer.
    """
    if most is None:
        return item
    answer = first_tokens(lm, item.answer or "", most)
    left = most - count_tokens(lm, [answer])[0]
    cut = replace(item, input=first_tokens(lm, item.input, left), answer=answer)
    return item if (cut.input, answer) == (item.input, item.answer or "") else cut
