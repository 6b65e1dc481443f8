"""Which sharers stand for all of them: one per K-means cluster (PriME, EMNLP 2025, section 3)."""

import warnings
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning

from prime_audit.errors import DataError


def representatives(
    embedded: Mapping[str, NDArray[np.float64]], items: Mapping[str, int], count: int, seed: int
) -> tuple[str, ...]:
    """Clusters the sharers by their history embeddings and takes one sharer of every cluster.

    That is the sharer with the most history items; between equals the one nearest to the cluster's centre,
    then the one with the earlier name. K-means as published: 10 starts, at most 3000 steps (scikit-learn).

    Args:
        embedded: Embedding per sharer. Their order does not matter.
        items: Number of history items per sharer.
        count: Number of clusters.
        seed: Seed of the K-means starts.

    Returns:
        The representatives by name, sorted.

    Raises:
        DataError: Fewer than ``count`` histories differ, so that clusters would be empty.
    """
    names = sorted(embedded)
    points = np.array([embedded[name] for name in names])
    with warnings.catch_warnings():
        # Too few distinct points are told below, with a remedy.
        warnings.simplefilter("ignore", ConvergenceWarning)
        fitted = KMeans(count, n_init=10, max_iter=3000, random_state=seed).fit(points)
    clusters = sorted(set(fitted.labels_.tolist()))
    if len(clusters) < count:
        raise DataError(
            f"sharers.representatives is {count}, but K-means finds {len(clusters)} clusters of histories",
            hint="many histories have the same embedding: lower sharers.representatives",
        )
    distances = np.linalg.norm(points - fitted.cluster_centers_[fitted.labels_], axis=1)
    chosen = []
    for cluster in clusters:
        inside = np.flatnonzero(fitted.labels_ == cluster)
        chosen.append(names[min(inside, key=lambda i: (-items[names[i]], distances[i], names[i]))])
    return tuple(sorted(chosen))
