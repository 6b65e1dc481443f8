from collections.abc import Callable
from dataclasses import replace

import pytest

from prime_audit.config import ProfileMethod, ProfileRagMethod, RagMethod
from prime_audit.data import TASKS, Item, Task, User
from prime_audit.errors import ConfigError, DataError
from prime_audit.models import LanguageModel, count_tokens, first_tokens, metered, prompt_room
from prime_audit.personalize import METHODS, Fit, PersonalPrompt, TargetContext, carry_out, shortened
from prime_audit.personalize.profiles import profile_of, template

Make = Callable[..., TargetContext]
HISTORY = (
    Item("1", "boats in the harbour", "boats again"),
    Item("2", "boats and winter", "winter comes"),
    Item("3", "a quiet day", "nothing at all happens"),
)


class TestTemplate:
    def test_words_of_at_least_two_items_and_the_usual_length(self) -> None:
        said = template(TASKS["lamp-4"], HISTORY)
        assert said == ("Often writes of boats.", "Answers have about 3 words.")

    def test_a_word_that_everybody_uses_counts_for_less(self) -> None:
        common = tuple(Item(f"{i}", "boats boats", "boats") for i in range(3))
        history = (*HISTORY, Item("4", "winter", "cold"))
        # log((1 + 3) / (1 + 3)) = 0 for the word that all public items hold.
        assert template(TASKS["lamp-4"], history, common)[0] == "Often writes of winter, boats."

    def test_answers_of_other_tasks_are_counted(self) -> None:
        stars = tuple(Item(f"{i}", "x", answer) for i, answer in enumerate("55521"))
        assert template(TASKS["lamp-3"], stars) == (
            "Usual answers: 5 (60 %), 1 (20 %), 2 (20 %).",
            "Mean answer: 3.6.",
        )

    def test_nothing_is_said_of_nobody(self) -> None:
        assert template(TASKS["lamp-4"], ()) == ()


class TestWritten:
    def test_the_model_reads_the_history_once_and_every_method_pays(
        self, make_context: Make, lm: LanguageModel
    ) -> None:
        context = replace(make_context(items=3), writer=lm)
        settings = ProfileMethod(source="written", max_profile_tokens=5)
        costs = []
        for _ in range(2):
            with metered() as meter:
                profile = profile_of(context, settings)
            costs.append(meter.inference)
        assert len(context.memory) == 1
        assert costs[0] == costs[1] > 0
        assert profile.private == ((profile.text,) if profile.text else ())
        other = replace(context, target=User("u", "target", HISTORY, ()))
        profile_of(other, settings)
        assert len(context.memory) == 2

    def test_without_a_model_it_is_refused(self, make_context: Make) -> None:
        with pytest.raises(ConfigError, match="no model here that could write"):
            profile_of(make_context(), ProfileMethod(source="written"))


class TestGiven:
    def test_the_words_of_the_data(self, make_context: Make) -> None:
        context = make_context()
        given = replace(context, target=replace(context.target, profile_text=" Likes boats. "))
        settings = ProfileMethod(source="given")
        made = carry_out(METHODS["profile"], given, settings)
        assert made.prompt(Item("q", "x", None)).startswith("About this person: Likes boats.\n\n")
        # It was not made from the history, so nothing of the history could come out with it.
        assert made.private == ()
        with pytest.raises(DataError, match="method profile: target t has no profile_text"):
            profile_of(context, settings)


class TestRoom:
    def test_tokens_are_cut_at_the_end(self, lm: LanguageModel) -> None:
        assert first_tokens(lm, "abcdef", 4) == "abcd"
        assert first_tokens(lm, "abcdef", 6) == "abcdef"
        # Two bytes of a character of three are none.
        assert first_tokens(lm, "a€", 3) == "a"

    def test_a_label_leaves_a_prompt_as_much_room_as_the_longest_one_does(
        self, lm: LanguageModel, tasks: dict[str, Task]
    ) -> None:
        # BOS, and a space with the label.
        assert prompt_room(lm, tasks["number"]) == lm.max_tokens - 1 - 2
        choice = replace(tasks["choice"], labels=("x", "much longer"))
        assert prompt_room(lm, choice) == lm.max_tokens - 1 - len(" much longer")
        assert prompt_room(replace(lm, max_tokens=5), choice) == 0

    def test_an_item_loses_its_input_first(self, lm: LanguageModel) -> None:
        item = Item("1", "abcdef", "xyz")
        assert shortened(lm, item, None) is shortened(lm, item, 9) is item
        assert (shortened(lm, item, 5).input, shortened(lm, item, 5).answer) == ("ab", "xyz")
        assert (shortened(lm, item, 2).input, shortened(lm, item, 2).answer) == ("", "xy")

    def test_the_lowest_ranked_items_go_first_then_the_profile(self, make_context: Make) -> None:
        context = make_context()
        task, lm, asked = context.task, context.base, Item("q", "new", None)
        items = tuple(Item(str(i), f"text number {i}", "words") for i in range(3))

        def fit(room: int, profile: str) -> tuple[str, Fit]:
            small = replace(lm, max_tokens=room + 1 + task.max_new_tokens)
            assert prompt_room(small, task) == room
            made = PersonalPrompt(small, task, pick=lambda query: items, profile=profile)
            return made(asked), made.fit(asked)

        def size(text: str) -> int:
            return count_tokens(lm, [text])[0]

        plain, one = task.prompt("new"), task.prompt("new", items[2:])
        assert fit(size(task.prompt("new", items)), "") == (task.prompt("new", items), Fit(3, 3))
        assert fit(size(one), "") == (one, Fit(3, 1))
        assert fit(size(one) - 1, "") == (plain, Fit(3, 0))
        whole = f"About this person: likes boats\n\n{plain}"
        assert fit(size(whole), "likes boats") == (whole, Fit(3, 0))
        cut, what = fit(size(whole) - 2, "likes boats")
        assert cut == f"About this person: likes boa\n\n{plain}"
        assert what == Fit(3, 0, 0, profile_cut=True)

    def test_a_budget_per_item_is_counted(self, make_context: Make) -> None:
        context = make_context(items=4)
        settings = RagMethod(k=3, retriever="recency", max_item_tokens=8)
        made = carry_out(METHODS["rag"], context, settings)
        assert made.fit is not None
        assert made.fit(Item("q", "x", None)) == Fit(3, 3, 3)

    def test_profile_and_items_stand_in_one_prompt(self, make_context: Make) -> None:
        context = replace(make_context(), target=User("t", "target", HISTORY, ()))
        made = carry_out(METHODS["profile-rag"], context, ProfileRagMethod(k=1))
        prompt = made.prompt(Item("q", "winter", None))
        assert prompt.startswith("About this person: Often writes of boats. Answers")
        assert "winter comes" in prompt
        assert "quiet" not in prompt
        assert made.private == ("Often writes of boats.", "Answers have about 3 words.")
