"""The form of a level for GPUs: in Pallas' interpreter beside the plain form, and compiled for CUDA.

Nothing here runs on a GPU, and nothing is measured.
"""

import functools
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kernel_distill import kernels
from kernel_distill.kernels import _convolutional as convolutional
from kernel_distill.kernels import _sweep as sweep_module
from kernel_distill.kernels import _sweep_gpu as gpu
from kernel_distill.kernels import _sweep_plain as plain
from kernel_distill.kernels._planes import to_plane
from kernel_distill.kernels._side import IMAGES, by_pairs

pytestmark = pytest.mark.kernels

Distance = Callable[[Any, Any], float]
ConvNet = kernels.ConvNet


def images(n: int, *shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, *shape)).astype(np.float32)


def with_equal_features(n: int, *shape: int, seed: int = 0) -> np.ndarray:
    """An image of zeros, images that share a margin, and the same two whatever the seed."""
    x = images(n, *shape, seed=seed)
    x[:, :2], x[:, :, -1:] = -0.4, -0.4
    x[0], x[1] = 0, images(1, *shape, seed=99)[0]
    return x


def of_levels(kernel: Any, x1: np.ndarray, x2: np.ndarray) -> Iterator[tuple[Any, ...]]:
    """For each level what `sweep` takes of a block, by the plain form of those before."""
    features = []
    for x in (x1, x2):
        planes = tuple(to_plane(jnp.asarray(x[..., c])) for c in range(x.shape[-1]))
        features.append(jax.jit(kernel.features, static_argnums=1)(planes, len(x)))
    block = len(x1), len(x2)
    layer = kernel._layer(len(x1) * len(x2), tangent=kernel.kind == "ntk")
    bands = None
    levels = kernel._levels(features[0].sides[0].images[0], len(x1))
    for level, *sides in zip(levels, features[0].sides, features[1].sides, strict=True):
        yield level, replace(layer, block=block), bands, *sides
        bands = plain.forward(level, layer, bands, *by_pairs(*sides, block))


def without_margin(bands: Any) -> Any:
    return jax.tree.map(lambda band: band[1:-1, 1:-1], bands)


def cotangents(bands: Any) -> Any:
    """Random ones, of the margin zero."""

    def like(band: Any) -> Any:
        inner = images(*band[1:-1, 1:-1].shape, seed=5)
        return jnp.asarray(np.pad(inner, ((1, 1), (1, 1), (0, 0), (0, 0))))

    return jax.tree.map(like, bands)


@pytest.mark.parametrize(
    ("architecture", "kind", "shape", "draw"),
    [
        (ConvNet(depth=2, prepend=True), "ntk", (6, 7, 3), images),
        (ConvNet(depth=2, prepend=False, b_std=0.0), "ntk", (7, 10, 1), with_equal_features),
        (ConvNet(depth=1, prepend=True), "nngp", (5, 3, 1), with_equal_features),
    ],
    ids=str,
)
def test_equals_the_plain_form(
    architecture: kernels.Architecture,
    kind: Any,
    shape: tuple[int, ...],
    draw: Any,
    distance: Distance,
) -> None:
    kernel = architecture.kernel(kind)
    x1, x2 = draw(IMAGES[0], *shape), draw(2 * IMAGES[1], *shape, seed=1)
    for level, layer, *arguments in of_levels(kernel, x1, x2):
        forms = [
            jax.jit(functools.partial(form, level, layer))
            for form in (
                functools.partial(gpu.forward, interpret=True),
                functools.partial(gpu.backward, interpret=True),
                sweep_module._plain_forward,
                sweep_module._plain_backward,
            )
        ]
        got, expected = forms[0](*arguments), forms[2](*arguments)
        assert jax.tree.structure(got) == jax.tree.structure(expected)
        for each in zip(*map(jax.tree.leaves, (without_margin(got), without_margin(expected)))):
            assert distance(*each) < 1e-6
        bar = cotangents(expected)
        got, expected = forms[1](tuple(arguments), bar), forms[3](tuple(arguments), bar)
        assert jax.tree.structure(got) == jax.tree.structure(expected)
        for each in zip(*map(jax.tree.leaves, (got, expected)), strict=True):
            assert distance(*each) < 1e-6
