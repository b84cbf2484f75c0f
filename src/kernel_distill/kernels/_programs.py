"""Programs on a GPU, each of a few pairs of a block of images, launched by Pallas."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import triton

from kernel_distill.kernels._exchange import quotient, remainder
from kernel_distill.kernels._side import IMAGES


@dataclass(frozen=True)
class Part:
    """What of an array is a program's.

    Attributes:
        shape: of the whole array, the images last: of one side, of the other, or of both.
        block: of what is the program's; None for an axis of which it has one place, and drops it.
        place: which block, from the program's number among those of the same images, and the
            numbers of its images on both sides.
    """

    shape: tuple[int, ...]
    block: tuple[int | None, ...]
    place: Callable[[Any, Any, Any], tuple[Any, ...]]


def of_one(shape: tuple[int, ...]) -> Part:
    """All of an array, of the program's images on the one side."""
    zeros = (0,) * (len(shape) - 1)
    return Part(shape, (*shape[:-1], IMAGES[0]), lambda k, i, j: (*zeros, i))


def of_other(shape: tuple[int, ...]) -> Part:
    """All of an array, of the program's images on the other side."""
    zeros = (0,) * (len(shape) - 1)
    return Part(shape, (*shape[:-1], IMAGES[1]), lambda k, i, j: (*zeros, j))


def of_pairs(shape: tuple[int, ...]) -> Part:
    """All of an array, of the program's pairs."""
    zeros = (0,) * (len(shape) - 2)
    return Part(shape, (*shape[:-2], *IMAGES), lambda k, i, j: (*zeros, i, j))


def launch(
    program: Callable[[Any, Any], None],
    inputs: Any,
    parts: Any,
    outputs: Any,
    *,
    grid: int,
    block: tuple[int, int],
    warps: int,
    interpret: bool,
) -> Any:
    """Runs programs that add to arrays of zeros.

    Args:
        program: takes a tree of references to its parts of the inputs, and one of the outputs.
        inputs: a tree of arrays.
        parts: the same tree of `Part`.
        outputs: a tree of `Part`.
        grid: how many programs there are for the same images.
        block: how many images on either side: multiples of `IMAGES`.
        warps: of a program.
        interpret: on any device, step by step.

    Returns:
        The tree of the outputs.
    """
    across = block[1] // IMAGES[1]

    def spec(part: Part) -> pl.BlockSpec:
        def place(k: Any, tile: Any) -> tuple[Any, ...]:
            return part.place(k, quotient(tile, across), remainder(tile, across))

        return pl.BlockSpec(part.block, place)

    arrays, in_tree = jax.tree.flatten(inputs)
    in_parts = jax.tree.leaves(parts)
    out_parts, out_tree = jax.tree.flatten(outputs)
    n = len(arrays)

    def kernel(*refs: Any) -> None:
        # the zeros are where the outputs are, and their own references are not needed
        outputs = jax.tree.unflatten(out_tree, refs[n + len(out_parts) :])
        program(jax.tree.unflatten(in_tree, refs[:n]), outputs)

    call = pl.pallas_call(
        kernel,
        grid=(grid, block[0] // IMAGES[0] * across),
        in_specs=[spec(part) for part in (*in_parts, *out_parts)],
        out_specs=[spec(part) for part in out_parts],
        out_shape=[jax.ShapeDtypeStruct(part.shape, jnp.float32) for part in out_parts],
        input_output_aliases={n + k: k for k in range(len(out_parts))},
        compiler_params=triton.CompilerParams(num_warps=warps, num_stages=1),
        interpret=interpret,
    )
    zeros = [jnp.zeros(part.shape, jnp.float32) for part in out_parts]
    return jax.tree.unflatten(out_tree, call(*arrays, *zeros))
