"""Attribute inference: what kind of person is it, as far as modules, weights or the choice of sharers tell?

One user is one observation throughout: no label of whoever is asked about has a part in what is fitted.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from attacks.arrays import FloatArray, IntArray
from attacks.changes import Change, check_changes, inner_products

DRAWS: Final = 2000
LEVEL: Final = 0.05
# Fewest users of a class: with one of three left out, two still say what the others have in common.
FEWEST_OF_CLASS: Final = 3
# Added to the diagonal of cosines; a fixed number, so that nothing is chosen on the users in question.
RIDGE: Final = 1.0
# Scores that are equal but for rounding share a guess.
_TIE = 1e-9


@dataclass(frozen=True, eq=False)
class AttributeInference:
    """How often an attribute is guessed right.

    Attributes:
        accuracy: Share of users guessed right; None where it is undefined.
        majority: Share of the same users that are of the most frequent class: guessing without looking.
        p: One-sided p-value by permuting the attribute over users; None where no test can reach 0.05.
        correct: ``(n,)`` 1 for a right guess and 0 for a wrong one; a share where classes tie.
        classes: How many classes there are among them.
        reason: Why a figure is missing, or who was left out.
    """

    accuracy: float | None
    majority: float | None
    p: float | None
    correct: FloatArray
    classes: int
    reason: str


def cosine_kernel(changes: Sequence[Change]) -> FloatArray:
    """Returns the cosines between changes, over all their layers together.

    Args:
        changes: N adapters.

    Returns:
        ``(N, N)``.

    Raises:
        ValueError: One changes nothing, or layers have different shapes.
    """
    check_changes(changes, [f"module {place + 1}" for place in range(len(changes))])
    products = inner_products(changes).products.sum(axis=0)
    norms = np.sqrt(np.diag(products))
    return np.asarray(products / np.outer(norms, norms))


def weights_kernel(weights: Sequence[Sequence[float]]) -> FloatArray | None:
    """Returns how alike sets of merge weights are when nobody knows whose weight each is.

    Args:
        weights: Per user the merge weights; as many for each.

    Returns:
        ``(N, N)`` mean products of the sorted weights, standardised over users; None where no weight
        varies between users.
    """
    columns = np.sort(np.array(weights, dtype=np.float64), axis=1)
    spread = columns.std(axis=0)
    varied = spread > _TIE
    if not varied.any():
        return None
    standard = (columns[:, varied] - columns[:, varied].mean(axis=0)) / spread[varied]
    return np.asarray(standard @ standard.T / varied.sum())


def kernel_inference(
    kernel: FloatArray, labels: Sequence[str], rng: np.random.Generator, draws: int = DRAWS
) -> AttributeInference:
    """Predicts each user's attribute from all the others by kernel ridge regression.

    Each class has a target of ``1/n_c`` for its users less ``1/n``, so that a class gains nothing by its
    size: in a leave-one-out the class of whoever is left out is always one short. The largest value is the
    guess. The labels are permuted over users and everything fitted again to say how often chance does as
    well; accuracy itself has no interval, for the fits share all users but two.

    Args:
        kernel: ``(n, n)`` similarities of the users, such as cosines of their modules.
        labels: ``(n,)`` The users' attribute.
        rng: Source of the permutations.
        draws: Number of permutations.

    Returns:
        What was found among the users whose class has at least 3; undefined with fewer than 2 such classes.

    Raises:
        ValueError: The kernel is not finite, or not square with one row per label.
    """
    if kernel.shape != (len(labels), len(labels)) or not np.isfinite(kernel).all():
        raise ValueError(f"kernel: needs finite values, {len(labels)} by {len(labels)}")
    places, truth, names, note = _enough(labels)
    if len(names) < 2:
        return _undefined(note)
    drawn = _permutations(truth, rng, draws)
    correct = _leave_one_out(kernel[np.ix_(places, places)], drawn, len(names))
    return _judged(correct, truth, note, _arrangements(truth) // _renamings(truth))


def vote_inference(
    votes: FloatArray,
    labels: Sequence[str],
    names: Sequence[str],
    rng: np.random.Generator,
    draws: int = DRAWS,
) -> AttributeInference:
    """Judges guesses that rest on votes for classes, in which nothing was fitted to the users in question.

    Args:
        votes: ``(n, c)`` votes per user and class; classes with the most share the guess.
        labels: ``(n,)`` The users' attribute; one that is no class is never guessed.
        names: ``(c,)`` The classes.
        rng: Source of the permutations.
        draws: Number of permutations.

    Returns:
        What was found; undefined without users.

    Raises:
        ValueError: The votes are not finite, or do not match users and classes.
    """
    if votes.shape != (len(labels), len(names)) or not np.isfinite(votes).all():
        raise ValueError(f"votes: needs finite values, {len(labels)} by {len(names)}")
    if not len(labels):
        return _undefined("undefined: there are no users")
    every = [*names, *sorted(set(labels) - set(names))]
    truth = np.array([every.index(label) for label in labels])
    credit = np.zeros((len(labels), len(every)))
    credit[:, : len(names)] = _credit(votes)
    drawn = _permutations(truth, rng, draws)
    return _judged(credit[np.arange(len(labels)), drawn], truth, "", _arrangements(truth))


def _enough(labels: Sequence[str]) -> tuple[list[int], IntArray, list[str], str]:
    """Who can be asked about: places, classes by number, their names, and what is to be said of it."""
    sizes = Counter(labels)
    names = sorted(name for name, size in sizes.items() if size >= FEWEST_OF_CLASS)
    places = [place for place, label in enumerate(labels) if label in names]
    truth = np.array([names.index(labels[place]) for place in places], dtype=np.int64)
    missing = len(labels) - len(places)
    note = f"{missing} of {len(labels)} users left out: fewer than {FEWEST_OF_CLASS} of their class"
    if len(names) < 2:
        note = f"undefined: needs 2 classes of {FEWEST_OF_CLASS} users, has {len(names)}"
    return places, truth, names, note if missing or len(names) < 2 else ""


def _permutations(truth: IntArray, rng: np.random.Generator, draws: int) -> IntArray:
    """``(1 + draws, n)`` classes: the true ones first."""
    return np.concatenate([truth[None], rng.permuted(np.tile(truth, (draws, 1)), axis=1)])


def _leave_one_out(kernel: FloatArray, drawn: IntArray, classes: int) -> FloatArray:
    """``(draws, n)`` whether each user is guessed right from the others, for every draw of the classes.

    Ridge regression without a user predicts the user's value as its hat matrix does, with the user's own
    entry taken out and the rest over ``1 - H_ii``; so one inverse serves all users and draws.
    """
    count = len(kernel)
    hat = kernel @ np.linalg.inv(kernel + RIDGE * np.eye(count))
    pull = (hat - np.diag(np.diag(hat))) / (1 - np.diag(hat))[:, None]
    scores = np.empty((*drawn.shape, classes))
    for name in range(classes):
        held = drawn == name
        others = held.sum(axis=1, keepdims=True) - held
        scores[..., name] = (held @ pull.T) / others - pull.sum(axis=1) / (count - 1)
    credit = _credit(scores.reshape(-1, classes)).reshape(scores.shape)
    return np.asarray(np.take_along_axis(credit, drawn[..., None], axis=2)[..., 0])


def _credit(scores: FloatArray) -> FloatArray:
    """What guessing the class with the highest score earns by class; ties share it."""
    best = scores >= scores.max(axis=1, keepdims=True) - _TIE
    return np.asarray(best / best.sum(axis=1, keepdims=True))


def _judged(correct: FloatArray, truth: IntArray, note: str, arrangements: int) -> AttributeInference:
    """Accuracy, majority and p-value from the credits under the true classes and under permuted ones."""
    sizes = _sizes(truth)
    found = correct.mean(axis=1)
    p: float | None = (1 + float((found[1:] >= found[0] - _TIE).sum())) / len(found)
    if arrangements * LEVEL < 1:
        p = None
        note = "; ".join(filter(None, [note, f"no test: {arrangements} ways to give out the classes"]))
    return AttributeInference(
        accuracy=float(found[0]),
        majority=max(sizes) / len(truth),
        p=p,
        correct=correct[0],
        classes=len(sizes),
        reason=note,
    )


def _sizes(truth: IntArray) -> list[int]:
    return list(Counter(truth.tolist()).values())


def _arrangements(truth: IntArray) -> int:
    """In how many ways the classes can be given out to the users."""
    sizes = _sizes(truth)
    return math.factorial(sum(sizes)) // math.prod(map(math.factorial, sizes))


def _renamings(truth: IntArray) -> int:
    """In how many ways classes can trade names, of which a classifier that is fitted anew knows nothing."""
    return math.prod(map(math.factorial, Counter(_sizes(truth)).values()))


def _undefined(reason: str) -> AttributeInference:
    return AttributeInference(None, None, None, np.zeros(0), 0, reason)
