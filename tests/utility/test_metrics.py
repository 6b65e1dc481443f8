"""LaMP's metrics against figures worked out by hand."""

import numpy as np
import pytest
from sklearn.metrics import f1_score

from prime_audit.data import TASKS
from prime_audit.utility import agreement, score

TAGS, STARS, HEADLINE = TASKS["lamp-2"], TASKS["lamp-3"], TASKS["lamp-4"]


def test_choices_count_exact_matches_and_average_f1_over_all_labels() -> None:
    result = score(TAGS, [" comedy ", "action", "action", "Comedy"], ["comedy", "comedy", "action", "comedy"])
    assert result.per_item.tolist() == [1.0, 0.0, 1.0, 0.0]
    assert result.primary == result.raw["accuracy"] == 0.5
    # comedy: 1 hit, 1 said, 3 true -> 1/2; action: 1 hit, 2 said, 1 true -> 2/3; thirteen others 0.
    assert result.raw["f1"] == pytest.approx((1 / 2 + 2 / 3) / 15)


def test_macro_f1_equals_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    golds = [str(x) for x in rng.choice(TAGS.labels, size=200)]
    said = [gold if rng.random() < 0.6 else str(rng.choice(TAGS.labels)) for gold in golds]
    expected = f1_score(golds, said, labels=list(TAGS.labels), average="macro", zero_division=0)
    assert score(TAGS, said, golds).raw["f1"] == pytest.approx(expected)


def test_ratings_measure_distance_on_the_scale() -> None:
    result = score(STARS, ["5", "3.0", " 2"], ["4", "3", "5"])
    assert result.raw["mae"] == pytest.approx(4 / 3)
    assert result.raw["rmse"] == pytest.approx((10 / 3) ** 0.5)
    assert result.per_item.tolist() == [0.75, 1.0, 0.25]
    assert result.primary == pytest.approx(1 - result.raw["mae"] / 4)


@pytest.mark.parametrize(("gold", "error"), [("1", 4), ("2", 3), ("3", 2), ("4", 3), ("5", 4)])
@pytest.mark.parametrize("said", ["four", "", "nan", "inf"])
def test_what_is_no_rating_counts_as_the_far_end(said: str, gold: str, error: int) -> None:
    result = score(STARS, [said], [gold])
    assert result.raw["mae"] == error
    assert result.primary == pytest.approx(1 - error / 4)


def test_a_rating_off_the_scale_keeps_utility_in_range() -> None:
    result = score(STARS, ["100"], ["1"])
    assert result.raw["mae"] == 99
    assert result.primary == 0.0


def test_rouge_of_known_texts() -> None:
    # 3 of 4 words shared: P = R = 3/4. In order "the cat" or "cat sat": longest common run of order is 2.
    result = score(HEADLINE, ["sat the cat now"], ["The cat sat down!"])
    assert result.raw["rouge_1"] == pytest.approx(0.75)
    assert result.raw["rouge_l"] == pytest.approx(0.5)
    assert result.primary == pytest.approx(0.5)


def test_rouge_does_not_stem_and_takes_plain_means() -> None:
    result = score(HEADLINE, ["running dogs", "big news"], ["run dog", "big news"])
    assert result.per_item.tolist() == [0.0, 1.0]
    assert result.primary == 0.5
    assert score(HEADLINE, [""], ["a word"]).primary == 0.0


def test_bad_input_is_refused() -> None:
    with pytest.raises(ValueError, match="1 predictions for 2 golds"):
        score(STARS, ["1"], ["1", "2"])
    with pytest.raises(ValueError, match="0 predictions"):
        score(STARS, [], [])
    with pytest.raises(ValueError, match="not among the labels of lamp-3"):
        score(STARS, ["1"], ["6"])


def test_agreement_needs_valid_outputs() -> None:
    assert agreement(TAGS, ["comedy", "nonsense", "action"], ["comedy ", "nonsense", "comedy"]).tolist() == [
        1,
        0,
        0,
    ]
    assert agreement(STARS, ["5", "x", "2", "9"], ["4", "x", "2.0", "1"]).tolist() == [0.75, 0, 1, 0]
    assert agreement(HEADLINE, ["a b", "", "a b c d"], ["a b", "", "a b"]).tolist() == pytest.approx(
        [1, 0, 2 / 3]
    )


def test_agreement_is_the_score_against_the_other_output() -> None:
    said, other = ["big fire in town", "small news"], ["fire in the town", "small news"]
    np.testing.assert_allclose(agreement(HEADLINE, said, other), score(HEADLINE, said, other).per_item)
