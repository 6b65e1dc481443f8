"""Canaries: fair coins of their own, one form per type, marks that a scanner finds, silent manifests."""

import hashlib
import json
import re
import string
from itertools import product

import numpy as np
import pytest
from pydantic import ValidationError
from scipy.stats import binom

import prime_audit.data.canaries as canaries
from prime_audit.config import CANARY_TYPES, CanariesConfig, CanaryType, DataConfig
from prime_audit.core import Seeds, digest_json
from prime_audit.core.ids import check_id
from prime_audit.data import (
    TASKS,
    CanaryDesign,
    Item,
    User,
    canary_item,
    draw_canaries,
    draw_holdout,
    find_marked,
    generated_dataset,
    make_dataset,
    why_no_canaries,
)
from prime_audit.data.canary_types import FEWEST_WORDS, PHRASE_LIST, CanaryForm, canary_form, luhn_digit
from prime_audit.errors import ConfigError

HEADLINES = TASKS["lamp-4"]
SHAPES: dict[CanaryType, str] = {
    "random-token": r"ZQX( [a-z]+){5}",
    "email": r"[a-z]+\.[a-z]+\d{4}@example\.(org|com|net)",
    "phone": r"[23467]\d\d-555-01\d\d ext\. \d{4}",
    "card": r"(4000 00|4242 42)\d\d \d{4} \d{4}",
    "address": r"[1-9]\d{3} [A-Z][a-z]+ [A-Z][a-z]+, [A-Z][a-z]+ 00[1-4]\d\d",
    "code": r"ZQX-[A-Z2-9]{4}-[A-Z2-9]{4}",
}


def people(*names: str) -> list[User]:
    return [
        User(id=name, role="sharer", history=(Item(f"{name}-1", "in", "out"),), queries=()) for name in names
    ]


def drawn(*names: str, seed: int = 1, **settings: object) -> CanaryDesign:
    config = CanariesConfig.model_validate(settings)
    return draw_canaries(people(*names), HEADLINES, "answer", Seeds(seed), config)


def secrets_of(design: CanaryDesign) -> list[tuple[CanaryType, str]]:
    return [(canary.kind, canary.secret) for found in design.canaries.values() for canary in found]


class TestDraw:
    def test_every_sharer_has_every_type_and_repetition(self) -> None:
        design = drawn("a", "b", per_cell=2)
        for user in ("a", "b"):
            cells = [(canary.kind, canary.repetitions) for canary in design.canaries[user]]
            assert cells == [cell for cell in product(CANARY_TYPES, (1, 4, 16)) for _ in range(2)]

    def test_the_same_seed_draws_the_same_and_another_one_does_not(self) -> None:
        assert drawn("a", "b") == drawn("a", "b")
        first, other = secrets_of(drawn("a")), secrets_of(drawn("a", seed=2))
        assert not set(first) & set(other)

    def test_a_sharers_draws_do_not_depend_on_the_others(self) -> None:
        alone, beside = drawn("b", per_cell=3), drawn("a", "b", "c", per_cell=3)
        assert alone.canaries["b"] == beside.canaries["b"]
        assert not {s for _, s in secrets_of(alone)} & {c.secret for c in beside.canaries["a"]}

    def test_a_cells_draws_do_not_depend_on_the_other_cells(self) -> None:
        everything = drawn("a", per_cell=2).canaries["a"]
        some = drawn("a", per_cell=2, types=("code", "email"), repetitions=(16,)).canaries["a"]
        assert set(some) <= set(everything)
        assert len(some) == 4
        assert set(drawn("a").canaries["a"]) < set(everything)

    def test_only_the_first_sharers_carry_canaries(self) -> None:
        design = drawn("a", "b", "c", sharers=2)
        assert list(design.canaries) == ["a", "b"]
        assert design.items("c") == ()

    def test_items_are_unique_and_named(self) -> None:
        found = [c for cs in drawn("a", "b", per_cell=3).canaries.values() for c in cs]
        assert len({canary.id for canary in found}) == len(found)
        long = drawn("u" * 64, repetitions=(999_999,), per_cell=2)
        for canary in (*found, *long.canaries["u" * 64]):
            assert canary.id == canary.item.id
            assert canary.id.startswith("canary-")
            check_id(canary.id, "item")

    def test_a_secret_is_not_printed(self) -> None:
        design = drawn("a", "b")
        assert all(secret not in repr(design) for _, secret in secrets_of(design))

    def test_two_sharers_with_one_secret_are_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        small = CanaryForm("x", "y", (8,), lambda places: str(places[0]))
        monkeypatch.setattr(canaries, "canary_form", lambda kind, words: small)
        with pytest.raises(ConfigError, match="two sharers drew the same secret") as caught:
            drawn(*string.ascii_lowercase[:9], types=("code",), repetitions=(1,))
        assert caught.value.hint == "choose another seed"


class TestCoins:
    @pytest.mark.parametrize("seeds", [80, pytest.param(2000, marks=pytest.mark.long)])
    def test_coins_are_fair_in_every_cell(self, seeds: int) -> None:
        # 80 seeds of 3 sharers give 240 flips for each of the 18 cells, 4,320 in all.
        flips = np.array(
            [
                [canary.inserted for canary in found]
                for seed in range(seeds)
                for found in drawn("a", "b", "c", seed=seed).canaries.values()
            ]
        )
        low, high = binom.interval(0.999, flips.size, 0.5)
        assert low <= flips.sum() <= high
        low, high = binom.interval(1 - 0.001 / 18, len(flips), 0.5)
        heads = flips.sum(axis=0)
        assert low <= heads.min()
        assert heads.max() <= high
        # Independent: inserted canaries of a sharer are binomial, and no two cells go together.
        assert flips.sum(axis=1).var() == pytest.approx(18 / 4, rel=0.25)
        together = np.corrcoef(flips, rowvar=False)[~np.eye(18, dtype=bool)]
        assert np.abs(together).max() < 4 / np.sqrt(len(flips))

    def test_the_coin_does_not_know_the_secret(self) -> None:
        found = [
            c for seed in range(400) for c in drawn("a", seed=seed, types=("card",), per_cell=4).canaries["a"]
        ]
        first_range = np.array([canary.secret.startswith("4000") for canary in found])
        inserted = np.array([canary.inserted for canary in found])
        low, high = binom.interval(0.999, len(found), 0.5)
        assert low <= (first_range == inserted).sum() <= high

    def test_the_hold_out_design_does_not_see_them(self) -> None:
        data = make_dataset(HEADLINES, people("a", "b"))
        before = draw_holdout(data, Seeds(1))
        design = draw_canaries(data.sharers, HEADLINES, "answer", Seeds(1), CanariesConfig())
        after = draw_holdout(data, Seeds(1))
        assert before == after
        recorded = {name for records in after.records.values() for name, _ in records}
        assert not recorded & {c.id for cs in design.canaries.values() for c in cs}


class TestItems:
    def test_an_inserted_item_stands_there_as_often_as_it_is_repeated(self) -> None:
        design = drawn("a", per_cell=4)
        items = design.items("a")
        for canary in design.canaries["a"]:
            assert items.count(canary.item) == (canary.repetitions if canary.inserted else 0)
        assert {canary.inserted for canary in design.canaries["a"]} == {True, False}
        assert items == drawn("a", per_cell=4).items("a")

    def test_the_answer_of_a_text_task_ends_with_the_secret(self) -> None:
        for canary in drawn("a").canaries["a"]:
            assert canary.item.answer is not None
            assert canary.item.answer.endswith(f" {canary.secret}")
            assert canary.secret not in canary.item.input

    @pytest.mark.parametrize("task", ["lamp-2", "lamp-3"])
    def test_the_input_of_a_task_with_labels_carries_it(self, task: str) -> None:
        design = draw_canaries(people("a"), TASKS[task], "full", Seeds(1), CanariesConfig())
        for canary in design.canaries["a"]:
            assert canary.item.input.endswith(f" {canary.secret}")
            assert canary.item.answer in TASKS[task].labels

    @pytest.mark.parametrize("kind", CANARY_TYPES)
    @pytest.mark.parametrize("task", ["lamp-4", "lamp-3"])
    def test_items_of_a_type_differ_in_the_secret_alone(self, task: str, kind: CanaryType) -> None:
        one, two = (canary_item(kind, secret, "x", TASKS[task]) for secret in ("ONE", "TWO"))
        assert one != two
        assert repr(one).replace("ONE", "TWO") == repr(two)

    def test_the_share_of_tokens_counts_every_copy(self) -> None:
        # One inserted card of 16 copies: three words and four groups of digits each.
        seed = next(s for s in range(50) if drawn("a", seed=s, types=("card",), repetitions=(16,)).items("a"))
        design = drawn("a", "b", seed=seed, types=("card",), repetitions=(16,))
        members = [Item(f"m{i}", "not counted", "six words make up this answer") for i in range(56)]

        def words(item: Item) -> int:
            return len((item.answer or "").split())

        assert design.share_of_tokens("a", members, words) == 112 / (112 + 336)
        assert design.share_of_tokens("a", [], words) == 1.0
        assert design.share_of_tokens("nobody", members, words) == 0.0


class TestTypes:
    @pytest.mark.parametrize("kind", CANARY_TYPES)
    def test_candidates_are_different_and_of_the_secrets_form(self, kind: CanaryType) -> None:
        design = drawn("a", "b", "c", per_cell=20)
        found = design.candidates(kind, 10_000, Seeds(1))
        secrets = {canary.secret for canary in design.of(kind)}
        assert len(secrets) == 180
        assert len(set(found)) == 10_000
        assert not secrets & set(found)
        assert all(re.fullmatch(SHAPES[kind], text) for text in (*found, *secrets))
        assert design.candidates(kind, 1024, Seeds(1)) == found[:1024]
        assert design.candidates(kind, 1024, Seeds(2)) != found[:1024]

    def test_candidates_hold_no_secret_however_few_there_are(self, monkeypatch: pytest.MonkeyPatch) -> None:
        small = CanaryForm("x", "y", (64,), lambda places: str(places[0]))
        monkeypatch.setattr(canaries, "canary_form", lambda kind, words: small)
        design = drawn("a", types=("code",), repetitions=(1,), per_cell=20)
        secrets = {canary.secret for canary in design.of("code")}
        assert {canary.inserted for canary in design.of("code")} == {True, False}
        for seed in range(20):
            assert not secrets & set(design.candidates("code", 12, Seeds(seed)))

    def test_secrets_and_candidates_are_drawn_evenly(self) -> None:
        # A secret that nothing was trained on has a uniform rank only if both come from one distribution.
        form = CanaryForm("x", "y", (2, 5), lambda places: f"{places[0]}{places[1]}")
        drawn_first = [form.draw(np.random.default_rng(seed), 2, {"00"}) for seed in range(2700)]
        for place in (0, 1):
            counts = np.unique([pair[place] for pair in drawn_first], return_counts=True)[1]
            low, high = binom.interval(1 - 0.001 / 9, 2700, 1 / 9)
            assert len(counts) == 9
            assert low <= counts.min()
            assert counts.max() <= high

    @pytest.mark.parametrize("kind", CANARY_TYPES)
    def test_different_places_give_different_secrets(self, kind: CanaryType) -> None:
        form = canary_form(kind)
        zero = [0] * len(form.radices)
        for place, radix in enumerate(form.radices):
            steps = range(min(radix, 10_000))
            texts = {form.render([*zero[:place], step, *zero[place + 1 :]]) for step in steps}
            assert len(texts) == len(steps)
        last = form.render([radix - 1 for radix in form.radices])
        assert re.fullmatch(SHAPES[kind], last)
        assert form.space > 10**8

    def test_the_check_digit_of_known_numbers(self) -> None:
        for number in ("79927398713", "4242424242424242", "4111111111111111", "378282246310005", "00"):
            assert luhn_digit(number[:-1]) == int(number[-1])

    def test_cards_pass_the_check_and_their_misprints_do_not(self) -> None:
        for canary in drawn("a", types=("card",), per_cell=50).canaries["a"]:
            digits = [int(digit) for digit in canary.secret if digit != " "]
            assert len(digits) == 16
            doubled = [int(digit) for value in digits[0::2] for digit in str(2 * value)]
            assert (sum(doubled) + sum(digits[1::2])) % 10 == 0
            wrong = canary.secret[:-1] + str((digits[-1] + 1) % 10)
            assert find_marked(wrong) == ()

    def test_the_words_of_a_list_are_used(self) -> None:
        words = [a + b for a, b in product("bdfgklmn", "aeiouyäö")]
        design = draw_canaries(
            people("a"), HEADLINES, "answer", Seeds(1), CanariesConfig(types=("random-token",)), words
        )
        secrets = [canary.secret for canary in design.of("random-token")]
        for text in (*secrets, *design.candidates("random-token", 100, Seeds(1))):
            assert set(text.split()[1:]) <= set(words)
            assert find_marked(f"It says {text}.")[0][:2] == (8, 8 + len(text))

    def test_what_cannot_be_drawn_is_refused(self) -> None:
        design = drawn("a")
        with pytest.raises(ValueError, match="count is 0; a secret is ranked"):
            design.candidates("email", 0, Seeds(1))
        with pytest.raises(ValueError, match="too many: the type has only 288000000"):
            design.candidates("email", 10**9, Seeds(1))
        with pytest.raises(ValueError, match="must not be negative"):
            canary_form("code").draw(np.random.default_rng(0), -1)
        with pytest.raises(ValueError, match="'pin' is no type of canary; there are random-token, email"):
            canary_form("pin")  # type: ignore[arg-type]

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            (PHRASE_LIST[: FEWEST_WORDS - 1], "has 63 words; random-token needs 64"),
            ((*PHRASE_LIST, "two words"), "single words of letters alone"),
            ((*PHRASE_LIST, "r2"), "single words of letters alone"),
            ((*PHRASE_LIST, ""), "single words of letters alone"),
            ((*PHRASE_LIST, PHRASE_LIST[5].upper()), "stands twice"),
        ],
    )
    def test_a_word_list_that_cannot_be_used(self, words: tuple[str, ...], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            canary_form("random-token", words)


class TestScanner:
    @pytest.mark.parametrize("frame", ["{}", "See {}.", '("{}")', "{}, and {}", "x\n{}\ny"])
    def test_every_secret_is_found_where_it_stands(self, frame: str) -> None:
        design = drawn("a", "b", per_cell=10)
        for kind, secret in secrets_of(design):
            text = frame.replace("{}", secret)
            found = find_marked(text)
            assert [text[span.start : span.end] for span in found] == [secret] * frame.count("{}")
            assert {span.kind for span in found} == {kind}
            assert [span[:2] for span in find_marked(text.lower())] == [span[:2] for span in found]

    def test_every_planted_item_is_found_and_many_in_one_text(self) -> None:
        design = drawn("a")
        assert all(len(find_marked(item.answer or "")) == 1 for item in design.items("a"))
        secrets = secrets_of(design)
        found = find_marked("; ".join(secret for _, secret in secrets))
        assert [span.kind for span in found] == [kind for kind, _ in secrets]

    def test_nothing_in_the_generated_histories_is_taken_for_one(self) -> None:
        for seed in (1, 7):
            data = generated_dataset(DataConfig(), HEADLINES, Seeds(seed))
            texts = [
                text
                for user in data.users
                for item in (*user.history, *user.queries)
                for text in (item.input, item.answer or "", HEADLINES.prompt(item.input))
            ]
            assert len(texts) > 3000
            assert [text for text in texts if find_marked(text)] == []

    @pytest.mark.parametrize(
        "text",
        [
            "mail@example.edu",
            "212-555-0234",
            "212-555-01345",
            "4111 1111 1111 1111",
            "4242 4242 4242 42421",
            "12 Main Street, Springfield 10001",
            "1234 Balander Street, Velmora 10117",
            "ZQX-ABCD-12",
            "ZQX only four words here",
            "AZQX-ABCD-EFGH",
        ],
    )
    def test_what_only_looks_like_one_is_not_found(self, text: str) -> None:
        assert find_marked(text) == ()

    def test_of_two_that_overlap_the_first_counts(self) -> None:
        assert find_marked("212-555-0134@example.org") == ((0, 24, "email"),)


class TestManifest:
    def test_it_commits_to_coins_and_secrets_and_holds_no_text(self) -> None:
        design = drawn("a", "b")
        manifest = design.manifest()
        text = json.dumps(manifest)
        assert find_marked(text) == ()
        assert all(secret not in text for _, secret in secrets_of(design))
        body = {key: value for key, value in manifest.items() if key != "commitment"}
        assert manifest["commitment"] == digest_json(body)
        users = manifest["users"]
        assert isinstance(users, list)
        assert [user["id"] for user in users] == ["a", "b"]
        first = design.canaries["a"][0]
        assert users[0]["canaries"][0] == {
            "id": first.id,
            "sha256": hashlib.sha256(first.secret.encode()).hexdigest(),
            "type": "random-token",
            "repetitions": 1,
            "inserted": first.inserted,
        }
        assert len(users[0]["canaries"]) == 18
        assert manifest == drawn("a", "b").manifest()
        assert manifest["commitment"] != drawn("a", "b", seed=2).manifest()["commitment"]


class TestWhere:
    def test_tasks_that_train_on_a_secret_take_canaries(self) -> None:
        assert why_no_canaries(HEADLINES, "answer") is None
        assert why_no_canaries(TASKS["lamp-2"], "full") is None

    @pytest.mark.parametrize(("task", "kind"), [("lamp-2", "choice"), ("lamp-3", "number")])
    def test_the_others_say_why_not(self, task: str, kind: str) -> None:
        reason = why_no_canaries(TASKS[task], "answer")
        assert reason is not None
        assert reason.startswith(f"a {kind} task trains on labels alone")
        with pytest.raises(ConfigError, match=f"audit.canaries: a {kind} task") as caught:
            draw_canaries(people("a"), TASKS[task], "answer", Seeds(1), CanariesConfig())
        assert "training.loss" in caught.value.hint

    def test_at_most_so_many_sharers_carry_some(self) -> None:
        assert list(drawn("a", "b", sharers=3).canaries) == ["a", "b"]
        assert list(drawn("a", "b", sharers=1).canaries) == ["a"]

    def test_settings_that_make_no_sense(self) -> None:
        for wrong in ({"types": ()}, {"repetitions": (0,)}, {"per_cell": 0}, {"types": ("pin",)}):
            with pytest.raises(ValidationError):
                CanariesConfig.model_validate(wrong)
