import gc
import weakref
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import norm

from attacks import ATTACKS as KNOWN
from attacks import Evidence, ShadowScores, TokenScores
from attacks.statistics import UserScores, auc
from prime_audit.audit import AuditTables, Panel, Scored, Subjects, audit
from prime_audit.audit.panel import build_panel
from prime_audit.audit.verdict import TestKey, run_tests, with_repeats
from prime_audit.core import Seeds
from prime_audit.results import Finding

USERS = ("a", "b", "c", "d", "e", "f")
RECORDS = 24
ATTACKS = ("loss", "zlib", "min-k", "min-k++", "reference")


def flips(seed: int = 0) -> dict[str, NDArray[np.bool_]]:
    rng = np.random.default_rng(seed)
    return {user: rng.permutation(np.arange(RECORDS) < RECORDS // 2) for user in USERS}


def scores(
    rng: np.random.Generator, shift: NDArray[np.float64], base: TokenScores | None = None
) -> TokenScores:
    """Six tokens a record; ``shift`` raises a record's log-probabilities (nats per token)."""
    records, tokens = len(shift), 6
    noise = rng.normal(0, 0.5, size=(records, tokens))
    level = noise - 3 if base is None else base.logp.reshape(records, tokens) + 0.2 * noise
    logp = (level + shift[:, None]).ravel()
    return TokenScores(
        offsets=np.arange(0, records * tokens + 1, tokens, dtype=np.int64),
        logp=logp,
        mean_logp=np.full(len(logp), -3.5),
        std_logp=rng.uniform(0.5, 1.5, len(logp)),
        is_argmax=np.zeros(len(logp), dtype=bool),
        token=np.zeros(len(logp), dtype=np.int64),
        compressed_bytes=rng.integers(20, 60, records),
    )


def evidence(member: NDArray[np.bool_], leak: float, seed: int, sign: int = 1) -> Evidence:
    rng = np.random.default_rng(seed)
    base = scores(rng, np.zeros(len(member)))
    return Evidence(scores(rng, sign * leak * member.astype(float), base), base)


def scored(members: dict[str, NDArray[np.bool_]], leak: float, seed: int, sign: int = 1) -> list[Scored]:
    """Two targets, each with three of the six users."""
    entries = []
    for number, subjects in enumerate((USERS[:3], USERS[3:])):
        member = np.concatenate([members[user] for user in subjects])
        found = evidence(member, leak, seed + number, sign)
        entries.append(Scored(f"target-{number}", subjects, found, (sign,) * 3))
    return entries


def run(methods: dict[str, list[Scored]], alarms: dict[str, list[Scored]] | None = None) -> AuditTables:
    group = Subjects("sharer", methods, alarms or {})
    return audit([group], flips(), ATTACKS, Seeds(1), 1000, "reference")


def value(tables: AuditTables, name: str, method: str, attack: str) -> float:
    found = [
        metric.value
        for metric in tables.metrics
        if (metric.id, metric.method, metric.attack, metric.user, metric.slice)
        == (name, method, attack, None, None)
    ]
    assert len(found) == 1
    assert found[0] is not None
    return found[0]


def verdict(tables: AuditTables, method: str) -> tuple[str, str | None]:
    found = [finding for finding in tables.findings if finding.method == method]
    assert len(found) == 1
    return found[0].verdict, found[0].attack


def test_planted_memorisation_is_a_leak_under_the_reference_attack() -> None:
    tables = run({"merge": scored(flips(), leak=0.3, seed=1)})
    assert value(tables, "mia.auc", "merge", "reference") > 0.95
    assert value(tables, "mia.auc", "merge", "loss") < value(tables, "mia.auc", "merge", "reference")
    assert verdict(tables, "merge") == ("leak", "reference")


def test_no_memorisation_is_none_detected_with_what_would_have_been_seen() -> None:
    tables = run({"merge": scored(flips(), leak=0.0, seed=2)})
    assert verdict(tables, "merge")[0] == "none detected"
    seen = [finding.could_have_seen for finding in tables.findings]
    # 6 users, 12 + 12 records each: one AUC has a null sd of .048; power .9 takes about 3.6 sd.
    assert all(number is not None and 0.6 < number < 0.75 for number in seen)


def test_a_negative_weight_is_turned_over() -> None:
    members = flips()
    turned = run({"merge": scored(members, leak=0.3, seed=1, sign=-1)})
    assert value(turned, "mia.auc", "merge", "reference") > 0.95
    assert verdict(turned, "merge") == ("leak", "reference")
    assert {m.adversary for m in turned.metrics if m.attack == "reference"} == {"A1"}


def test_a_target_that_fell_back_scores_exactly_half_and_has_a_merged_row() -> None:
    members = flips()
    entries = scored(members, leak=0.3, seed=1)
    base = entries[1].evidence.reference
    assert base is not None
    entries[1] = Scored("target-1", USERS[3:], Evidence(base, base), (1, 1, 1), merged=False)
    tables = run({"merge": entries})
    merged = [
        metric.value
        for metric in tables.metrics
        if metric.id == "mia.auc" and metric.attack == "reference" and metric.slice and metric.user is None
    ]
    assert merged[0] is not None
    assert merged[0] > 0.95
    assert value(tables, "mia.auc", "merge", "reference") == pytest.approx((merged[0] + 0.5) / 2)


def test_a_control_that_fires_makes_every_finding_inconclusive() -> None:
    members = flips()
    tables = run(
        {"merge": scored(members, leak=0.3, seed=1)}, {"control-placebo": scored(members, leak=0.6, seed=5)}
    )
    assert verdict(tables, "merge")[0] == "inconclusive"
    assert all("control-placebo" in finding.reason for finding in tables.findings)
    assert verdict(tables, "control-placebo")[0] == "inconclusive"


def test_a_control_below_the_alarm_stays_quiet_and_has_no_leak_of_its_own() -> None:
    members = flips()
    tables = run(
        {"merge": scored(members, leak=0.3, seed=1)}, {"control-placebo": scored(members, leak=0.02, seed=2)}
    )
    assert verdict(tables, "merge") == ("leak", "reference")
    assert verdict(tables, "control-placebo")[0] == "none detected"
    p = next(finding.p for finding in tables.findings if finding.method == "control-placebo")
    assert p is not None
    assert 0.001 < p < 0.05


def test_a_rate_that_needs_more_records_is_undefined_with_the_number() -> None:
    tables = run({"merge": scored(flips(), leak=0.3, seed=1)})
    rate = [m for m in tables.metrics if m.id == "mia.tpr_at_fpr_0.01" and m.attack == "reference"]
    assert [metric.status for metric in rate] == ["undefined"]
    assert "needs 300 non-member records, has 72" in rate[0].reason


def test_records_of_one_token_make_loss_alone_defined() -> None:
    members = flips()
    entries = []
    for entry in scored(members, leak=0.3, seed=1):
        parts = [entry.evidence.target, entry.evidence.reference]
        short = []
        for part in parts:
            assert part is not None
            first = part.offsets[:-1]
            short.append(
                TokenScores(
                    offsets=np.arange(len(part) + 1, dtype=np.int64),
                    logp=part.logp[first],
                    mean_logp=part.mean_logp[first],
                    std_logp=part.std_logp[first],
                    is_argmax=part.is_argmax[first],
                    token=part.token[first],
                    compressed_bytes=np.full(len(part), 9, dtype=np.int64),
                )
            )
        entries.append(Scored(entry.target, entry.subjects, Evidence(short[0], short[1]), entry.signs))
    tables = run({"merge": entries})
    status = {m.attack: (m.status, m.reason) for m in tables.metrics if m.id == "mia.auc" and m.user is None}
    assert status["loss"][0] == "ok"
    assert status["reference"][0] == "ok"
    # One token: zlib divides by a constant, and Min-K has nothing to choose from.
    assert status["zlib"] == ("undefined", "same as loss: it ranks at least 99 % of the records alike")
    assert status["min-k"][0] == "undefined"


def test_an_attack_left_out_changes_no_other_attacks_raw_figures() -> None:
    entries = {"merge": scored(flips(), leak=0.1, seed=3)}
    every = run(entries)
    fewer = audit([Subjects("sharer", entries)], flips(), ("loss", "reference"), Seeds(1), 1000, "reference")
    for name in ("mia.auc", "mia.p"):
        assert value(every, name, "merge", "reference") == value(fewer, name, "merge", "reference")


def test_scores_of_a_negative_weight_are_mirrored_and_can_be_pooled() -> None:
    members = flips()
    entries = scored(members, leak=0.3, seed=1)
    mixed = scored(members, leak=0.3, seed=1, sign=-1)
    positive = value(run({"merge": entries}), "mia.auc_pooled", "merge", "loss")
    both = value(run({"merge": [entries[0], mixed[1]]}), "mia.auc_pooled", "merge", "loss")
    # Turning the sign alone would put every record of three users above all others' members.
    assert both == pytest.approx(positive, abs=0.1)


def test_two_records_a_side_are_too_few_to_say_anything() -> None:
    member = np.array([True, False, True, False])
    few = {"a": member}
    entries = [Scored("t", ("a",), evidence(member, 0.0, 3), (1,))]
    tables = audit([Subjects("sharer", {"merge": entries})], few, ("reference",), Seeds(1), 1000, "reference")
    assert verdict(tables, "merge")[0] == "inconclusive"
    assert "too few records" in tables.findings[0].reason


def test_a_method_without_any_defined_figure_is_inconclusive() -> None:
    entries = scored(flips(), leak=0.3, seed=1)
    constant = []
    for entry in entries:
        base = entry.evidence.reference
        assert base is not None
        constant.append(Scored(entry.target, entry.subjects, Evidence(base, base), entry.signs, merged=False))
    tables = audit(
        [Subjects("sharer", {"merge": constant})], flips(), ("reference",), Seeds(1), 1000, "reference"
    )
    assert [metric.reason for metric in tables.metrics] == ["all scores are tied"]
    assert verdict(tables, "merge") == ("inconclusive", None)


def test_an_attack_that_mostly_backs_off_is_undefined() -> None:
    # The model is never sure of the next token, so that no token is a surprise and all scores are Min-K's.
    unsure = [
        Scored(
            entry.target,
            entry.subjects,
            Evidence(
                replace(entry.evidence.target, mean_logp=np.full(len(entry.evidence.target.logp), -3.0))
            ),
            entry.signs,
        )
        for entry in scored(flips(), 0.5, 1)
    ]
    tables = audit([Subjects("sharer", {"merge": unsure})], flips(), ("loss", "surp"), Seeds(1), 1000, "loss")
    (found,) = [metric for metric in tables.metrics if metric.attack == "surp"]
    assert (found.value, found.status) == (None, "undefined")
    assert found.reason == "it backed off to another attack on 100% of the records"


def test_the_blind_control_is_an_alarm() -> None:
    rng = np.random.default_rng(0)
    shown = tuple(
        UserScores(user, flips()[user], (rng.normal(0, 0.1, RECORDS) + flips()[user])[None]) for user in USERS
    )
    count = RECORDS * len(USERS)
    seen = Panel(shown, count, count, oriented=False, copies_loss=False)
    group = Subjects("sharer", {"merge": scored(flips(), 0.6, 1)}, seen=seen)
    tables = audit([group], flips(), ATTACKS, Seeds(1), 2000, "reference")
    verdicts = {finding.method: finding for finding in tables.findings}
    assert verdicts["merge"].verdict == "inconclusive"
    assert "control-blind departs from one half" in verdicts["merge"].reason
    assert verdicts["control-blind"].verdict == "inconclusive"


def test_the_order_of_the_attacks_changes_nothing() -> None:
    group = Subjects("sharer", {"merge": scored(flips(), 0.3, 1)})
    one = audit([group], flips(), ATTACKS, Seeds(1), 1000, "reference")
    other = audit([group], flips(), ATTACKS[::-1], Seeds(1), 1000, "reference")

    def by_key(tables: AuditTables) -> dict[tuple[object, ...], float | None]:
        return {metric.key: metric.value for metric in tables.metrics}

    assert by_key(one) == by_key(other)
    assert one.findings == other.findings


def test_an_attack_without_its_evidence_is_left_out_with_what_it_lacks() -> None:
    group = Subjects("sharer", {"merge": scored(flips(), 0.3, 1)})
    tables = audit([group], flips(), ("loss", "lira", "camia"), Seeds(1), 1000, "loss")
    assert tables.lacking == {("merge", "lira"): ("shadows",), ("merge", "camia"): ("population", "repeated")}
    assert {metric.attack for metric in tables.metrics} == {"loss"}


def test_the_gap_in_standard_deviations_is_that_of_each_user() -> None:
    entries = scored(flips(), 0.4, 1)
    tables = audit([Subjects("sharer", {"merge": entries})], flips(), ("loss",), Seeds(1), 1000, "loss")
    expected = []
    for entry in entries:
        means = entry.evidence.target.mean().reshape(3, RECORDS)
        for user, own in zip(entry.subjects, means, strict=True):
            inside, outside = own[flips()[user]], own[~flips()[user]]
            pooled = np.sqrt((inside.var(ddof=1) + outside.var(ddof=1)) / 2)
            expected.append((inside.mean() - outside.mean()) / pooled)
    assert value(tables, "mia.d_prime", "merge", "loss") == pytest.approx(np.mean(expected))


def test_held_out_records_that_repeat_members_take_back_that_nothing_was_found() -> None:
    def finding(method: str, verdict: str) -> Finding:
        return Finding.model_validate({"method": method, "verdict": verdict, "could_have_seen": 0.6})

    found = [finding("a", "none detected"), finding("b", "leak"), finding("control-base", "none detected")]
    assert with_repeats(found, 5, 100) == found
    verdicts = [one.verdict for one in with_repeats(found, 6, 100)]
    assert verdicts == ["inconclusive", "leak", "none detected"]
    assert with_repeats(found, 6, 100)[0].reason.startswith("6 of 100 non-members nearly repeat a member")


def test_what_a_merge_keeps_of_the_own_modules_leak() -> None:
    merged, own = scored(flips(), 0.03, 1), scored(flips(), 0.09, 1)
    group = Subjects("sharer", {"merge": merged}, references={"control-own-module": own})
    tables = audit([group], flips(), ATTACKS, Seeds(1), 1000, "reference")
    kept = value(tables, "mia.retained", "merge", "reference")
    aucs = [value(tables, "mia.auc", name, "reference") for name in ("merge", "control-own-module")]
    assert kept == pytest.approx(norm.ppf(aucs[0]) / norm.ppf(aucs[1]))
    assert 0 < kept < 1


def test_what_is_kept_is_measured_over_the_people_of_both() -> None:
    merged, own = scored(flips(), 0.03, 1), scored(flips(), 0.09, 1)
    group = Subjects("sharer", {"merge": merged[:1]}, references={"control-own-module": own})
    fewer = Subjects("sharer", {"merge": merged[:1]}, references={"control-own-module": own[:1]})
    kept = [
        value(
            audit([one], flips(), ATTACKS, Seeds(1), 1000, "reference"), "mia.retained", "merge", "reference"
        )
        for one in (group, fewer)
    ]
    assert kept[0] == kept[1]


def test_what_lacks_evidence_for_some_targets_is_counted() -> None:
    entries = scored(flips(), 0.3, 1)
    bare = replace(entries[1], evidence=replace(entries[1].evidence, reference=None))
    group = Subjects("sharer", {"merge": [entries[0], bare]})
    tables = audit([group], flips(), ("loss", "reference"), Seeds(1), 1000, "loss")
    assert tables.partial == {("merge", "reference"): (1, 2)}


def test_a_method_that_no_attack_could_be_run_on_has_a_finding() -> None:
    other = scored(flips(), 0.3, 2)
    bare = [replace(entry, evidence=replace(entry.evidence, reference=None)) for entry in other]
    group = Subjects("sharer", {"merge": scored(flips(), 0.3, 1), "other": bare})
    tables = audit([group], flips(), ("reference",), Seeds(1), 1000, "reference")
    assert verdict(tables, "other")[0] == "inconclusive"
    (found,) = [finding for finding in tables.findings if finding.method == "other"]
    assert found.reason == "no attack could be run on it; what was skipped says why"


def test_why_there_is_no_blind_control_is_kept() -> None:
    group = Subjects("sharer", {"merge": scored(flips(), 0.3, 1)}, seen="too few records for folds")
    tables = audit([group], flips(), ATTACKS, Seeds(1), 1000, "reference")
    assert [(gap.id, gap.reason) for gap in tables.unmade] == [
        ("control-blind/sharer", "too few records for folds")
    ]


class TestAttacksThatScoreOtherRecords:
    def panels(self, leak: float, seed: int) -> dict[TestKey, Panel]:
        """An attack on all records, and one that cannot score each user's first one."""
        whole = build_panel(scored(flips(seed), leak, seed), flips(seed), KNOWN["reference"], KNOWN["loss"])
        users = tuple(
            UserScores(user.user, user.member[1:], user.scores[:, 1:] + 0.0) for user in whole.users
        )
        fewer = replace(
            whole,
            users=users,
            scored=whole.scored - len(users),
            places=tuple(places[1:] for places in whole.places),
        )
        return {("sharer", "m", "all"): whole, ("sharer", "m", "fewer"): fewer}

    def test_are_tested_beside_the_others_at_a_shared_level(self) -> None:
        panels = self.panels(0.05, 3)
        both = run_tests(panels, np.random.default_rng(1), 1000)
        alone = run_tests(
            {key: panel for key, panel in panels.items() if key[2] == "all"}, np.random.default_rng(1), 1000
        )
        key = ("sharer", "m", "all")
        assert list(both) == list(panels)
        assert both[key].p_adjusted == pytest.approx(min(1.0, 2 * alone[key].p_adjusted))
        assert both[key].detectable > alone[key].detectable

    def test_as_many_records_that_are_others_are_no_shared_permutation(self) -> None:
        whole = self.panels(0.05, 3)["sharer", "m", "all"]
        same = {("sharer", "m", "one"): whole, ("sharer", "m", "two"): whole}
        other = replace(whole, places=tuple(places + RECORDS for places in whole.places))
        apart = {**same, ("sharer", "m", "two"): other}
        first, second = (run_tests(panels, np.random.default_rng(1), 1000) for panels in (same, apart))
        # Two groups share the level, so each is adjusted for both.
        key = ("sharer", "m", "one")
        assert second[key].p_adjusted == pytest.approx(min(1.0, 2 * first[key].p_adjusted))

    @pytest.mark.parametrize("draws", [50, pytest.param(1000, marks=pytest.mark.long)])
    def test_without_memory_rarely_reach_a_leak(self, draws: int) -> None:
        found = 0
        for seed in range(draws):
            tested = run_tests(self.panels(0.0, seed), np.random.default_rng(seed), 199)
            found += min(result.p_adjusted for result in tested.values()) <= 0.05
        assert found <= (73 if draws == 1000 else 8)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("name", ["lira", "bavaria", "lira-offline", "base-mia"])
def test_a_negative_weight_is_turned_over_once(name: str, sign: int) -> None:
    # The shadows went through the same merge: with the record they score lower where its weight is negative.
    rng = np.random.default_rng(5)
    member = flips()["a"]
    base = rng.normal(-4, 0.5, RECORDS)
    keep = np.array(
        [side for _ in range(8) for half in [rng.random(RECORDS) < 0.5] for side in (half, ~half)]
    )
    phi = base + sign * 0.3 * keep + rng.normal(0, 0.1, keep.shape)
    own = scores(rng, np.zeros(RECORDS))
    level = (base + sign * 0.3 * member + rng.normal(0, 0.1, RECORDS)).repeat(6)
    found = Evidence(replace(own, logp=level), shadows=ShadowScores(phi, keep))
    entry = Scored("t", ("a",), found, (sign,))
    panel = build_panel([entry], flips(), KNOWN[name], KNOWN["loss"])
    (user,) = panel.users
    assert auc(user.scores[0][user.member], user.scores[0][~user.member]) > 0.9


def test_evidence_is_in_memory_one_model_at_a_time() -> None:
    members, alive, most = flips(), list[weakref.ref[Evidence]](), 0

    class Read:
        """Entries that are made when somebody asks for them, as a study reads them from its files."""

        def __iter__(self) -> Iterator[Scored]:
            nonlocal most
            for place in (0, 1, 0, 1):
                entry = scored(members, 0.6, len(alive))[place]
                alive.append(weakref.ref(entry.evidence))
                most = max(most, sum(one() is not None for one in alive))
                yield entry
                del entry
                gc.collect()

    group = Subjects("sharer", {"merge": Read()}, {"base": Read()})
    tables = audit([group], members, ATTACKS, Seeds(1), 100, "reference")
    assert len(tables.panels["sharer", "merge", "loss"].users[0].scores) == 2
    # The one that is made, and the one before it that is still at hand.
    assert (len(alive), most) == (8, 2)
