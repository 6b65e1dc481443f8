"""Past items and questions as LaMP's files put them: what is read, and that what is written is read back."""

from typing import Any

import pytest

from prime_audit.data import FORMS, TASKS, Item
from prime_audit.data.lamp_forms import read_past, read_question, tasks_named, write_past, write_question
from prime_audit.data.records import Faults, Place
from tests.lamp_files import HOSTILE, past, question

LAMP = list(FORMS)


def read(value: object, task: str, *, asked: bool = False) -> tuple[Item | None, list[str]]:
    faults = Faults()
    place = Place(faults, "f")
    if asked:
        assert isinstance(value, dict)
        return read_question(value, TASKS[task], True, place), faults.lines
    return read_past(value, TASKS[task], place), faults.lines


def test_every_registered_task_has_a_form() -> None:
    assert set(FORMS) == set(TASKS)
    assert tasks_named("LaMP_2") == ["lamp-2", "lamp-2n"]
    assert tasks_named("LaMP_2N") == ["lamp-2n"]
    assert tasks_named(None) == []


@pytest.mark.parametrize("task", LAMP)
@pytest.mark.parametrize("number", range(len(HOSTILE)))
def test_what_is_written_is_read_back(task: str, number: int) -> None:
    item, faults = read(past(task, "ann", number), task)
    assert faults == []
    assert item is not None
    assert item.answer
    again = write_past(item, TASKS[task])
    assert read(again, task) == (item, [])
    asked, faults = read(question(task, "ann", number), task, asked=True)
    assert faults == []
    assert asked is not None
    written = {"id": asked.id, "input": write_question(asked, TASKS[task]), "output": asked.answer}
    assert read(written, task, asked=True) == (asked, [])


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ('For "A title", which? [1] or [2]. [1]: "One" [2]: "Two"', ("A title", "One", "Two")),
        ('X "A "quoted" one" y [1]: "On "x"" [2]: ""y" is it"', ('A "quoted" one', 'On "x"', '"y" is it')),
        ('"Ends with "quotes"" y [1]: "a" [2]: "b"', ('Ends with "quotes"', "a", "b")),
        ('"Or [1] or [2]" y [1]:"a"[2]:  "b"', ("Or [1] or [2]", "a", "b")),
        ('"Over\ntwo  lines" y [1]: "a\nb" [2]: "c"', ("Over two lines", "a b", "c")),
        ('"{0} عن 🐟" y [1]: "%s" [2]: "{x}"', ("{0} عن 🐟", "%s", "{x}")),
    ],
)
def test_titles_of_papers_are_cut_at_the_markers(text: str, parts: tuple[str, str, str]) -> None:
    item, faults = read({"id": "1", "input": text, "output": "[2]"}, "lamp-1", asked=True)
    title, one, two = parts
    assert (item, faults) == (Item("1", f"{title}\n[1]: {one}\n[2]: {two}", "[2]"), [])


@pytest.mark.parametrize(
    "text",
    [
        "no quotes at all",
        'For "A title", which? [1]: "One"',
        'For A title, which? [1]: "One" [2]: "Two"',
        'For "A" [1]: "One" [2]: "Two',
        # Two markers of one kind: where to cut would be a guess.
        'For "A" y [1]: "One" [2]: "and" [2]: "Two"',
        'For "A" y [1]: "and" y [1]: "One" [2]: "Two"',
    ],
)
def test_a_question_that_cannot_be_cut_for_certain_is_a_fault(text: str) -> None:
    item, faults = read({"id": "1", "input": text, "output": "[2]"}, "lamp-1", asked=True)
    assert item is None
    assert faults == ['f.input: expected a title in quotes, [1]: "..." and [2]: "...", each marker once']
    item, faults = read(
        {"id": "1", "input": '"A" y [1]: " " [2]: "b"', "output": "[1]"}, "lamp-1", asked=True
    )
    assert (item, faults) == (None, ["f.input: empty text between the quotes"])


@pytest.mark.parametrize(
    ("text", "beginning", "rest"),
    [
        ("one", "…", "one"),
        ("one two", "one", "two"),
        ("a b c d e f g h i j k l", "a b", "c d e f g h i j k l"),
        ("so\n\nmuch  space here", "so", "much  space here"),
    ],
)
def test_a_post_is_completed_from_its_first_words(text: str, beginning: str, rest: str) -> None:
    item, faults = read({"id": 1, "text": text}, "lamp-7")
    assert (item, faults) == (Item("1", beginning, rest), [])


@pytest.mark.parametrize("task", LAMP)
@pytest.mark.parametrize("blank", ["", " \n", None])
def test_a_past_item_without_text_or_answer_is_left_out_and_counted(task: str, blank: str | None) -> None:
    for key in {FORMS[task].input, FORMS[task].answer}:
        faults = Faults()
        value = {**past(task, "ann", 1), key: blank}
        assert read_past(value, TASKS[task], Place(faults, "f")) is None
        assert (faults.lines, faults.empty) == ([], 1)


@pytest.mark.parametrize("task", LAMP)
def test_faults_of_a_past_item(task: str) -> None:
    good, key = past(task, "ann", 1), FORMS[task].input
    broken: list[tuple[Any, str]] = [
        ({**good, key: 7}, f"f.{key}: expected text, found a number"),
        ({k: v for k, v in good.items() if k != key}, f"f.{key}: missing"),
        ({**good, "id": "../x"}, "f.id: item id '../x' is not usable"),
        ({**good, "date": [2001]}, "f.date: expected text, found a list"),
        (["x"], "f: expected an object, found a list"),
    ]
    for value, message in broken:
        item, faults = read(value, task)
        assert item is None
        assert len(faults) == 1
        assert faults[0].startswith(message)


def test_dates_may_be_a_year_alone() -> None:
    for date, kept in (("1999", "1999"), (1999, "1999"), ("2001-02-03", "2001-02-03"), (None, None)):
        item, faults = read({**past("lamp-5", "ann", 1), "date": date}, "lamp-5")
        assert faults == []
        assert item is not None
        assert item.date == kept


def test_past_items_have_a_form_of_their_own_where_questions_ask_something_else() -> None:
    for task in ("lamp-1", "lamp-7"):
        assert TASKS[task].past.kind == "text"
        assert TASKS[task].past.instruction != TASKS[task].instruction
    assert TASKS["lamp-3"].past is TASKS["lamp-3"]
    shown = TASKS["lamp-1"].prompt("A\n[1]: B\n[2]: C", [Item("1", "Old", "We show that it works.")])
    assert shown.startswith("Title: Old\nAbstract: We show that it works.\n\nWhich of the two papers")
    assert shown.endswith("\nPaper: A\n[1]: B\n[2]: C\nCited:")
