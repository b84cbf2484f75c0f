"""A level of the exact convolutional kernel: offset by offset, through to the pooled level.

Only what goes in and what comes out is held for all offsets. The planes between live for one
offset, and once more in the backward pass, which computes them anew.

There are two forms of the same arithmetic. The plain one (`_sweep_plain`) runs everywhere. That
for NVIDIA's GPUs (`_sweep_gpu`) writes no plane to memory.
"""

import functools
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from kernel_distill.kernels import _sweep_plain as plain
from kernel_distill.kernels._levels import Level, with_radii
from kernel_distill.kernels._planes import Plane
from kernel_distill.kernels._semivariance import Convolved
from kernel_distill.kernels._side import IMAGES, Bands, Side, by_pairs


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def sweep(level: Level, layer: Convolved, entering: Any, one: Side, other: Side) -> Bands:
    """M and T (see `_arc_cosine`) of the pooled features, at all offsets that matter.

    Args:
        level: sizes and offsets.
        layer: what each of its convolutions does.
        entering: M and T of the level before, as this returns them; None at the first.
        one: the one image of each pair; of a block (`layer.block`) the images of one side.
        other: the other one.

    Returns:
        A plane for every offset, and around them a margin that holds no meaning.
    """
    compute: Callable[..., Bands] = functools.partial(plain_forward, level, layer)
    if gpu := _gpu_form(level, layer, one):
        compute = by_platform(functools.partial(gpu.forward, level, layer), compute)
    return compute(entering, one, other)


def _forward(level: Level, layer: Convolved, *arguments: Any) -> tuple[Bands, Any]:
    return sweep(level, layer, *arguments), arguments


def _backward(level: Level, layer: Convolved, arguments: Any, bands_bar: Bands) -> Any:
    compute: Callable[..., Any] = functools.partial(plain_backward, level, layer)
    if gpu := _gpu_form(level, layer, arguments[1]):
        compute = by_platform(functools.partial(gpu.backward, level, layer), compute)
    return compute(arguments, bands_bar)


sweep.defvjp(_forward, _backward)


def plain_forward(level: Level, layer: Convolved, entering: Any, one: Side, other: Side) -> Bands:
    return plain.forward(level, layer, entering, *by_pairs(one, other, layer.block))


def plain_backward(level: Level, layer: Convolved, arguments: Any, bands_bar: Bands) -> Any:
    entering, *sides = arguments
    of_pairs, contract = jax.vjp(functools.partial(by_pairs, block=layer.block), *sides)
    entering_bar, *sides_bar = plain.backward(level, layer, (entering, *of_pairs), bands_bar)
    return entering_bar, *contract(tuple(sides_bar))


def by_platform(on_cuda: Callable[..., Any], elsewhere: Callable[..., Any]) -> Callable[..., Any]:
    """Whichever is for the platform that a program is compiled for; the other is left out."""

    def compute(*arguments: Any) -> Any:
        return jax.lax.platform_dependent(*arguments, cuda=on_cuda, default=elsewhere)

    return compute


def _gpu_form(level: Level, layer: Convolved, one: Side) -> ModuleType | None:
    """The form for GPUs, where it can compute this: blocks, as they are made where a GPU is."""
    possible = (
        layer.block is not None
        and layer.activation == "relu"
        and level.convolutions > 0
        and level.taken is None
        and level.pooling.bit_count() == 1  # Triton's tensors have powers of two
        and all(plane.dtype == "float32" for plane in jax.tree.leaves(one))
    )
    return load_gpu_form() if possible else None


@functools.cache
def load_gpu_form() -> ModuleType | None:
    """The form for GPUs; None, and a warning, where it does not do what it should here."""
    # Pallas takes a while to import, and JAX has said, from 0.11 on, that Triton will go
    try:
        from kernel_distill.kernels import _sweep_gpu

        if _has_cuda():
            # in a thread of its own: in this one a kernel may be being traced
            with ThreadPoolExecutor(1) as thread:
                thread.submit(try_out, _sweep_gpu.forward, _sweep_gpu.backward).result()
    # whatever a compiler or a driver raises: the plain form computes the same
    except Exception as error:
        warnings.warn(
            f"the programs for NVIDIA's GPUs do not work here ({error}): ConvNet kernels are "
            "computed plane by plane, each of which goes through the GPU's memory",
            stacklevel=2,
        )
        return None
    return _sweep_gpu


def _has_cuda() -> bool:
    try:
        return bool(jax.devices("cuda"))
    except RuntimeError:  # where programs are only compiled for it
        return False


def try_out(forward: Callable[..., Any], backward: Callable[..., Any]) -> None:
    """Compares a form with the plain one, on two small levels of the pairs of a few images.

    Their programs have several warps, and each level has several programs in both directions.

    Raises:
        ArithmeticError: they differ by more than rounding errors.
    """
    levels = with_radii((Level((4, 18), convolutions=2, pooling=2), Level((2, 9), 1, 2)))
    block = 2 * IMAGES[0], 2 * IMAGES[1]
    layer = Convolved("relu", 2 / 9, tangent=True, pairs=block[0] * block[1], block=block)
    bands = None
    for level in levels:
        one, other = _random_sides(level, block, first=bands is None)
        arguments = bands, one, other
        bands = plain_forward(level, layer, *arguments)
        expected = bands, plain_backward(level, layer, arguments, bands)
        got = forward(level, layer, *arguments), backward(level, layer, arguments, bands)
        inner = (slice(1, -1), slice(1, -1))  # the margin of a band holds no meaning
        for number, (each, wanted) in enumerate(
            zip(*map(jax.tree.leaves, (got, expected)), strict=True)
        ):
            place = inner if number < len(jax.tree.leaves(bands)) else ()
            difference = float(jnp.abs(each[place] - wanted[place]).max() / jnp.abs(wanted).max())
            if not difference < 1e-4:
                raise ArithmeticError(f"a test computation is off by {difference:.0e}")


def _random_sides(level: Level, block: tuple[int, int], *, first: bool) -> list[Side]:
    """Of features that are far from equal: near there rounding errors are large."""
    random = np.random.default_rng(0)
    sides = []
    for number, images in enumerate(block):

        def plane(low: float, high: float, images: int = images) -> Plane:
            shape = level.size[0], level.size[1] * images
            return jnp.asarray(random.uniform(low, high, shape), jnp.float32)

        sides.append(
            Side(
                images=(plane(number / 2, number / 2 + 0.5),) if first else None,
                within=None if first else plane(0.0, 0.005),
                half_variance=None if first else plane(0.5, 1.0),
                stds=tuple(plane(0.9, 1.0) for _ in range(level.convolutions)),
            )
        )
    return sides
