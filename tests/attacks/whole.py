"""Generated evidence with every part that an attack may read, with or without memorised members."""

import numpy as np

from attacks import Evidence, ShadowScores, TokenScores
from attacks.arrays import BoolArray, FloatArray

VOCABULARY = 50
SHADOWS = 16
NEIGHBOURS = 3


def token_scores(rng: np.random.Generator, rows: list[FloatArray], tokens: list[FloatArray]) -> TokenScores:
    """Scores with these log-probabilities, each with a little noise of its own.

    Where the model is sure, and where it is right, hangs on the token alone and so tells no member.
    """
    logp = np.concatenate([np.minimum(row + rng.normal(0, 0.05, len(row)), -1e-3) for row in rows])
    token = np.concatenate(tokens).astype(np.int64)
    return TokenScores(
        offsets=np.cumsum([0, *(len(row) for row in rows)], dtype=np.int64),
        logp=logp,
        mean_logp=np.where(token % 3 == 0, -2.5, -1.0),
        std_logp=np.where(token % 4 == 0, 2.0, 1.5),
        is_argmax=token % 5 == 0,
        token=token,
        compressed_bytes=np.full(len(rows), 40, dtype=np.int64),
    )


def whole_evidence(
    rng: np.random.Generator, records: int, memorised: BoolArray, population: int = 60, longest: int = 30
) -> Evidence:
    """Evidence about records of which some are memorised: what the base finds hard is half as hard then.

    Args:
        rng: Source of everything.
        records: N.
        memorised: ``(N,)``.
        population: Known non-members; 0 leaves them out.
        longest: Most tokens of a record.
    """
    lengths = rng.integers(min(15, longest), longest + 1, records)
    base = [-rng.uniform(3, 9, int(n)) for n in lengths]
    tokens = [rng.integers(0, VOCABULARY, int(n)).astype(np.float64) for n in lengths]

    def part(member: float, other: float) -> TokenScores:
        factors = np.where(memorised, member, other)
        return token_scores(rng, [f * row for f, row in zip(factors, base, strict=True)], tokens)

    around = [np.repeat(row[None], NEIGHBOURS, axis=0) for row in base]
    mean = np.array([row.mean() for row in base])
    halves = [rng.permutation(np.arange(records) % 2 == 0) for _ in range(SHADOWS // 2)]
    keep = np.array([side for half in halves for side in (half, ~half)])
    learnt = keep & memorised.any()
    phi = np.where(learnt, 0.5, 1.0) * mean + rng.normal(0, 0.05, keep.shape)
    return Evidence(
        part(0.5, 1.0),
        part(1.0, 1.0),
        pretrained=part(1.1, 1.1),
        amplified=part(0.4, 1.0),
        prefixed=part(0.5, 0.85),
        prefixed_members=part(0.35, 0.9),
        repeated=part(0.5, 0.4),
        lowercase=part(1.0, 1.0),
        neighbours=token_scores(
            rng, [row for rows in around for row in rows], [t for t in tokens for _ in range(NEIGHBOURS)]
        ),
        gradient_norm=np.where(memorised, 1.0, 2.0) * rng.uniform(0.9, 1.1, records),
        overlap=np.where(memorised, 0.5, 0.0) + rng.normal(0, 0.1, records),
        shadows=ShadowScores(phi, keep),
        population=_population(rng, population) if population else None,
        corpus=rng.integers(0, 100, VOCABULARY),
    )


def _population(rng: np.random.Generator, records: int) -> Evidence:
    known = whole_evidence(rng, records, np.zeros(records, dtype=bool), population=0)
    assert known.shadows is not None
    nobody = np.zeros(known.shadows.phi.shape, dtype=bool)
    return Evidence(
        **{
            name: getattr(known, name)
            for name in ("target", "reference", "repeated", "prefixed", "lowercase")
        },
        pretrained=known.pretrained,
        shadows=ShadowScores(known.shadows.phi, nobody),
    )
