"""The constants with which tools of others standardise the images that they test on."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

from kernel_distill._errors import InputError

Constants = tuple[tuple[float, ...], tuple[float, ...]]
"""Mean and standard deviation of each channel."""

# VICO-UoE/DatasetCondensation, utils.py: DC's, DSA's and DM's, and of much that was built on them;
# NUS-HPC-AI-Lab/DD-Ranking, ddranking/utils/data.py, has the same for CIFAR. Those of RGB sets are
# not the data sets' own.
DC: Mapping[str, Constants] = {
    "mnist": ((0.1307,), (0.3081,)),
    "fashion_mnist": ((0.2861,), (0.3530,)),
    "svhn_cropped": ((0.4377, 0.4438, 0.4728), (0.1980, 0.2010, 0.1970)),
    "cifar10": ((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)),
    "cifar100": ((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)),
}

# justincui03/dc_benchmark, evaluator/evaluator_utils.py
DC_BENCH: Mapping[str, Constants] = {
    "cifar10": DC["cifar10"],
    "cifar100": ((0.5071, 0.4866, 0.4409), (0.2673, 0.2564, 0.2762)),
}


def natural(images: Float[np.ndarray, "n *shape"], dataset: str) -> Float[np.ndarray, "n *shape"]:
    """Images that DC standardised, on the scale of natural ones.

    Raises:
        InputError: DC has no constants for the data set.
    """
    if dataset not in DC:
        raise InputError(
            f"the constants of 'dc' are known for {', '.join(DC)}; got the data set "
            f"{dataset}. If its own mean and deviation were taken: 'standardise'."
        )
    mean, std = (np.array(numbers) for numbers in DC[dataset])
    return images * std + mean
