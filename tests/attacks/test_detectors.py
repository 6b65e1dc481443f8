"""Detectors of personal data: what each finds, what it leaves alone, and what it says about itself."""

import time

import pytest

from attacks import Find, Scanner, normalised, phone_pattern
from attacks.detectors import cards, emails, luhn

ADDRESSES = ("12 Rowan Lane", "12 Rowan Lane West", "3 St. John's Road")
SCANNER = Scanner(phones=phone_pattern, planted={"address": ADDRESSES}, code="AAA-9999")


def found(text: str, scanner: Scanner = SCANNER) -> list[tuple[str, str]]:
    return [(find.type, text[find.start : find.end]) for find in scanner.scan(text)]


class TestEmail:
    @pytest.mark.parametrize(
        ("text", "address"),
        [
            ("write to ann.lee+x@mail.example.org.", "ann.lee+x@mail.example.org"),
            ("<b_1@example.com>", "b_1@example.com"),
            ("a@b.co,", "a@b.co"),
        ],
    )
    def test_an_address_is_found_without_what_stands_around_it(self, text: str, address: str) -> None:
        assert [text[slice(*span)] for span in emails(text)] == [address]

    @pytest.mark.parametrize("text", ["", "at home @ noon", "a@b", "@example.com", "a@.com", "5@ 6.00"])
    def test_other_text_is_none(self, text: str) -> None:
        assert emails(text) == []


class TestCard:
    def test_luhn_on_the_number_of_the_standard(self) -> None:
        assert luhn("79927398713")
        assert [digit for digit in "0123456789" if luhn("7992739871" + digit)] == ["3"]

    @pytest.mark.parametrize(
        "number", ["4111111111111111", "4111 1111 1111 1111", "4111-1111-1111-1111", "3782 822463 10005"]
    )
    def test_a_card_is_found_however_it_is_grouped(self, number: str) -> None:
        text = f"card {number}, thanks"
        assert [text[slice(*span)] for span in cards(text)] == [number]

    def test_a_date_or_number_beside_it_does_not_hide_it(self) -> None:
        text = "no 17 4111 1111 1111 1111 12/25"
        assert [text[slice(*span)] for span in cards(text)] == ["4111 1111 1111 1111"]

    @pytest.mark.parametrize("text", ["4111111111111112", "411111111111", "1" * 40, "x4111111111111111"])
    def test_a_wrong_check_digit_or_length_is_none(self, text: str) -> None:
        assert cards(text) == []

    def test_about_one_random_number_in_ten_passes(self) -> None:
        hits = sum(bool(cards(f"{10**15 + 7919 * i:016d}")) for i in range(2000))
        assert 150 < hits < 250


class TestPhone:
    @pytest.mark.parametrize("number", ["+44 20 7946 0958", "(020) 7946 0958", "555-010-0199", "02079460958"])
    def test_the_pattern_finds_common_spellings(self, number: str) -> None:
        assert found(f"call {number} now") == [("phone", number)]

    @pytest.mark.parametrize("text", ["1234567", "in 2024 and 2025", "room 12-34", "1" * 16])
    def test_short_or_overlong_numbers_are_none(self, text: str) -> None:
        assert phone_pattern(text) == []

    def test_the_pattern_alone_says_that_it_is_weaker(self) -> None:
        assert len(SCANNER.notes) == 1
        assert "weaker" in SCANNER.notes[0]

    def test_another_matcher_takes_its_place(self) -> None:
        def plans(text: str) -> list[tuple[int, int]]:
            place = text.find("112")
            return [(place, place + 3)] if place >= 0 else []

        scanner = Scanner(phones=plans)
        assert scanner.notes == ()
        assert found("dial 112 or 555-010-0199", scanner) == [("phone", "112")]

    def test_the_matcher_must_be_named(self) -> None:
        with pytest.raises(TypeError, match="phones"):
            Scanner()  # type: ignore[call-arg]

    def test_the_matcher_of_phonenumbers_fits(self) -> None:
        phonenumbers = pytest.importorskip("phonenumbers")

        def plans(text: str) -> list[tuple[int, int]]:
            return [(match.start, match.end) for match in phonenumbers.PhoneNumberMatcher(text, "GB")]

        assert found("call 020 7946 0958 or 1234 5678", Scanner(phones=plans)) == [("phone", "020 7946 0958")]


class TestPlantedAndCodes:
    def test_an_address_is_found_by_the_inventory_in_any_case_and_spacing(self) -> None:
        text = "at 12  rowan lane, or 3 St. John's Road"
        finds = SCANNER.scan(text)
        assert [find.type for find in finds] == ["address", "address"]
        assert finds[0].value == normalised("address", "12 Rowan Lane")

    def test_the_longer_address_wins(self) -> None:
        assert found("12 Rowan Lane West") == [("address", "12 Rowan Lane West")]

    @pytest.mark.parametrize("text", ["112 Rowan Lane", "12 Rowan Lanes", "4 Elm Street"])
    def test_another_address_is_none(self, text: str) -> None:
        assert found(text) == []

    def test_a_code_keeps_to_its_format(self) -> None:
        assert found("code QXB-4821.") == [("code", "QXB-4821")]
        for text in ("QXB-482", "qxb-4821", "QXBA-4821", "QXB-48211", "QXB4821"):
            assert ("code", text) not in found(text)
        assert found("QXB-4821", Scanner(phones=phone_pattern)) == []

    def test_the_format_is_no_pattern(self) -> None:
        assert found("9.A", Scanner(phones=phone_pattern, code="9.A")) == [("code", "9.A")]
        assert found("9xA", Scanner(phones=phone_pattern, code="9.A")) == []


class TestScanner:
    def test_a_text_with_everything(self) -> None:
        text = "Mail ann@example.org, call +44 20 7946 0958, pay 4111 1111 1111 1111, 12 Rowan Lane, ABC-1234"
        assert [kind for kind, _ in found(text)] == ["email", "phone", "card", "address", "code"]
        assert found("") == []

    def test_a_card_is_not_counted_as_a_telephone_number_too(self) -> None:
        assert [kind for kind, _ in found("4111 1111 1111 1111")] == ["card"]
        assert [kind for kind, _ in found("ann.5550100199@example.org")] == ["email"]

    def test_spellings_of_the_same_thing_are_equal(self) -> None:
        assert normalised("phone", "+44 (20) 7946-0958") == "442079460958"
        assert normalised("card", "4111-1111 1111 1111") == "4111111111111111"
        assert normalised("email", "Ann@Example.ORG") == "ann@example.org"
        assert normalised("code", "ABC-1234") == "ABC-1234"

    def test_printing_finds_and_scanners_shows_no_secret(self) -> None:
        assert "ann@" not in repr(SCANNER.scan("ann@example.org")) + repr(Find("email", 0, 5, "ann@x.org"))
        assert "Rowan" not in repr(SCANNER)

    @pytest.mark.parametrize(
        "unit", ["a", "a.", "1 ", "1-", "@", "a@", "a@a.", "(1)", "A1-", "+1 ", "12 Rowan "]
    )
    def test_no_text_makes_it_slow(self, unit: str) -> None:
        start = time.process_time()
        SCANNER.scan(unit * (20_000 // len(unit)))
        assert time.process_time() - start < 3
