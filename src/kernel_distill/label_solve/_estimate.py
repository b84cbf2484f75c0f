"""How long a Label Solve will take."""

from typing import Any

import jax
import jax.numpy as jnp

from kernel_distill._settings import make_settings
from kernel_distill.data import Dataset
from kernel_distill.distributed import seconds
from kernel_distill.estimates import Estimate, Work, estimate_work
from kernel_distill.kernels import Kernel
from kernel_distill.label_solve import _least_squares as least_squares
from kernel_distill.label_solve._settings import Settings
from kernel_distill.supports import check_kernel


def estimate(kernel: Kernel, data: Dataset, **settings: Any) -> Estimate:
    """The time and memory that `distill` would take with these arguments, from timing a tile.

    Args:
        kernel: the kernel.
        data: the data set.
        **settings: the fields of `label_solve.Settings`.

    Raises:
        InputError: as `distill`.
    """
    chosen = make_settings(Settings, settings)
    size = check_kernel(kernel, data, chosen)
    rows = min(chosen.block_size, len(data.train))
    work = Work(
        support=size,
        rows=rows,
        steps=-(-len(data.train) // rows),
        gradient=False,
        evaluated=len(data.validation) + 2 * len(data.test),
        dtype=chosen.precision,
    )
    rest = _seconds_of_least_squares(size=size, rows=rows, num_classes=data.num_classes)
    return estimate_work(kernel, data.image_shape, work, rest=rest)


def _seconds_of_least_squares(*, size: int, rows: int, num_classes: int) -> float:
    with jax.enable_x64(True):

        def absorb() -> Any:
            return least_squares.absorb(
                least_squares.start(size, num_classes),
                jnp.ones((rows, size), jnp.float64),
                jnp.ones((rows, num_classes), jnp.float64),
            )

        return seconds(absorb)
