"""The data set inside scikit-learn: 1797 handwritten digits, 8x8."""

import gzip
from importlib.metadata import distribution

import numpy as np

from kernel_distill.data._holdout import hold_out
from kernel_distill.data._source import Raw

_TEST_SIZE = 297  # leaves 1500


def read_digits() -> Raw:
    """1500 training and 297 test images [n, 8, 8, 1], values k/16 in [0, 1].

    The set comes without a split; this one is stratified and never changes.

    Source: UCI Optical Recognition of Handwritten Digits, test part.
    """
    # its file, and not `load_digits`: to import scikit-learn takes longer than all else here
    file = distribution("scikit-learn").locate_file("sklearn/datasets/data/digits.csv.gz")
    with gzip.open(str(file), "rt") as text:
        rows = np.loadtxt(text, delimiter=",", dtype=np.int32)
    images = (rows[:, :-1].reshape(-1, 8, 8, 1) / 16).astype(np.float32)
    labels = rows[:, -1]
    test = hold_out(labels, _TEST_SIZE, num_classes=10, seed=0, what="test_size")
    return Raw("digits", "1", images[~test], labels[~test], images[test], labels[test])
