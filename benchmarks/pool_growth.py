"""How the steps of KIP grow faster with the workers of a pool: simulated, and where it ends."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from simulated_pool import Costs, Simulated, simulate

from kernel_distill._optimizers import make_optimizer
from kernel_distill.distributed import Rows
from kernel_distill.kernels import Kernel
from kernel_distill.kip._step import Update, step

SUPPORTS = 10, 100, 500
WORKERS = 1, 2, 4, 8, 16, 32, 64, 128, 256, 512
BATCH, SHAPE, CLASSES = 5000, (32, 32, 3), 10  # the paper's batch, of CIFAR-10
CORES_A_NODE = 8


@dataclass(frozen=True)
class Growth:
    """Steps of one size on more and more workers.

    Attributes:
        support: images that are learned.
        steps: one for each number of workers.
    """

    support: int
    steps: Sequence[Simulated]

    @property
    def half(self) -> Simulated | None:
        """The first step that takes twice the ideal, or more."""
        return next((each for each in self.steps if each.seconds >= 2 * each.ideal), None)


def growth(kernel: Kernel, costs: Costs, support: int) -> Growth:
    """Simulates a step of KIP with so many support images on 1 to 512 workers."""

    def on(workers: int) -> Simulated:
        return simulate(
            lambda kernel: kip_step(kernel, support),
            kernel,
            workers,
            costs,
            cores_a_node=CORES_A_NODE,
        )

    with jax.enable_x64(True):
        return Growth(support, [on(workers) for workers in WORKERS])


def kip_step(kernel: Kernel, support: int) -> Callable[[], Any]:
    """What takes a step of KIP, images and labels learned, in a process that admits 64 bits."""
    update = Update(
        optimizer=make_optimizer("adam", schedule="constant", learning_rate=0.01, steps=1),
        learned=("images", "labels"),
        ridge=1e-6,
        num_classes=CLASSES,
    )
    random = np.random.default_rng(0)
    state = {
        "images": jnp.asarray(random.normal(size=(support, *SHAPE)), jnp.float32),
        "labels": jnp.asarray(random.normal(size=(support, CLASSES)), jnp.float64),
    }
    images = Rows(np.zeros((BATCH, *SHAPE), np.float32), np.arange(BATCH))
    classes = jnp.arange(BATCH) % CLASSES

    def take() -> Any:
        # new arrays, as in a run: a pool is sent an array once
        support = {name: jnp.array(value) for name, value in state.items()}
        return step(
            kernel,
            update,
            support,
            update.optimizer.init(support),
            images=images,
            classes=classes,
            noise=None,
            label_solve_rate=None,
        )

    return take


def losses(of: Simulated) -> dict[str, float]:
    """The seconds by which a step takes longer than the ideal, by their reason."""
    alone = min(of.ledger.alone, of.seconds - of.groups)
    return {
        "workers wait for the last groups of a block": of.groups - of.ideal,
        "the driver works while no group is out (solve, K_ss where it is one group, update)": alone,
        "the driver hands out and takes in more slowly than workers compute, and the network": (
            of.seconds - of.groups - alone
        ),
    }


def reason(of: Simulated) -> str:
    """The largest of the losses."""
    return max(losses(of).items(), key=lambda item: item[1])[0]
