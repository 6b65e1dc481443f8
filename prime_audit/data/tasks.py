"""What is asked of the model: tasks with their prompts, labels, metric and answer length."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
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
        of_history: How a past item is put where it has another form than a query: LaMP-1 asks for one of two
            references, and a history holds papers. None if both have the same form.
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
    of_history: "Task | None" = None

    @property
    def past(self) -> "Task":
        """How a past item is put: trained on, searched over, and scored by the attacks."""
        return self.of_history or self

    def prompt(self, input: str, examples: Sequence[Item] = ()) -> str:
        """Return the prompt of one input.

        The examples come first and the input last: a prompt that is too long is cut at its beginning.

        Args:
            input: The text that is asked about.
            examples: Answered past items to show, the best one last.

        Returns:
            A text that ends where the answer begins, without a trailing space.
        """
        past = self.past
        shown = [
            f"{past.input_name}: {item.input}\n{past.answer_name}: {item.answer}\n\n" for item in examples
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


def described(task: Task) -> dict[str, object]:
    """Describe a task for digests.

    Args:
        task: The task.

    Returns:
        Its fields; `of_history` only where past items have a form of their own.
    """
    fields = asdict(task)
    if task.of_history is None:
        del fields["of_history"]
    return fields
