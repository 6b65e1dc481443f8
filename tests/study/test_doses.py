"""Dose-response on made-up evidence in which the share protects and the norm does not."""

import json
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from attacks import Evidence, TokenScores
from prime_audit.audit import Scored
from prime_audit.config import FixedWeightsMethod, StudyConfig
from prime_audit.study.doses import dose_metrics

SHARERS = tuple(f"s{i}" for i in range(8))
RECORDS = 60
WEIGHTS = {"one": [1.0], "two": [1, 1], "four": [1] * 4, "eight": [1] * 8}


def token_scores(logp: np.ndarray[Any, np.dtype[np.float64]]) -> TokenScores:
    count = len(logp)
    return TokenScores(
        offsets=np.arange(count + 1),
        logp=np.minimum(logp, -0.01),
        mean_logp=np.full(count, -1.0),
        std_logp=np.ones(count),
        is_argmax=np.zeros(count, dtype=bool),
        token=np.zeros(count, dtype=np.int64),
        compressed_bytes=np.ones(count, dtype=np.int64),
    )


def config() -> StudyConfig:
    methods = [
        {"kind": "fixed-weights", "id": f"{name}-{norm}", "weights": weights, "norm": norm}
        for name, weights in WEIGHTS.items()
        for norm in (0.1, 1.0)
    ]
    audit = {"attacks": ["loss", "reference", "lira"]}
    study = {"schema_version": 1, "name": "doses", "task": "lamp-4", "methods": methods, "audit": audit}
    return StudyConfig.model_validate_json(json.dumps(study))


def evidence_of(study: StudyConfig) -> tuple[dict[str, Any], dict[str, list[Scored]]]:
    """A record's change is norm times (share times what is remembered, plus what the others make of it)."""
    rng = np.random.default_rng(0)
    member = np.arange(RECORDS) < RECORDS // 2
    base = {sharer: rng.normal(-5, 1, RECORDS) for sharer in SHARERS}
    noise = {(size, s): rng.normal(0, 0.2, RECORDS) for size in (1, 2, 4, 8) for s in SHARERS}
    outputs, scored = {}, {}
    for method in study.methods:
        weights = list(getattr(method, "weights", ()))
        norm = float(getattr(method, "norm", 0.0))
        share = 1 / np.sqrt(len(weights))
        outputs[f"deploy/{method.id}/t"] = {
            "sources": list(SHARERS[: len(weights)]),
            "weights": weights,
            "norm_ratio": norm,
        }
        entries = []
        for sharer in SHARERS:
            change = norm * (share * 0.5 * member + noise[len(weights), sharer])
            found = Evidence(token_scores(base[sharer] + change), token_scores(base[sharer]))
            entries.append(Scored("t", (sharer,), found, (1,)))
        scored[method.id] = entries
    return outputs, scored


def test_a_calibrated_attack_follows_the_share_and_not_the_norm() -> None:
    study = config()
    outputs, scored = evidence_of(study)
    flips = {sharer: np.arange(RECORDS) < RECORDS // 2 for sharer in SHARERS}
    found = {(m.id, m.attack): m for m in dose_metrics(study, outputs, scored, flips)}
    share, norm = found["dose.share", "reference"], found["dose.norm", "reference"]
    assert share.value is not None
    assert share.value > 0.9
    # A common factor leaves the records as they are to each other: nothing of the leak is left for the norm.
    assert norm.value is None
    # The last four sharers are in the merge of eight alone, where their share does not vary.
    assert share.n is not None
    assert share.n.users == 4
    assert "interval needs 6 sharers, has 4" in share.reason
    # An uncalibrated attack drowns a small change in how hard records are by themselves.
    plain = found["dose.norm", "loss"]
    assert plain.value is not None
    assert plain.value > 0.5


def test_an_attack_without_evidence_is_undefined() -> None:
    study = config()
    outputs, scored = evidence_of(study)
    flips = {sharer: np.arange(RECORDS) < RECORDS // 2 for sharer in SHARERS}
    found = {(m.id, m.attack): m for m in dose_metrics(study, outputs, scored, flips)}
    assert found["dose.share", "lira"].value is None
    assert found["dose.share", "lira"].reason


def test_two_merges_make_no_dose_response() -> None:
    study = config()
    two = study.model_copy(update={"methods": study.methods[:2]})
    assert dose_metrics(two, {}, {}, {}) == []


def test_no_weights_are_refused() -> None:
    with pytest.raises(ValidationError, match="at least 1 item"):
        FixedWeightsMethod(weights=())
