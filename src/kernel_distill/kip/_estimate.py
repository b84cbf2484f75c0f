"""How long a run of KIP will take."""

from typing import Any

import jax
import jax.numpy as jnp

from kernel_distill._optimizers import make_optimizer
from kernel_distill._settings import log_spaced, make_settings
from kernel_distill.data import Dataset
from kernel_distill.distributed import seconds
from kernel_distill.estimates import Estimate, Work, estimate_work
from kernel_distill.kernels import FullyConnected, Kernel
from kernel_distill.kip._settings import Settings
from kernel_distill.kip._step import Update, jitted_step
from kernel_distill.supports import check_kernel


def estimate(kernel: Kernel, data: Dataset, **settings: Any) -> Estimate:
    """The time and memory that `distill` would take with these arguments, from timing a tile.

    Args:
        kernel: the kernel, or a mixture.
        data: the data set.
        **settings: the fields of `kip.Settings`.

    Raises:
        InputError: as `distill`.
    """
    chosen = make_settings(Settings, settings)
    size = check_kernel(kernel, data, chosen)
    rows = min(chosen.batch_size, len(data.train))
    # validation images at log-spaced steps and once more at the end; test images of both supports
    validations = 1 + sum(map(log_spaced, range(chosen.steps + 1)))
    work = Work(
        support=size,
        rows=rows,
        steps=chosen.steps,
        gradient=True,
        evaluated=validations * len(data.validation) + 2 * len(data.test),
        dtype=chosen.precision,
    )
    rest = _seconds_without_kernel(chosen, size=size, rows=rows, num_classes=data.num_classes)
    return estimate_work(kernel, data.image_shape, work, rest=rest)


def _seconds_without_kernel(settings: Settings, *, size: int, rows: int, num_classes: int) -> float:
    """A step with rows of a single number, whose kernel takes next to nothing."""
    with jax.enable_x64(True):
        update = Update(
            optimizer=make_optimizer("sgd", schedule="constant", learning_rate=0.0, steps=1),
            learned=("images", "labels"),
            ridge=settings.ridge,
            num_classes=num_classes,
        )
        support = {
            "images": jax.random.normal(jax.random.key(0), (size, 1), jnp.float32),
            "labels": jnp.zeros((size, num_classes), jnp.float64),
        }
        rate = jnp.asarray(settings.label_solve_rate) if settings.label_solve_rate else None

        def step() -> Any:
            return jitted_step(
                FullyConnected(depth=1).kernel(),
                update,
                support,
                update.optimizer.init(support),
                images=jnp.ones((rows, 1), jnp.float32),
                classes=jnp.arange(rows) % num_classes,
                noise=None,
                label_solve_rate=rate,
            )

        return seconds(step)
