from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from attacks import Evidence, TokenScores
from attacks.evidence import sum_per_record

FIELDS = ("offsets", "logp", "mean_logp", "std_logp", "is_argmax", "token", "compressed_bytes")


def scores(*records: list[float]) -> TokenScores:
    """Evidence with these log-probabilities and otherwise distinguishable values."""
    logp = np.array([value for record in records for value in record], dtype=np.float64)
    count = len(logp)
    return TokenScores(
        offsets=np.cumsum([0, *(len(record) for record in records)], dtype=np.int64),
        logp=logp,
        mean_logp=-np.arange(count, dtype=np.float64) / 10,
        std_logp=1 + np.arange(count, dtype=np.float64) / 10,
        is_argmax=np.arange(count) % 2 == 0,
        token=np.arange(count, dtype=np.int64),
        compressed_bytes=10 + np.arange(len(records), dtype=np.int64),
    )


def assert_equal(first: TokenScores, second: TokenScores) -> None:
    for field in FIELDS:
        one, other = getattr(first, field), getattr(second, field)
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other, err_msg=field)


def test_records_lie_where_the_offsets_say() -> None:
    evidence = scores([-1.0, -3.0], [], [-0.5])
    assert len(evidence) == 3
    assert evidence.lengths.tolist() == [2, 0, 1]
    assert evidence.logp[evidence.record(0)].tolist() == [-1.0, -3.0]
    assert evidence.logp[evidence.record(1)].tolist() == []
    assert evidence.logp[evidence.record(2)].tolist() == [-0.5]


def test_sums_and_means_are_per_record() -> None:
    assert scores([-1.0, -3.0], [], [-0.5]).sum().tolist() == [-4.0, 0.0, -0.5]
    assert scores([-1.0, -3.0], [-0.5]).mean().tolist() == [-2.0, -0.5]


def test_the_mean_of_no_token_is_refused() -> None:
    with pytest.raises(ValueError, match="record 1 has no scored token"):
        scores([-1.0], []).mean()


@pytest.mark.parametrize("lengths", [[], [0], [0, 0], [0, 2, 0, 0, 3], [1, 0], [4]])
def test_sums_match_a_plain_loop_with_empty_records_anywhere(lengths: list[int]) -> None:
    values = np.arange(1.0, 1 + sum(lengths))
    offsets = np.cumsum([0, *lengths], dtype=np.int64)
    expected = [values[a:b].sum() for a, b in pairwise(offsets)]
    assert sum_per_record(values, offsets).tolist() == expected


def test_take_keeps_each_record_whole_in_the_order_asked() -> None:
    evidence = scores([-1.0, -3.0], [], [-0.5], [-2.0, -2.5, -2.75])
    taken = evidence.take([3, 1, 0, 0])
    assert taken.lengths.tolist() == [3, 0, 2, 2]
    assert taken.logp.tolist() == [-2.0, -2.5, -2.75, -1.0, -3.0, -1.0, -3.0]
    assert taken.token.tolist() == [3, 4, 5, 0, 1, 0, 1]
    assert taken.compressed_bytes.tolist() == [13, 11, 10, 10]
    assert len(evidence.take(np.array([], dtype=np.int64))) == 0


def test_concat_undoes_take() -> None:
    evidence = scores([-1.0, -3.0], [], [-0.5])
    assert_equal(TokenScores.concat([evidence.take([0]), evidence.take([1, 2])]), evidence)


@pytest.mark.parametrize("records", [[], [[]], [[-1.0, -3.0], [], [-0.5]]])
def test_a_saved_file_reads_back_the_same(tmp_path: Path, records: list[list[float]]) -> None:
    evidence = scores(*records)
    evidence.save(tmp_path / "scores.safetensors")
    assert_equal(TokenScores.load(tmp_path / "scores.safetensors"), evidence)


def test_equal_scores_make_equal_files(tmp_path: Path) -> None:
    scores([-1.0]).save(tmp_path / "a")
    scores([-1.0]).save(tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "scores.safetensors"
    scores([-1.0, -3.0]).save(path)
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(ValueError, match=r"scores\.safetensors: not a readable"):
        TokenScores.load(path)


def test_a_file_of_another_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "scores.safetensors"
    arrays = {field: getattr(scores([-1.0]), field) for field in FIELDS}
    save_file({**arrays, "format_version": np.array([99])}, path)
    with pytest.raises(ValueError, match="of version 1 expected"):
        TokenScores.load(path)


def test_a_file_without_one_of_the_arrays_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "scores.safetensors"
    arrays = {field: getattr(scores([-1.0]), field) for field in FIELDS[:-1]}
    save_file({**arrays, "format_version": np.array([1])}, path)
    with pytest.raises(ValueError, match="expected the arrays"):
        TokenScores.load(path)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("logp", np.array([-1.0, np.nan]), "logp: holds values that are not finite"),
        ("std_logp", np.array([1.0, np.inf]), "std_logp: holds values that are not finite"),
        ("logp", np.array([-1.0, 0.1]), "logp: a log-probability is above zero"),
        ("mean_logp", np.array([-1.0, 0.1]), "mean_logp: a log-probability is above zero"),
        ("std_logp", np.array([1.0, -0.1]), "std_logp: a standard deviation is negative"),
        ("logp", np.array([-1.0]), "logp: has 1 tokens, not 2"),
        ("logp", np.array([-1.0, -1.0], dtype=np.float32), "logp: expected one axis of float64"),
        ("token", np.array([[0, 1]]), "token: expected one axis"),
        ("offsets", np.array([1, 2]), "offsets: must start at 0"),
        ("offsets", np.array([0, 3, 2]), "offsets: must start at 0 and never decrease"),
        ("offsets", np.array([], dtype=np.int64), "offsets: must start at 0"),
        ("compressed_bytes", np.array([0]), "compressed_bytes: a compressed text is never empty"),
        ("compressed_bytes", np.array([9, 9]), "compressed_bytes: has 2 records, not 1"),
    ],
)
def test_evidence_that_no_model_can_give_is_refused(field: str, value: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(scores([-1.0, -3.0]), **{field: value})


def test_the_rounding_of_a_float32_softmax_is_no_fault() -> None:
    assert replace(scores([-1.0]), logp=np.array([2e-6])).logp[0] == 2e-6


def test_a_reference_must_hold_the_same_records_and_tokens() -> None:
    target = scores([-1.0, -3.0], [-0.5])
    assert Evidence(target, scores([-2.0, -2.0], [-2.0])).reference is not None
    with pytest.raises(ValueError, match="its records are not the target's"):
        Evidence(target, scores([-1.0], [-3.0, -0.5]))
    with pytest.raises(ValueError, match="its tokens are not the target's"):
        Evidence(target, replace(target, token=np.array([0, 1, 5])))
