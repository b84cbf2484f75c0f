"""How long a pair of images takes, measured on a tile."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from kernel_distill.distributed._budget import compile_tile
from kernel_distill.kernels import Kernel


@dataclass(frozen=True)
class Timing:
    """What `time_pairs` measured.

    Attributes:
        pair: seconds a pair of images.
        compiling: seconds that compiling the program took.
        tile: rows and columns that were timed.
    """

    pair: float
    compiling: float
    tile: tuple[int, int]


def time_pairs(
    kernel: Kernel,
    shape: tuple[int, ...],
    *,
    block: tuple[int, int],
    dtype: str,
    gradient: bool,
    seconds: float = 1.0,
) -> Timing:
    """Times a tile of a block, as many of its rows as take about so many seconds.

    Args:
        kernel: the kernel; of a mixture, take each member.
        shape: of an image, or of a row of a table.
        block: rows and columns of the block that the tile is a part of.
        dtype: of the images.
        gradient: whether the gradient in both arguments is wanted too.
        seconds: how long the tile should take.
    """
    rows = min(block[0], max(1, 64 // block[1]))
    while True:
        timing = _time_tile(kernel, shape, (rows, block[1]), dtype=dtype, gradient=gradient)
        enough = round(seconds / (timing.pair * block[1]))
        # a tile of half the size says as much
        if min(enough, block[0]) <= 2 * rows:
            return timing
        rows = min(enough, block[0], 64 * rows)


def _time_tile(
    kernel: Kernel, shape: tuple[int, ...], tile: tuple[int, int], *, dtype: str, gradient: bool
) -> Timing:
    draw = np.random.default_rng(0).normal
    x1, x2 = (jnp.asarray(draw(size=(rows, *shape)), dtype) for rows in tile)
    bar = jnp.ones(tile, dtype)
    begin = time.monotonic()
    compiled = compile_tile(kernel, tile, shape, dtype, gradient=gradient)
    compiling = time.monotonic() - begin
    pair = seconds(lambda: compiled(x1, x2, bar)) / (tile[0] * tile[1])
    return Timing(pair, compiling, tile)


def seconds(compute: Callable[[], Any]) -> float:
    """How long a computation takes the second time."""
    jax.block_until_ready(compute())
    begin = time.monotonic()
    jax.block_until_ready(compute())
    return time.monotonic() - begin
