"""Black-box linkage on made-up gains: known answers, who counts as merged, calibration and power."""

from collections.abc import Sequence

import numpy as np
import pytest

from attacks import (
    SharerGains,
    TargetGains,
    adjusted_auc,
    learnt,
    linkage_auc,
    mean_gain,
    similarity_auc,
)

MEMBER = np.array([True, True, False, False])


def sharer(trained: float, held_out: float, weight: float = 0.0, similarity: float = 0.0) -> SharerGains:
    """Two records on either side of the coin, around the means."""
    gains = np.array([trained - 1, trained + 1, held_out - 1, held_out + 1])
    return SharerGains(gains, MEMBER, weight, similarity)


def target(*sharers: SharerGains) -> TargetGains:
    return TargetGains({f"s{place}": one for place, one in enumerate(sharers)})


def test_scores_are_means_over_either_side_and_their_difference() -> None:
    one = sharer(3.0, 1.0)
    assert [one.score(name) for name in ("trained", "held-out", "difference")] == [3.0, 1.0, 2.0]
    alone = SharerGains(np.array([2.0, 4.0]), np.array([True, True]), 1.0, 0.0)
    assert [alone.score(name) for name in ("trained", "held-out", "difference")] == [3.0, None, None]


def test_the_auc_is_that_of_the_ranks_and_ties_count_one_half() -> None:
    # Merged 3 and 1 against 2 and 1: over 2 and 1, over neither and tied with 1: (2 + 1/2) / 4.
    found = linkage_auc([target(sharer(3, 0, 1.0), sharer(1, 0, 1.0), sharer(2, 0), sharer(1, 0))], "trained")
    assert found.value == 0.625
    assert found.interval is None
    assert found.reason == "interval needs 6 targets, has 1"


def test_targets_count_alike_however_many_sharers_they_merge() -> None:
    clear = target(sharer(9, 0, 0.5), sharer(8, 0, 0.5), sharer(7, 0, 0.5), sharer(1, 0))
    wrong = target(sharer(1, 0, 1.0), sharer(2, 0))
    assert linkage_auc([clear, wrong], "trained").value == 0.5


def test_similarity_raises_the_gain_and_not_the_difference() -> None:
    """A merge that fits alike people without having learnt a record of theirs."""
    alike = [sharer(5, 5, 1.0, 0.9), sharer(4, 4, 1.0, 0.8)]
    fits = target(*alike, sharer(1, 1, 0.0, 0.2), sharer(0, 0, 0.0, 0.1))
    assert linkage_auc([fits], "trained").value == 1.0
    assert linkage_auc([fits], "held-out").value == 1.0
    assert linkage_auc([fits], "difference").value == 0.5
    assert similarity_auc([fits]).value == 1.0
    assert adjusted_auc([fits], "trained").value is None
    assert "separates merged from other sharers fully" in adjusted_auc([fits], "trained").reason


def test_what_similarity_explains_is_taken_off() -> None:
    similar = [0.9, 0.3, 0.8, 0.2]
    weights = [1.0, 1.0, 0.0, 0.0]

    def made(added: float) -> TargetGains:
        pairs = zip(similar, weights, strict=True)
        return target(*(sharer(2 * s + added * (w > 0), 0, w, s) for s, w in pairs))

    assert linkage_auc([made(0.0)], "trained").value == 0.75
    assert adjusted_auc([made(0.0)], "trained").value == 0.5
    # A small effect of merging that similarity hides.
    assert linkage_auc([made(0.1)], "trained").value == 0.75
    assert adjusted_auc([made(0.1)], "trained").value == 1.0


def test_targets_that_cannot_be_adjusted_are_counted() -> None:
    overlap = target(*(sharer(s, 0, w, s) for s, w in [(0.9, 1), (0.3, 1), (0.8, 0), (0.2, 0)]))
    apart = target(*(sharer(s, 0, w, s) for s, w in [(0.9, 1), (0.8, 1), (0.3, 0), (0.2, 0)]))
    found = adjusted_auc([overlap, apart], "trained")
    assert found.value == 0.5
    assert "1 of 2 targets left out" in found.reason


def test_a_weight_of_zero_is_nobody_elses() -> None:
    """It looks like a sharer never merged, and counts as one."""
    never, zero = sharer(1, 0), SharerGains(sharer(1, 0).gains, MEMBER, 0.0, 0.5)
    assert (never.group, zero.group) == ("others", "others")
    assert [never.score(s) for s in ("trained", "difference")] == [
        zero.score(s) for s in ("trained", "difference")
    ]
    found = [target(sharer(2, 0, 1.0), never, zero)]
    assert linkage_auc(found, "trained").value == 1.0


def test_a_negative_weight_stands_apart_and_below_one_half() -> None:
    one = [target(sharer(2, 0, 1.0), sharer(-3, 0, -1.0), sharer(0, 0), sharer(1, 0))]
    assert linkage_auc(one, "trained").value == 1.0
    assert linkage_auc(one, "trained", "turned").value == 0.0


@pytest.mark.parametrize("sharers", [(), (sharer(1, 0, 1.0),), (sharer(1, 0),)])
def test_without_both_groups_nothing_is_said(sharers: Sequence[SharerGains]) -> None:
    alone = [target(*sharers)]
    for found in (
        linkage_auc(alone, "trained"),
        similarity_auc(alone),
        adjusted_auc(alone, "trained"),
    ):
        assert found.value is None
        assert found.reason.startswith("undefined: no target has both merged and other sharers")


def test_a_mean_gain_is_over_targets_of_means_over_sharers() -> None:
    both = [target(sharer(4, 0, 1.0), sharer(2, 0, 1.0), sharer(9, 0)), target(sharer(1, 0, 1.0))]
    found = mean_gain(both, "trained", lambda one: one.group == "merged")
    assert found.value == 2.0


def test_what_does_not_belong_together_is_refused() -> None:
    with pytest.raises(ValueError, match="gains: 4 for 3 records"):
        SharerGains(np.zeros(4), MEMBER[:3], 1.0, 0.0)
    with pytest.raises(ValueError, match="not finite"):
        SharerGains(np.array([1.0, np.nan, 0.0, 0.0]), MEMBER, 1.0, 0.0)


def test_what_a_module_adds_is_over_sharers_of_means_over_their_targets() -> None:
    # s0 has 4 and 2 in two targets and 1 without it; s1 has 3 in one and 3 without it; s2 is not merged.
    both = [
        target(sharer(4, 0, 1.0), sharer(3, 0, 1.0), sharer(9, 0)),
        target(sharer(2, 0, 1.0), sharer(7, 0), sharer(9, 0)),
    ]
    without = [target(sharer(1, 0, 1.0), sharer(3, 0, 1.0)), target(sharer(1, 0, 1.0))]
    found = learnt(both, without)
    assert found.value == pytest.approx((2.0 + 0.0) / 2)
    assert found.interval is None
    assert "6 merged sharers" in found.reason
    assert learnt([], []).value is None


def selected(rng: np.random.Generator, effect: float) -> tuple[list[TargetGains], list[TargetGains]]:
    """Targets that select 3 of 12 sharers by their trained records, whose models fit whoever is alike.

    A record is a point; models of a target fit records near it, with or without a sharer's module. Only with
    it a sharer's trained records gain `effect` more.
    """
    sharers, records = 12, 20
    people = rng.normal(size=(sharers, 8))
    points = people[:, None] + rng.normal(size=(sharers, records, 8)) / 0.6
    member = rng.permuted(np.tile(np.arange(records) < records // 2, (sharers, 1)), axis=1)
    centres = np.array([points[user][member[user]].mean(axis=0) for user in range(sharers)])
    deployed, without = [], []
    for wish in rng.normal(size=(12, 8)):
        cosine = centres @ wish / np.linalg.norm(centres, axis=1) / np.linalg.norm(wish)
        merged = np.argsort(-cosine)[:3]
        fit = points @ wish / 4
        noise = rng.normal(size=(2, sharers, records)) / 4
        sides: list[dict[str, SharerGains]] = [{}, {}]
        for user in range(sharers):
            weight = float(user in merged)
            for side, with_module in enumerate((1.0, 0.0)):
                gains = fit[user] + noise[side, user] + effect * with_module * weight * member[user]
                sides[side][f"s{user}"] = SharerGains(gains, member[user], weight, cosine[user])
        deployed.append(TargetGains(sides[0]))
        without.append(TargetGains({u: one for u, one in sides[1].items() if one.group == "merged"}))
    return deployed, without


def claims(effect: float, rounds: int) -> tuple[int, float]:
    """How often the interval lies above zero, and the mean AUC of the difference."""
    count, areas = 0, []
    for seed in range(rounds):
        both = selected(np.random.default_rng([seed, rounds]), effect)
        found = learnt(*both)
        count += found.interval is not None and found.interval.low > 0
        areas.append(linkage_auc(both[0], "difference").value or 0.0)
    return count, float(np.mean(areas))


def test_being_selected_by_trained_records_passes_for_no_module() -> None:
    """At most the 99.9 % point of 100 draws at 2.5 %; the AUC alone would say that there is something."""
    count, area = claims(0.0, 100)
    assert count <= 9
    assert area > 0.55


def test_a_module_that_has_learnt_its_records_is_seen() -> None:
    assert claims(1.0, 20)[0] >= 18


@pytest.mark.long
def test_no_module_is_claimed_more_often_than_once_in_forty() -> None:
    assert claims(0.0, 1000)[0] <= 41


def study(rng: np.random.Generator, effect: float, targets: int = 6, sharers: int = 8) -> list[TargetGains]:
    """Targets of two families that merge the two sharers most like them; members stand out by `effect`.

    Every record has a part of its own that is the same for all targets, so that targets share their luck.
    """
    member = [rng.random(12) < 0.5 for _ in range(sharers)]
    record = rng.normal(size=(sharers, 12))
    found = []
    for place in range(targets):
        similarity = rng.normal(size=sharers) + 2 * (np.arange(sharers) % 2 == place % 2)
        merged = np.argsort(-similarity)[:2]
        one = {}
        for user in range(sharers):
            gains = similarity[user] + record[user] + 0.5 * rng.normal(size=12)
            weight = 0.5 * float(user in merged)
            one[f"s{user}"] = SharerGains(
                gains + effect * member[user] * (weight > 0), member[user], weight, similarity[user]
            )
        found.append(TargetGains(one))
    return found


def test_the_gain_alone_is_confounded_where_the_difference_is_not() -> None:
    rng = np.random.default_rng(5)
    raw, clean = zip(
        *(
            [linkage_auc(one, score).value or 0.0 for score in ("trained", "difference")]
            for one in (study(rng, 0.0) for _ in range(60))
        ),
        strict=True,
    )
    assert np.mean(raw) > 0.85
    assert abs(np.mean(clean) - 0.5) < 0.05


def missed(rounds: int) -> int:
    """How often the interval over targets leaves out one half, where nothing is shared between targets."""
    rng, count = np.random.default_rng(rounds), 0
    for _ in range(rounds):
        found = linkage_auc([study(rng, 0.0, targets=1)[0] for _ in range(10)], "difference")
        if found.interval is not None:
            count += not found.interval.low <= 0.5 <= found.interval.high
    return count


def test_the_interval_over_targets_seldom_misses() -> None:
    assert missed(60) <= 8


@pytest.mark.long
def test_the_interval_over_targets_misses_once_in_twenty() -> None:
    assert missed(2000) <= 140


def centred(rounds: int) -> float:
    """The mean adjusted AUC of a score that is similarity and noise, with groups that overlap."""
    rng, values = np.random.default_rng(rounds), []
    for _ in range(rounds):
        weights = rng.permutation([1.0] * 3 + [0.0] * 5)
        similar = rng.normal(size=8) + weights
        one = target(*(sharer(3 * s + rng.normal(), 0, w, s) for s, w in zip(similar, weights, strict=True)))
        values += [value] if (value := adjusted_auc([one], "trained").value) is not None else []
    return float(np.mean(values))


def test_what_is_left_of_similarity_and_noise_is_chance() -> None:
    assert centred(300) == pytest.approx(0.5, abs=0.05)
