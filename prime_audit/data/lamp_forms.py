"""How LaMP's files put past items and questions, which its own layout and that of Per-Pcs have in common.

Every reader has its writer beside it: what was written is read back as the same record.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from prime_audit.data.records import (
    Layout,
    Place,
    as_object,
    read_answer,
    read_date,
    read_id,
    read_item,
    read_text_field,
)
from prime_audit.data.tasks import Item, Task
from prime_audit.errors import DataError


@dataclass(frozen=True)
class Form:
    """Where LaMP's files keep what a task needs.

    Attributes:
        name: LaMP's name of the task, which stands in its file of golds.
        per_pcs: The name in the files of Per-Pcs.
        input: Key of a past item's input.
        answer: Key of its answer; the same as `input` where one text is both (LaMP-7).
    """

    name: str
    per_pcs: str
    input: str
    answer: str


FORMS: Mapping[str, Form] = MappingProxyType(
    {
        "lamp-1": Form("LaMP_1", "LaMP_1", "title", "abstract"),
        "lamp-2": Form("LaMP_2", "LaMP_2M", "description", "tag"),
        # Both editions of LaMP-2 have the same name in LaMP's files.
        "lamp-2n": Form("LaMP_2", "LaMP_2N", "text", "category"),
        "lamp-3": Form("LaMP_3", "LaMP_3", "text", "score"),
        "lamp-4": Form("LaMP_4", "LaMP_4", "text", "title"),
        "lamp-5": Form("LaMP_5", "LaMP_5", "abstract", "title"),
        "lamp-6": Form("LaMP_6", "LaMP_6", "text", "title"),
        "lamp-7": Form("LaMP_7", "LaMP_7", "text", "text"),
    }
)

_FIRST, _SECOND = "\n[1]: ", "\n[2]: "
# A title may hold quotes; the markers with their quotes must be found once each, or the cut is a guess.
_ONE, _TWO = re.compile(r'"[^"]*?\[1\]:\s*"'), re.compile(r'"\s*\[2\]:\s*"')
# A post is cut after this share of its words, as far as LaMP's own training does on average.
_BEGINNING = 0.175
# What stands for the beginning of a post of one word.
_NOTHING = "…"


def form_of(task: Task, layout: str, where: str) -> Form:
    """Return how LaMP's files put a task.

    Args:
        task: The task.
        layout: The layout that is read or written, for the message.
        where: The file or folder, for the message.

    Returns:
        Its form.

    Raises:
        DataError: LaMP's files do not know the task.
    """
    if task.id not in FORMS:
        raise DataError(
            f"{where}: the {layout} layout does not hold task {task.id}",
            hint=f"it is for {', '.join(FORMS)}; write your own users as users.jsonl",
        )
    return FORMS[task.id]


def tasks_named(name: object) -> list[str]:
    """Return the tasks that a file of golds may mean by a name.

    Args:
        name: What stands under its key `task`.

    Returns:
        Ids of tasks; none for an unknown name.
    """
    return [task for task, form in FORMS.items() if name in (form.name, form.per_pcs)]


def read_past(value: object, task: Task, place: Place) -> Item | None:
    """Return one past item; one that holds no text or no answer is left out and counted.

    Args:
        value: What the file holds.
        task: The task, as queries are put.
        place: Where the item stands.

    Returns:
        The item, or None after a fault or if it is left out.
    """
    form = FORMS[task.id]
    record = as_object(value, place)
    if record is None:
        return None
    if _blank(record, form.input) or _blank(record, form.answer):
        if read_id(record, "id", "item", place) is not None:
            place.faults.empty += 1
        return None
    if form.input != form.answer:
        return read_item(record, Layout(form.input, form.answer), task.past, True, place)
    item_id, text = read_id(record, "id", "item", place), read_text_field(record, form.input, place)
    date = read_date(record, place)
    if item_id is None or text is None or date is False:
        return None
    beginning, rest = _cut_post(text)
    return Item(id=item_id, input=beginning, answer=rest, date=date)


def write_past(item: Item, task: Task) -> dict[str, str]:
    """Return a past item as LaMP's files hold it.

    Args:
        item: The item.
        task: The task, as queries are put.

    Returns:
        A plain object.
    """
    form, answer = FORMS[task.id], item.answer or ""
    texts = {form.input: item.input, form.answer: answer}
    if form.input == form.answer:
        texts = {form.input: answer if item.input == _NOTHING else f"{item.input} {answer}"}
    return {"id": item.id, **texts, **({"date": item.date} if item.date is not None else {})}


def read_question(
    record: Mapping[str, object], task: Task, needs_answer: bool, place: Place, answer: str = "output"
) -> Item | None:
    """Return one question.

    Args:
        record: An object with `id` and `input`, and with the answer where the file holds it.
        task: The task.
        needs_answer: Whether a question without an answer is a fault.
        place: Where it stands.
        answer: The key of the answer.

    Returns:
        The question, or None after a fault.
    """
    if task.query_marker is not None:
        return read_item(record, Layout("input", answer, task.query_marker), task, needs_answer, place)
    item_id, text = read_id(record, "id", "item", place), read_text_field(record, "input", place)
    has_answer = needs_answer or record.get(answer) is not None
    said = read_answer(record, answer, task, place) if has_answer else None
    papers = _papers(text, place.at("input")) if text is not None else None
    if item_id is None or papers is None or (has_answer and said is None):
        return None
    return Item(id=item_id, input=papers, answer=said)


def write_question(query: Item, task: Task) -> str:
    """Return the text of a question: our own instruction, LaMP's marker, the user's text.

    Args:
        query: The question.
        task: The task.

    Returns:
        What stands under `input` in LaMP's files.
    """
    if task.query_marker is not None:
        # "e-mail: ...": the marker of LaMP-6 and LaMP-7 is the first colon.
        marker = task.query_marker if task.query_marker != ":" else f"{task.input_name}:"
        return f"{task.instruction} {marker} {query.input}"
    title, _, rest = query.input.partition(_FIRST)
    one, _, two = rest.partition(_SECOND)
    return f'{task.instruction} "{title}" [1]: "{one}" [2]: "{two}"'


def _papers(text: str, place: Place) -> str | None:
    """The title and the two references of a question of LaMP-1, cut at its markers and at no other quote."""
    second = list(_TWO.finditer(text))
    first = list(_ONE.finditer(text, 0, second[0].start() + 1)) if second else []
    opening = text.find('"')
    if len(second) != 1 or len(first) != 1 or opening == first[0].start() or not text.endswith('"'):
        place.fault('expected a title in quotes, [1]: "..." and [2]: "...", each marker once')
        return None
    parts = (
        text[opening + 1 : first[0].start()],
        text[first[0].end() : second[0].start()],
        text[second[0].end() : -1],
    )
    title, one, two = (" ".join(part.split()) for part in parts)
    if not (title and one and two):
        place.fault("empty text between the quotes")
        return None
    return f"{title}{_FIRST}{one}{_SECOND}{two}"


def _cut_post(text: str) -> tuple[str, str]:
    """The first words of a post, and how it goes on."""
    starts = [match.start() for match in re.finditer(r"\S+", text)]
    if len(starts) < 2:
        return _NOTHING, text
    place = starts[max(1, int(len(starts) * _BEGINNING))]
    return text[:place].rstrip(), text[place:]


def _blank(record: Mapping[str, object], key: str) -> bool:
    value = record.get(key, 0)
    return value is None or (isinstance(value, str) and not value.strip())
