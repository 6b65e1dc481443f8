"""Token evidence: what one forward pass of a model says about a set of records."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Self

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from attacks.arrays import BoolArray, FloatArray, IntArray
from attacks.shadow_scores import ShadowScores

FORMAT_VERSION = 1
# A float32 log-softmax may exceed zero by its rounding, and by no more than this.
_ROUNDING = 1e-4
_DTYPES = {
    "offsets": np.dtype(np.int64),
    "logp": np.dtype(np.float64),
    "mean_logp": np.dtype(np.float64),
    "std_logp": np.dtype(np.float64),
    "is_argmax": np.dtype(np.bool_),
    "token": np.dtype(np.int64),
    "compressed_bytes": np.dtype(np.int64),
}


@dataclass(frozen=True, eq=False)
class TokenScores:
    """Scores of the scored tokens of N records, T tokens in all, as ragged arrays.

    Attributes:
        offsets: ``(N + 1,)`` Record ``i`` holds the tokens ``offsets[i]:offsets[i + 1]``.
        logp: ``(T,)`` Log-probability of each token given those before it, in nats.
        mean_logp: ``(T,)`` Mean of log p under the next-token distribution itself: the sum of p log p.
        std_logp: ``(T,)`` Standard deviation of log p under the next-token distribution itself.
        is_argmax: ``(T,)`` True where the token was the likeliest one.
        token: ``(T,)`` A number that stands for the token; never a tokenizer's id.
        compressed_bytes: ``(N,)`` Length of ``zlib.compress`` of the scored text in UTF-8, in bytes.

    Raises:
        ValueError: An array has the wrong type or shape, is not finite or is out of its range.
    """

    offsets: IntArray
    logp: FloatArray
    mean_logp: FloatArray
    std_logp: FloatArray
    is_argmax: BoolArray
    token: IntArray
    compressed_bytes: IntArray

    def __post_init__(self) -> None:
        """Refuses evidence that no model can have produced."""
        for name, dtype in _DTYPES.items():
            array = getattr(self, name)
            if array.ndim != 1 or array.dtype != dtype:
                raise ValueError(f"{name}: expected one axis of {dtype}, got {array.ndim} of {array.dtype}")
        self._check_shapes()
        for name in ("logp", "mean_logp", "std_logp"):
            if not np.isfinite(getattr(self, name)).all():
                raise ValueError(f"{name}: holds values that are not finite")
        for name in ("logp", "mean_logp"):
            if (getattr(self, name) > _ROUNDING).any():
                raise ValueError(f"{name}: a log-probability is above zero")
        if (self.std_logp < 0).any():
            raise ValueError("std_logp: a standard deviation is negative")
        if (self.compressed_bytes < 1).any():
            raise ValueError("compressed_bytes: a compressed text is never empty")

    def _check_shapes(self) -> None:
        if len(self.offsets) < 1 or self.offsets[0] != 0 or (np.diff(self.offsets) < 0).any():
            raise ValueError("offsets: must start at 0 and never decrease")
        for name in ("logp", "mean_logp", "std_logp", "is_argmax", "token"):
            if len(getattr(self, name)) != self.offsets[-1]:
                raise ValueError(f"{name}: has {len(getattr(self, name))} tokens, not {self.offsets[-1]}")
        if len(self.compressed_bytes) != len(self):
            raise ValueError(f"compressed_bytes: has {len(self.compressed_bytes)} records, not {len(self)}")

    def __len__(self) -> int:
        """Returns the number of records."""
        return len(self.offsets) - 1

    @property
    def lengths(self) -> IntArray:
        """Scored tokens per record, ``(N,)``."""
        return np.diff(self.offsets)

    def record(self, index: int) -> slice:
        """Returns where the tokens of one record lie."""
        return slice(int(self.offsets[index]), int(self.offsets[index + 1]))

    def take(self, indices: Sequence[int] | IntArray) -> Self:
        """Returns the records at these positions, in this order.

        Args:
            indices: Positions from 0; a record may be taken more than once.

        Returns:
            New scores.
        """
        chosen = np.asarray(indices, dtype=np.int64)
        lengths = self.lengths[chosen]
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        within = np.arange(offsets[-1]) - np.repeat(offsets[:-1], lengths)
        tokens = np.repeat(self.offsets[chosen], lengths) + within
        return type(self)(
            offsets=offsets,
            logp=self.logp[tokens],
            mean_logp=self.mean_logp[tokens],
            std_logp=self.std_logp[tokens],
            is_argmax=self.is_argmax[tokens],
            token=self.token[tokens],
            compressed_bytes=self.compressed_bytes[chosen],
        )

    @classmethod
    def concat(cls, parts: Sequence["TokenScores"]) -> Self:
        """Joins scores, one after the other; all must use the same token numbers.

        Args:
            parts: At least one set of scores.

        Returns:
            The scores of all records.
        """
        lengths = np.concatenate([part.lengths for part in parts])
        joined = {
            field.name: np.concatenate([getattr(part, field.name) for part in parts])
            for field in fields(cls)
            if field.name != "offsets"
        }
        return cls(offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64), **joined)

    def sum(self) -> FloatArray:
        """Returns the sum of ``logp`` per record in nats, ``(N,)``; 0 for a record without tokens."""
        return sum_per_record(self.logp, self.offsets)

    def mean(self) -> FloatArray:
        """Returns the mean of ``logp`` per record in nats, ``(N,)``.

        Raises:
            ValueError: A record has no scored token.
        """
        empty = np.flatnonzero(self.lengths == 0)
        if len(empty):
            raise ValueError(f"record {empty[0]} has no scored token, so no mean")
        return self.sum() / self.lengths

    def save(self, path: Path) -> None:
        """Writes the scores as a safetensors file, which holds no text."""
        path.write_bytes(self.to_bytes())

    def to_bytes(self) -> bytes:
        """Returns the content of the file that `save` writes."""
        tensors = {field.name: getattr(self, field.name) for field in fields(self)}
        return save({**tensors, "format_version": np.array([FORMAT_VERSION])})

    @classmethod
    def load(cls, path: Path) -> Self:
        """Reads scores that `save` wrote.

        Raises:
            ValueError: The file is not such a file, is damaged, or is of another version.
        """
        try:
            tensors = load(path.read_bytes())
        except SafetensorError as error:
            raise ValueError(f"{path.name}: not a readable safetensors file ({error})") from None
        version = tensors.pop("format_version", np.array([0]))
        if version.tolist() != [FORMAT_VERSION]:
            raise ValueError(f"{path.name}: token evidence of version {FORMAT_VERSION} expected")
        if set(tensors) != set(_DTYPES):
            raise ValueError(f"{path.name}: expected the arrays {', '.join(_DTYPES)}")
        return cls(**tensors)


def sum_per_record(values: FloatArray, offsets: IntArray) -> FloatArray:
    """Sums token values per record.

    Args:
        values: ``(T,)``.
        offsets: ``(N + 1,)`` as in `TokenScores`.

    Returns:
        ``(N,)`` sums; 0 for a record without tokens.
    """
    sums = np.zeros(len(offsets) - 1)
    filled = np.diff(offsets) > 0
    if filled.any():
        # reduceat misreads empty segments; between the starts of filled ones there is nothing else.
        sums[filled] = np.add.reduceat(values, offsets[:-1][filled])
    return sums


# Scores of the same records, cut by the same tokenizer into the same tokens as the target's.
_ALIKE = ("reference", "pretrained", "amplified", "prefixed", "prefixed_members", "repeated")


@dataclass(frozen=True, eq=False)
class Evidence:
    """What an attack reads about N records; what was not measured is None.

    Attributes:
        target: Scores of the records under the audited model.
        reference: Scores under the model it is calibrated with: the base without any personal module.
        pretrained: Scores under the public model, before it was adapted to the task.
        amplified: Scores under the base with the deployed change scaled up to a sharer's norm.
        prefixed: Scores under the audited model after records that nobody trained on.
        prefixed_members: Scores under the audited model after records that are known to be members.
        repeated: Scores of each record's second copy where the audited model reads it twice in a row.
        lowercase: Scores of the records in lower case under the audited model; their tokens are others.
        neighbours: Scores of ``k`` altered copies of each record under the audited model, ``k * N`` records:
            those of record ``i`` lie at ``k * i`` up to ``k * (i + 1)``.
        gradient_norm: ``(N,)`` Norm of the gradient of the mean loss over the LoRA parameters.
        overlap: ``(N,)`` Overlap of what the audited model generates from a record's prompt with the
            record's answer, minus the same for the base.
        shadows: Scores under shadow models.
        population: The same kinds of evidence about other records, which nobody trained on.
        corpus: ``(V,)`` Counts of the tokens, by token number, in public text that holds no audited record.

    Raises:
        ValueError: A part is about other records or tokens than the target's.
    """

    target: TokenScores
    reference: TokenScores | None = None
    pretrained: TokenScores | None = None
    amplified: TokenScores | None = None
    prefixed: TokenScores | None = None
    prefixed_members: TokenScores | None = None
    repeated: TokenScores | None = None
    lowercase: TokenScores | None = None
    neighbours: TokenScores | None = None
    gradient_norm: FloatArray | None = None
    overlap: FloatArray | None = None
    shadows: ShadowScores | None = None
    population: "Evidence | None" = None
    corpus: IntArray | None = None

    def __post_init__(self) -> None:
        """Refuses parts about other records, or that another tokenizer cut."""
        for name in _ALIKE:
            part: TokenScores | None = getattr(self, name)
            if part is None:
                continue
            if not np.array_equal(self.target.offsets, part.offsets):
                raise ValueError(f"{name}: its records are not the target's (their lengths differ)")
            if not np.array_equal(self.target.token, part.token):
                raise ValueError(f"{name}: its tokens are not the target's; both need the same token numbers")
        for name in ("lowercase", "gradient_norm", "overlap", "shadows"):
            other = getattr(self, name)
            if other is not None and len(other) != len(self):
                raise ValueError(f"{name}: has {len(other)} records, not {len(self)}")
        for name in ("gradient_norm", "overlap"):
            values = getattr(self, name)
            if values is not None and not np.isfinite(values).all():
                raise ValueError(f"{name}: holds values that are not finite")
        if self.neighbours is not None and (
            not len(self) or not len(self.neighbours) or len(self.neighbours) % len(self)
        ):
            raise ValueError(
                f"neighbours: {len(self.neighbours)} are no whole number for {len(self)} records"
            )
        if self.corpus is not None and (self.corpus.ndim != 1 or (self.corpus < 0).any()):
            raise ValueError("corpus: expected one axis of counts")

    def __len__(self) -> int:
        """Returns the number of records."""
        return len(self.target)

    def has(self, part: str) -> bool:
        """Says whether a part was measured; the arrays of `TokenScores` always are."""
        return part in _DTYPES or getattr(self, part) is not None

    def take(self, indices: Sequence[int] | IntArray) -> Self:
        """Returns the evidence about the records at these positions, in this order."""
        chosen = np.asarray(indices, dtype=np.int64)
        found: dict[str, Any] = {}
        for part in fields(self):
            value = getattr(self, part.name)
            if value is None or part.name in ("population", "corpus"):
                found[part.name] = value
            elif part.name == "neighbours":
                count = len(value) // len(self)
                found[part.name] = value.take((chosen[:, None] * count + np.arange(count)).ravel())
            elif isinstance(value, np.ndarray):
                found[part.name] = value[chosen]
            else:
                found[part.name] = value.take(chosen)
        return type(self)(**found)
