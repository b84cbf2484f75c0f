"""How long a run will take and how much memory, before it starts: a tile of it is timed."""

from dataclasses import dataclass

import jax

from kernel_distill.distributed import tile_memory, time_pairs
from kernel_distill.kernels import Kernel


@dataclass(frozen=True)
class Work:
    """What a run computes.

    Attributes:
        support: images that it learns.
        rows: natural images whose kernel with the support is computed at a time.
        steps: how many times, with gradient (KIP) or without (Label Solve).
        gradient: whether with gradient.
        evaluated: natural images whose prediction is computed besides, in the whole run.
        dtype: of the kernel blocks.
    """

    support: int
    rows: int
    steps: int
    gradient: bool
    evaluated: int
    dtype: str


@dataclass(frozen=True)
class Estimate:
    """What is expected of a run.

    Attributes:
        step: seconds a step, or a block of targets.
        seconds: of the whole run.
        compiling: of these, before the first step.
        memory: bytes that the largest kernel block takes, with its gradient where that is wanted.
    """

    step: float
    seconds: float
    compiling: float
    memory: int


def estimate_work(kernel: Kernel, shape: tuple[int, ...], work: Work, *, rest: float) -> Estimate:
    """The time and memory of a run.

    Args:
        kernel: the kernel; of a mixture, every member takes its share of the steps.
        shape: of an image.
        work: what the run computes.
        rest: seconds that a step takes besides its kernel blocks.
    """
    block = work.rows, work.support
    own = work.support * (work.support + 1) / 2
    step = forward = compiling = 0.0
    with jax.enable_x64(True):
        for member in kernel.members:
            plain = time_pairs(member, shape, block=block, dtype=work.dtype, gradient=False)
            timed = (
                time_pairs(member, shape, block=block, dtype=work.dtype, gradient=True)
                if work.gradient
                else plain
            )
            share = 1 / len(kernel.members)
            pairs = work.rows * work.support + (own if work.gradient else 0)
            step += share * timed.pair * pairs + share * rest
            # all members are evaluated
            forward += plain.pair * (work.evaluated * work.support + own)
            compiling += timed.compiling + plain.compiling
        memory = max(
            tile_memory(member, block, shape, work.dtype, gradient=work.gradient)
            for member in kernel.members
        )
    return Estimate(step, work.steps * step + forward + compiling, compiling, memory)
