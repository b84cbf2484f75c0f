"""Rows that stand for the rows of a class: centres of clusters, k-centre."""

import numpy as np
from jaxtyping import Float, Int


def k_means(
    rows: Float[np.ndarray, "n feature"], count: int, *, seed: int
) -> Float[np.ndarray, "count feature"]:
    """The centres of so many clusters, by scikit-learn: k-means++ once, then Lloyd's iterations."""
    from sklearn.cluster import KMeans
    from threadpoolctl import threadpool_limits

    # threads add their sums in the order in which they end, and so to other bits
    with threadpool_limits(limits=1, user_api="openmp"):
        return KMeans(count, n_init=1, random_state=seed).fit(rows).cluster_centers_


def k_center(rows: Float[np.ndarray, "n feature"], count: int) -> Int[np.ndarray, "count"]:
    """The row nearest to the mean, then again and again the one farthest from all chosen.

    The greedy answer to: which centres leave no row far from the nearest of them? The largest
    distance is at most twice the least possible. Source: Gonzalez 1985; Sener and Savarese 2018,
    who take a network's features.
    """
    chosen = np.empty(count, int)
    chosen[0] = _distances(rows, rows.mean(axis=0)).argmin()
    nearest = np.full(len(rows), np.inf)
    for place in range(1, count):
        before = chosen[place - 1]
        nearest = np.minimum(nearest, _distances(rows, rows[before]))
        nearest[before] = -1  # never again, even where all others coincide with chosen ones
        chosen[place] = nearest.argmax()
    return chosen


def _distances(
    rows: Float[np.ndarray, "n feature"], point: Float[np.ndarray, "feature"]
) -> Float[np.ndarray, "n"]:
    return np.square(rows - point).sum(axis=1)
