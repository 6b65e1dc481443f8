"""Known answers of the attacks beyond the likelihood itself, and defects of other toolkits kept out."""

from dataclasses import replace

import numpy as np
import pytest

from attacks import Evidence, TokenScores, attack, user_inference, without_surprise
from attacks.arrays import FloatArray
from attacks.prefixes import con_recall
from attacks.reference import in_bfloat16, rounded
from attacks.surprise import dc_pdd, surp
from attacks.windows import ez, wbc, window_wins
from tests.attacks.whole import whole_evidence


def scores(*records: list[float], entropy: float = 1.0, tokens: list[int] | None = None) -> TokenScores:
    logp = np.array([value for record in records for value in record], dtype=np.float64)
    return TokenScores(
        offsets=np.cumsum([0, *(len(record) for record in records)], dtype=np.int64),
        logp=logp,
        mean_logp=np.full(len(logp), -entropy),
        std_logp=np.ones(len(logp)),
        is_argmax=np.zeros(len(logp), dtype=bool),
        token=np.array(tokens if tokens is not None else np.zeros(len(logp)), dtype=np.int64),
        compressed_bytes=np.full(len(records), 20, dtype=np.int64),
    )


class TestSums:
    def test_the_sum_of_two_tokens(self) -> None:
        assert attack("loss-sum").score(Evidence(scores([-1.0, -3.0]))).tolist() == [-4.0]


class TestLowercase:
    def test_a_text_without_capitals_gives_exactly_one(self) -> None:
        same = scores([-1.0, -2.0], [-3.0])
        assert attack("lowercase").score(Evidence(same, lowercase=same)).tolist() == [1.0, 1.0]

    def test_a_text_that_is_harder_in_lower_case_is_above_one(self) -> None:
        # The lower-case text may have other tokens, and another number of them.
        evidence = Evidence(scores([-1.0, -1.0]), lowercase=scores([-2.0, -1.0, -3.0]))
        assert attack("lowercase").score(evidence).tolist() == [2.0]

    def test_a_certain_model_does_not_divide_by_zero(self) -> None:
        evidence = Evidence(scores([0.0]), lowercase=scores([0.0]))
        assert attack("lowercase").score(evidence).tolist() == [1.0]


class TestReferences:
    def test_the_ratio_of_losses(self) -> None:
        assert attack("ratio").score(Evidence(scores([-1.0]), scores([-2.0]))).tolist() == [-0.5]

    def test_a_base_that_is_certain_does_not_divide_by_zero(self) -> None:
        certain = scores([0.0])
        assert attack("ratio").score(Evidence(scores([-1.0]), certain))[0] == pytest.approx(-1e8)
        # Certain with and without the adapter tells nothing, and is no best score.
        assert attack("ratio").score(Evidence(certain, certain)).tolist() == [-1.0]

    def test_the_pretrained_model_may_be_the_reference(self) -> None:
        evidence = Evidence(scores([-1.0]), scores([-9.0]), pretrained=scores([-1.5]))
        assert attack("reference-pretrained").score(evidence).tolist() == [0.5]

    def test_two_decimals(self) -> None:
        evidence = Evidence(scores([-1.004, -0.006]), scores([-1.0, -0.01]))
        assert attack("reference-2-decimals").score(evidence).tolist() == [0.0]
        assert rounded(evidence, 1).target.logp.tolist() == [-1.0, -0.0]
        assert evidence.target.logp.tolist() == [-1.004, -0.006]

    def test_rounding_reaches_every_model_that_is_there(self) -> None:
        target = scores([-1.004])
        alone = rounded(Evidence(target), 2)
        assert (alone.reference, alone.pretrained) == (None, None)
        both = rounded(Evidence(target, scores([-2.006]), pretrained=scores([-3.014])), 2)
        assert both.reference is not None
        assert both.pretrained is not None
        assert (both.reference.logp[0], both.pretrained.logp[0]) == (-2.01, -3.01)

    def test_no_rounded_log_probability_is_above_zero(self) -> None:
        # A float32 softmax may exceed zero by its rounding, an interface would not show it.
        assert rounded(Evidence(scores([6e-5, -0.1])), 4).target.logp.tolist() == [0.0, -0.1]

    def test_bfloat16_is_torchs(self) -> None:
        torch = pytest.importorskip("torch")
        values = -np.random.default_rng(0).exponential(3, 2000)
        found = in_bfloat16(Evidence(scores(values.tolist()), scores(values.tolist()))).target.logp
        expected = torch.tensor(values, dtype=torch.float32).to(torch.bfloat16).double().numpy()
        assert (found == expected).all()


class TestNeighbourhood:
    def test_identical_neighbours_give_nothing(self) -> None:
        evidence = Evidence(scores([-1.0], [-3.0]), neighbours=scores([-1.0], [-1.0], [-3.0], [-3.0]))
        assert attack("neighbourhood").score(evidence).tolist() == [0.0, 0.0]

    def test_each_record_has_neighbours_of_its_own(self) -> None:
        evidence = Evidence(scores([-1.0], [-3.0]), neighbours=scores([-2.0], [-4.0], [-3.0], [-5.0]))
        assert attack("neighbourhood").score(evidence).tolist() == [2.0, 1.0]
        assert attack("neighbourhood").score(evidence.take([1])).tolist() == [1.0]


class TestPrefixes:
    def test_the_ratio_of_two_log_likelihoods(self) -> None:
        evidence = Evidence(scores([-2.0]), prefixed=scores([-2.4]))
        assert attack("recall").score(evidence).tolist() == [pytest.approx(1.2)]

    def test_a_model_without_context_gives_one(self) -> None:
        same = scores([-1.0, -5.0], [-2.0])
        assert attack("recall").score(Evidence(same, prefixed=same)).tolist() == [1.0, 1.0]

    def test_members_and_nonmembers_contrasted(self) -> None:
        evidence = Evidence(scores([-2.0]), prefixed=scores([-2.4]), prefixed_members=scores([-1.8]))
        assert con_recall(0.5).score(evidence).tolist() == [pytest.approx(0.75)]
        assert con_recall(0.0).score(evidence) == attack("recall").score(evidence)

    def test_a_record_that_is_certain_either_way_is_not_ranked_lowest(self) -> None:
        certain = scores([0.0])
        evidence = Evidence(certain, prefixed=certain, prefixed_members=certain)
        assert attack("recall").score(evidence).tolist() == [1.0]
        assert con_recall(0.5).score(evidence).tolist() == [0.5]
        # A float32 softmax may exceed zero by its rounding; that must not turn the order over.
        surer = Evidence(scores([6e-5]), prefixed=scores([-1.0]))
        assert attack("recall").score(surer)[0] == pytest.approx(1e8)

    def test_known_members_are_another_threat(self) -> None:
        assert attack("con-recall").threat_model == "A4"
        with pytest.raises(ValueError, match="gamma"):
            con_recall(-1.0)

    def test_the_prefix_is_not_scored(self) -> None:
        # Other code averages over prefix and text; here the parts must have the record's own tokens.
        with pytest.raises(ValueError, match="prefixed: its records are not the target's"):
            Evidence(scores([-1.0]), prefixed=scores([-1.0, -2.0]))


class TestSurprise:
    def test_sure_and_yet_unlikely_tokens_count(self) -> None:
        record = scores([-0.1, -0.2, -6.0, -5.0, -0.3])
        unsure = replace(record, mean_logp=np.array([-1.0, -1.0, -3.0, -1.0, -1.0]))
        # The two least likely are the third and the fourth; at the third the model is not sure.
        assert surp(2.0, 0.4).score(Evidence(unsure)).tolist() == [-5.0]

    def test_without_such_a_token_it_is_min_k_and_counted(self) -> None:
        record = scores([-0.1, -6.0], [-0.1, -6.0])
        some = replace(record, mean_logp=np.array([-3.0, -3.0, -3.0, -1.0]))
        assert surp(2.0, 0.5).score(Evidence(some)).tolist() == [-6.0, -6.0]
        assert without_surprise(some, 2.0, 0.5).tolist() == [True, False]
        # Whether a figure is stated at all hangs on this share.
        assert without_surprise(some, 2.0, 0.5).mean() == 0.5

    def test_no_such_token_is_no_made_up_low_score(self) -> None:
        # Other code scores these records -100, below every other.
        unsure = replace(scores([-0.1, -0.2], [-4.0, -5.0]), mean_logp=np.full(4, -3.0))
        assert attack("surp").score(Evidence(unsure)).tolist() == [-0.2, -5.0]

    def test_a_share_outside_its_range_is_refused(self) -> None:
        with pytest.raises(ValueError, match="share"):
            surp(share=0.0)


class TestFrequencies:
    # Tokens A, A, B with p = .5, .5, .2 and f = .1, .001: counts that give these by (c + 1) / (N + V).
    record = scores([float(np.log(0.5)), float(np.log(0.5)), float(np.log(0.2))], tokens=[0, 0, 1])
    corpus = np.array([99, 0, 898])

    @pytest.mark.parametrize(("bound", "expected"), [(0.01, 0.01), (np.inf, 1.266422)])
    def test_first_occurrences_up_to_a_bound(self, bound: float, expected: float) -> None:
        found = dc_pdd(bound).score(Evidence(self.record, corpus=self.corpus))
        assert found == pytest.approx(expected, abs=1e-6)

    def test_a_later_occurrence_counts_nothing(self) -> None:
        once = scores([float(np.log(0.5)), float(np.log(0.2))], tokens=[0, 1])
        both = [dc_pdd(np.inf).score(Evidence(part, corpus=self.corpus))[0] for part in (once, self.record)]
        assert both[0] == pytest.approx(both[1])

    def test_a_token_that_the_corpus_does_not_number_is_refused(self) -> None:
        with pytest.raises(ValueError, match="corpus: counts 1 tokens, but there is a token 1"):
            dc_pdd().score(Evidence(self.record, corpus=self.corpus[:1]))
        # From the end it would be counted as another token.
        with pytest.raises(ValueError, match="corpus: counts 3 tokens, but there is a token -1"):
            dc_pdd().score(Evidence(scores([-1.0], tokens=[-1]), corpus=self.corpus))
        with pytest.raises(ValueError, match="bound"):
            dc_pdd(0.0)


class TestWindows:
    target, reference = np.array([-1.0, -2.0, -3.0, -4.0]), np.full(4, -2.0)

    def test_shares_of_windows(self) -> None:
        gains = self.target - self.reference
        assert window_wins(gains, (1, 2, 3)).tolist() == [0.25, pytest.approx(1 / 3), 0.0]

    def test_half_ties_are_another_variant(self) -> None:
        gains = self.target - self.reference
        found = window_wins(gains, (1, 2, 3), half_ties=True)
        assert found.tolist() == [0.375, pytest.approx(1 / 3), 0.25]

    def test_a_window_longer_than_the_record_is_the_record(self) -> None:
        evidence = Evidence(scores([-1.0, -1.0]), scores([-2.0, -1.5]))
        assert wbc((40,)).score(evidence).tolist() == [1.0]


class TestErrors:
    def test_gains_over_losses(self) -> None:
        evidence = Evidence(scores([-1.0, -2.0, -1.0]), scores([-1.3, -1.9, -1.2]))
        assert np.exp(ez(1e-12).score(evidence)) == pytest.approx([5.0])

    def test_all_gains_outrank_it(self) -> None:
        # Other code gives a record without losses the lowest score.
        evidence = Evidence(scores([-1.0, -2.0], [-1.0, -1.0]), scores([-1.3, -1.9], [-1.3, -1.1]))
        some, every = attack("ez").score(evidence)
        assert every > some > 0

    def test_tokens_that_the_model_gets_right_do_not_count(self) -> None:
        right = replace(scores([-0.1, -2.0]), is_argmax=np.array([True, False]))
        evidence = Evidence(right, scores([-5.0, -2.0]))
        assert attack("ez").score(evidence).tolist() == [0.0]

    def test_a_constant_of_zero_is_refused(self) -> None:
        with pytest.raises(ValueError, match="constant"):
            ez(0.0)

    def test_without_an_error_it_is_between_gain_and_loss(self) -> None:
        sure = replace(scores([-0.1], [-3.0], [-3.0]), is_argmax=np.array([True, False, False]))
        none, gain, loss = attack("ez").score(Evidence(sure, scores([-5.0], [-4.0], [-2.0])))
        assert (none, gain) == (0.0, -loss)
        assert gain > 0


class TestDirect:
    def test_the_smallest_gradient_scores_highest(self) -> None:
        # Another toolkit returns minus the norm where low means member, and is inverted.
        norms = np.array([0.0, 2.0, 1.0])
        found = attack("gradient-norm").score(Evidence(scores([-1.0], [-1.0], [-1.0]), gradient_norm=norms))
        assert found.argmax() == 0
        assert found.tolist() == (-norms).tolist()

    def test_generation_reads_text_alone(self) -> None:
        assert attack("generation").threat_model == "A3"
        assert attack("generation").needs == ("overlap",)


class TestUserInference:
    def test_the_mean_over_a_users_records(self) -> None:
        evidence = Evidence(scores([-1.0], [-1.0], [-2.0]), scores([-1.2], [-1.4], [-1.0]))
        assert user_inference(evidence, ["u", "u", "v"]) == {
            "u": pytest.approx(0.3),
            "v": pytest.approx(-1.0),
        }

    def test_one_user_per_record(self) -> None:
        with pytest.raises(ValueError, match="users: 1 for 2 records"):
            user_inference(Evidence(scores([-1.0], [-1.0]), scores([-1.0], [-1.0])), ["u"])


def brute_first(tokens: list[int], p: list[float], f: FloatArray, bound: float) -> float:
    seen: dict[int, float] = {}
    for token, probability in zip(tokens, p, strict=True):
        seen.setdefault(token, min(probability * -np.log(f[token]), bound))
    return float(np.mean(list(seen.values())))


def test_dc_pdd_equals_a_plain_loop() -> None:
    rng = np.random.default_rng(5)
    evidence = whole_evidence(rng, 15, np.zeros(15, dtype=bool))
    assert evidence.corpus is not None
    f = (evidence.corpus + 1) / (evidence.corpus.sum() + len(evidence.corpus))
    found = attack("dc-pdd").score(evidence)
    for i in range(15):
        part = evidence.target.record(i)
        tokens, p = evidence.target.token[part].tolist(), np.exp(evidence.target.logp[part]).tolist()
        assert found[i] == pytest.approx(brute_first(tokens, p, f, 0.01), rel=1e-12)
