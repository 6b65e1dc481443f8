"""What is asked of the model: tasks with their prompts, labels, metric and answer length."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

Kind = Literal["choice", "number", "text"]
METRICS: Mapping[Kind, str] = MappingProxyType({"choice": "accuracy", "number": "mae", "text": "rouge_l"})


@dataclass(frozen=True)
class Item:
    """One record: an input and, where it is known, its answer; `date` is as the data give it."""

    id: str
    input: str
    answer: str | None
    date: str | None = None


@dataclass(frozen=True)
class Task:
    """One task and how it is put to a model.

    Attributes:
        id: Its name in studies and results.
        title: Its name for readers.
        kind: One of fixed labels (choice), a number on a scale (number), or free text.
        instruction: What the model is told, in our own words.
        input_name: What the input is called in the prompt.
        answer_name: What the answer is called in the prompt.
        labels: Every valid answer of a choice or number task; numbers ascend. Empty for text.
        metric: `accuracy`, `mae` or `rouge_l`; its direction and scale are `prime_audit.utility`'s business.
        max_new_tokens: The longest answer that is generated, in tokens.
        query_marker: In LaMP's files the query's own text follows the first occurrence of this marker.
    """

    id: str
    title: str
    kind: Kind
    instruction: str
    input_name: str
    answer_name: str
    labels: tuple[str, ...]
    metric: str
    max_new_tokens: int
    query_marker: str | None = None

    def prompt(self, input: str, examples: Sequence[Item] = ()) -> str:
        """Return the prompt of one input.

        The examples come first and the input last: a prompt that is too long is cut at its beginning.

        Args:
            input: The text that is asked about.
            examples: Answered items to show, the best one last.

        Returns:
            A text that ends where the answer begins, without a trailing space.
        """
        shown = [
            f"{self.input_name}: {item.input}\n{self.answer_name}: {item.answer}\n\n" for item in examples
        ]
        return f"{''.join(shown)}{self.instruction}\n{self.input_name}: {input}\n{self.answer_name}:"

    def completion(self, answer: str) -> str:
        """Return an answer as it follows a prompt.

        Args:
            answer: The answer.

        Returns:
            The answer after one space.
        """
        return f" {answer}"


_TAGS = (
    "sci-fi",
    "based on a book",
    "comedy",
    "action",
    "twist ending",
    "dystopia",
    "dark comedy",
    "classic",
    "psychology",
    "fantasy",
    "romance",
    "thought-provoking",
    "social commentary",
    "violence",
    "true story",
)

# The instructions are written for this project. LaMP's own, and their markers, come with LaMP's files.
TASKS: Mapping[str, Task] = MappingProxyType(
    {
        "lamp-2": Task(
            id="lamp-2",
            title="LaMP-2 movie tagging",
            kind="choice",
            instruction=f"Pick the one tag that suits this film. Tags: {', '.join(_TAGS)}.",
            input_name="Film",
            answer_name="Tag",
            labels=_TAGS,
            metric=METRICS["choice"],
            max_new_tokens=8,
            query_marker="description:",
        ),
        "lamp-3": Task(
            id="lamp-3",
            title="LaMP-3 product rating",
            kind="number",
            instruction="How many stars did the author of this review give, from 1 (worst) to 5 (best)?",
            input_name="Review",
            answer_name="Stars",
            labels=("1", "2", "3", "4", "5"),
            metric=METRICS["number"],
            max_new_tokens=4,
            query_marker="review:",
        ),
        "lamp-4": Task(
            id="lamp-4",
            title="LaMP-4 headline generation",
            kind="text",
            instruction="Give this text the headline that its author would choose.",
            input_name="Text",
            answer_name="Headline",
            labels=(),
            metric=METRICS["text"],
            max_new_tokens=24,
            query_marker="article:",
        ),
    }
)
