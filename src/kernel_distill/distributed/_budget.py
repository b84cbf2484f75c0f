"""How large a tile may be: the compiler is asked how much memory a tile takes."""

import functools
from typing import Any

import jax
from jaxtyping import Array

from kernel_distill._errors import InputError
from kernel_distill._memory import device_memory, machine_memory
from kernel_distill.kernels import Kernel

Shape = tuple[int, ...]


@functools.cache
def largest_tile(
    kernel: Kernel, shape1: Shape, shape2: Shape, dtype: str, memory: int
) -> tuple[int, int]:
    """Rows and columns of the largest tile that fits, found by halving the longer side.

    Args:
        kernel: the kernel.
        shape1: [n1, *shape] of the one set of images.
        shape2: [n2, *shape] of the other.
        dtype: of both.
        memory: bytes that a tile may take, with its gradient.

    Raises:
        InputError: a single pair takes more.
    """
    rows, columns = shape1[0], shape2[0]
    while (needed := tile_memory(kernel, (rows, columns), shape1[1:], dtype)) > memory:
        if rows == columns == 1:
            raise InputError(
                f"one pair of images of shape {list(shape1[1:])} takes {_readable(needed)} with "
                f"its gradient, and {_readable(memory)} are allowed: allow more, or take smaller "
                "images"
            )
        wanted = rows * columns * memory / needed  # were it all in proportion to the pairs
        while True:
            rows, columns = _halved(rows, columns)
            if rows * columns <= wanted or rows == columns == 1:
                break
    return rows, columns


def _halved(rows: int, columns: int) -> tuple[int, int]:
    return (-(-rows // 2), columns) if rows > columns else (rows, -(-columns // 2))


def tile_memory(
    kernel: Kernel, tile: tuple[int, int], shape: Shape, dtype: str, *, gradient: bool = True
) -> int:
    """Bytes that the block of a tile takes, with its gradient or without, besides the images.

    What XLA lays out for the program; it is compiled, and not run.
    """
    statistics = compile_tile(kernel, tile, shape, dtype, gradient=gradient).memory_analysis()
    if statistics is None:
        raise InputError(
            f"the compiler for {jax.default_backend()} does not tell how much memory a program "
            "takes: give the size of a tile instead"
        )
    return int(statistics.temp_size_in_bytes + statistics.output_size_in_bytes)


def compile_tile(
    kernel: Kernel, tile: tuple[int, int], shape: Shape, dtype: str, *, gradient: bool
) -> Any:
    """The compiled program of a tile: of images on both sides and the cotangent of their block."""

    def compute(x1: Array, x2: Array, bar: Array) -> Any:
        if not gradient:
            return kernel.cross(x1, x2)
        block, pull = jax.vjp(kernel.cross, x1, x2)
        return block, pull(bar)

    x1, x2 = (jax.ShapeDtypeStruct((rows, *shape), dtype) for rows in tile)
    return jax.jit(compute).lower(x1, x2, jax.ShapeDtypeStruct(tile, dtype)).compile()


def allowed_memory() -> int:
    """Bytes that a tile may take where nobody says how many: a quarter of a device's memory.

    Not of what is free: on the same machine a run that goes on has the same tiles, and the same
    rounding errors. On CPU all devices share what the machine has.

    Raises:
        InputError: the system does not tell.
    """
    own = device_memory()
    if own is not None:
        return own // 4
    shared = machine_memory()
    if shared is None:
        raise InputError(
            "this system does not tell how much memory it has: say how much a tile may take, or "
            "give the size of a tile"
        )
    return shared // (4 * jax.local_device_count())


def _readable(size: float | int) -> str:
    for unit in ("bytes", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"
