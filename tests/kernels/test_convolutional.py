"""The exact convolutional kernel against neural-tangents in float64, and where it is singular."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kernel_distill import kernels
from kernel_distill.kernels._convolutional import PAIRS, ConvolutionalKernel
from kernel_distill.kernels._levels import has_levels, make_levels

pytestmark = pytest.mark.kernels

Distance = Callable[[Any, Any], float]
Value = tuple[Any, Any]
Written = Callable[..., kernels.Architecture]

ConvNet = kernels.ConvNet
NATURAL = Path(__file__).parents[1] / "fixtures" / "natural_images.npz"


def images(n: int, *shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, *shape))


def natural(name: str, n: int) -> np.ndarray:
    """Standardised as a whole, but for whitened ones: most of MNIST is margin, one value in every
    image. "gaussian" is nothing natural."""
    if name == "gaussian":
        return images(n, 32, 32, 3)
    with np.load(NATURAL) as archive:
        chosen = archive[f"{name}_images"][:n].astype(np.float64)
    return chosen if name.startswith("zca") else (chosen - chosen.mean()) / chosen.std()


def compiled(function: Callable[..., Value]) -> Callable[..., Value]:
    """As users have it in float32. In float64 the formulas are looked at, and small images are
    compiled fast, since they are run once."""
    for_users = jax.jit(function)
    fast = jax.jit(function, compiler_options={"xla_backend_optimization_level": 0})

    def run(kernel: kernels.Kernel, *x: Any) -> Value:
        small = x[0].dtype == np.float64 and x[0][0].size < 500
        return (fast if small else for_users)(kernel, *x)

    return run


@compiled
def cross_and_gradients(kernel: kernels.Kernel, x1: Any, x2: Any) -> Value:
    """The block, and the gradients in both arguments of its sum with random weights."""
    block, pull = jax.vjp(kernel, x1, x2)
    return block, pull(jnp.asarray(images(*block.shape, seed=7), block.dtype))


@compiled
def self_and_gradient(kernel: kernels.Kernel, x: Any) -> Value:
    block, pull = jax.vjp(kernel, x)
    return block, pull(jnp.asarray(images(*block.shape, seed=8), block.dtype))[0]


def both(architecture: kernels.Architecture, kind: Any = "ntk") -> tuple[Any, Any]:
    return (
        architecture.kernel(kind, implementation="exact"),
        architecture.kernel(kind, implementation="neural_tangents"),
    )


# --- float64, where both must agree to rounding


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize(
    ("architecture", "shape", "kind"),
    [
        (ConvNet(depth=1, prepend=False), (4, 4, 2), "ntk"),
        pytest.param(  # odd sizes
            *(ConvNet(depth=2, prepend=False, w_std=0.9, b_std=0.7), (5, 8, 1), "nngp"),
            marks=pytest.mark.slow,
        ),
        pytest.param(
            ConvNet(depth=2, prepend=True, w_std=1.1, b_std=0.0),
            (9, 6, 3),
            "ntk",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            ConvNet(depth=2, prepend=True, strided=True), (9, 6, 3), "ntk", marks=pytest.mark.slow
        ),
        pytest.param(
            ConvNet(depth=2, prepend=False, activation="gelu"),
            (4, 6, 1),
            "ntk",
            marks=pytest.mark.slow,
        ),
        # all offsets there are, at the finest of four levels
        pytest.param(ConvNet(depth=4, prepend=False), (17, 16, 1), "ntk", marks=pytest.mark.slow),
        pytest.param(kernels.Myrtle(depth=5), (32, 32, 3), "ntk", marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_equals_neural_tangents(
    architecture: kernels.Architecture, shape: tuple[int, ...], kind: Any, distance: Distance
) -> None:
    exact, reference = both(architecture, kind)
    assert isinstance(exact, ConvolutionalKernel)
    assert exact == architecture.kernel(kind)
    x1, x2 = jnp.asarray(images(1, *shape)), jnp.asarray(images(2, *shape, seed=1))
    block, gradients = cross_and_gradients(exact, x1, x2)
    expected, expected_gradients = cross_and_gradients(reference, x1, x2)
    assert distance(block, expected) < 1e-12
    for got, wanted in zip(gradients, expected_gradients, strict=True):
        assert distance(got, wanted) < 1e-12


@pytest.mark.usefixtures("x64")
@pytest.mark.slow
@pytest.mark.parametrize("strided", [False, True])
def test_of_self(strided: bool, distance: Distance) -> None:
    exact, reference = both(ConvNet(depth=2, prepend=True, strided=strided))
    x = jnp.asarray(images(4, 6, 7, 2))
    block, gradient = self_and_gradient(exact, x)
    expected, expected_gradient = self_and_gradient(reference, x)
    np.testing.assert_array_equal(block, block.T)
    # neural-tangents takes the angle of an image with itself from rounding
    assert distance(block, expected) < 1e-8
    assert distance(gradient, expected_gradient) < 1e-7
    others = ~np.eye(4, dtype=bool)
    assert distance(block[others], exact(x, x + 0.0)[others]) < 1e-14


@pytest.mark.slow
@pytest.mark.usefixtures("x64")
def test_blocks_of_several_tiles(distance: Distance) -> None:
    # more pairs than a tile holds, and a rest; more images than a tile of features holds
    kernel = ConvNet(depth=1, prepend=False).kernel()
    x1, x2 = jnp.asarray(images(2, 4, 4, 1)), jnp.asarray(images(PAIRS + 3, 4, 4, 1, seed=1))
    block, gradients = cross_and_gradients(kernel, x1, x2)
    weights = images(2, PAIRS + 3, seed=7)

    one = jax.jit(lambda a, b, w: jax.vjp(lambda a, b: kernel(a[None], b[None])[0, 0], a, b)[1](w))
    of1, of2 = np.zeros(x1.shape), np.zeros(x2.shape)
    for i in range(2):
        for j in range(PAIRS + 3):
            np.testing.assert_allclose(block[i, j], kernel(x1[i : i + 1], x2[j : j + 1])[0, 0])
            part1, part2 = one(x1[i], x2[j], weights[i, j])
            of1[i] += part1
            of2[j] += part2
    assert distance(gradients[0], of1) < 1e-12
    assert distance(gradients[1], of2) < 1e-12


# --- float32, on images that put pairs of pixels where derivatives are infinite


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "architecture", "kind"),
    [
        ("mnist", ConvNet(depth=3), "ntk"),
        ("fashion_mnist", ConvNet(depth=3), "ntk"),
        ("cifar10", ConvNet(depth=3), "ntk"),
        ("zca_cifar10", ConvNet(depth=3), "ntk"),
        ("gaussian", ConvNet(depth=3), "ntk"),
        ("fashion_mnist", ConvNet(depth=3, strided=True), "nngp"),
    ],
    ids=str,
)
def test_float32(
    name: str, architecture: kernels.Architecture, kind: Any, distance: Distance
) -> None:
    x = natural(name, 5).astype(np.float32)
    exact, reference = both(architecture, kind)
    block, gradients = cross_and_gradients(exact, x[:2], x[2:])
    own, own_gradient = self_and_gradient(exact, x[:3])
    assert block.dtype == own.dtype == gradients[0].dtype == np.float32
    with jax.enable_x64(True):
        x = x.astype(np.float64)
        expected, expected_gradients = cross_and_gradients(reference, x[:2], x[2:])
        expected_own, expected_own_gradient = self_and_gradient(reference, x[:3])
    np.testing.assert_allclose(block, expected, rtol=1e-6)
    np.testing.assert_allclose(own, expected_own, rtol=1e-6)
    for got, wanted in zip(gradients, expected_gradients, strict=True):
        assert distance(got, wanted) < 1e-6
    assert distance(own_gradient, expected_own_gradient) < 1e-6


def singular_images(case: str) -> tuple[np.ndarray, np.ndarray]:
    x1, x2 = images(2, 6, 7, 2), images(3, 6, 7, 2, seed=1)
    if case == "duplicates":
        x2[1] = x1[0]
    if case == "zeros":
        x1[0] = x2[0] = 0
    if case == "constant":
        x1[0], x2[0], x2[1] = 0.7, 0.7, -1.3
    if case == "shared margin":
        for x in (x1, x2):
            x[:, :3], x[:, :, 5:] = -0.4, -0.4
    return x1.astype(np.float32), x2.astype(np.float32)


@pytest.mark.slow
@pytest.mark.parametrize("case", ["duplicates", "zeros", "constant", "shared margin"])
def test_singular_pairs(case: str, distance: Distance) -> None:
    architecture = ConvNet(depth=2, prepend=False)
    exact, reference = both(architecture)
    x1, x2 = singular_images(case)
    block, gradients = cross_and_gradients(exact, x1, x2)
    own, own_gradient = self_and_gradient(exact, x2)
    with jax.enable_x64(True):
        x1, x2 = x1.astype(np.float64), x2.astype(np.float64)
        expected, expected_gradients = cross_and_gradients(reference, x1, x2)
        expected_own, expected_own_gradient = self_and_gradient(reference, x2)
    np.testing.assert_allclose(block, expected, rtol=1e-6)
    np.testing.assert_allclose(own, expected_own, rtol=1e-6)
    for got, wanted in zip(gradients, expected_gradients, strict=True):
        assert distance(got, wanted) < 1e-6
    assert distance(own_gradient, expected_own_gradient) < 1e-6
    if case == "duplicates":
        assert block[0, 1] == own[1, 1]  # an image with its copy is an image with itself


@pytest.mark.slow
@pytest.mark.parametrize("apart", [1e-2, 1e-3, 1e-4])
def test_near_duplicates(apart: float, distance: Distance) -> None:
    """Images that float32 hardly tells apart after a pooling, or takes for equal.

    Their angle, of the order of `apart`, is lost then: at worst where it only just is.
    """
    exact, reference = both(ConvNet(depth=2, prepend=False))
    x1, x2 = images(2, 6, 7, 2), images(3, 6, 7, 2, seed=1)
    x2[:2] = x1 + apart * x2[:2]
    x1, x2 = x1.astype(np.float32), x2.astype(np.float32)
    block, gradients = cross_and_gradients(exact, x1, x2)
    with jax.enable_x64(True):
        x1, x2 = x1.astype(np.float64), x2.astype(np.float64)
        expected, expected_gradients = cross_and_gradients(reference, x1, x2)
    np.testing.assert_allclose(block, expected, rtol=1e-4)
    others = ~np.eye(2, 3, dtype=bool)
    np.testing.assert_allclose(block[others], np.asarray(expected)[others], rtol=1e-6)
    for got, wanted in zip(gradients, expected_gradients, strict=True):
        assert distance(got, wanted) < 0.05


@pytest.mark.slow
def test_constant_images_of_one_sign(distance: Distance) -> None:
    """Nearly parallel features of other lengths: the difference of near terms is their angle."""
    exact, reference = both(ConvNet(depth=2, prepend=False))
    x1, x2 = np.ones((2, 6, 7, 2), np.float32), np.ones((3, 6, 7, 2), np.float32)
    x1 *= np.array([0.7, 2.0], np.float32).reshape(2, 1, 1, 1)
    x2 *= np.array([1.3, 0.1, 0.71], np.float32).reshape(3, 1, 1, 1)
    block, gradients = cross_and_gradients(exact, x1, x2)
    with jax.enable_x64(True):
        x1, x2 = x1.astype(np.float64), x2.astype(np.float64)
        expected, expected_gradients = cross_and_gradients(reference, x1, x2)
    np.testing.assert_allclose(block, expected, rtol=2e-6)
    for got, wanted in zip(gradients, expected_gradients, strict=True):
        assert distance(got, wanted) < 3e-6


@pytest.mark.slow
@pytest.mark.parametrize("activation", ["erf", "gelu"])
def test_float32_of_smooth_activations(activation: Any, distance: Distance) -> None:
    exact, reference = both(ConvNet(depth=1, prepend=True, activation=activation))
    x1, x2 = singular_images("duplicates")
    block, gradients = cross_and_gradients(exact, x1, x2)
    with jax.enable_x64(True):
        x1, x2 = x1.astype(np.float64), x2.astype(np.float64)
        expected, expected_gradients = cross_and_gradients(reference, x1, x2)
    # erf is odd: its kernel has entries near zero, the sums of large ones
    np.testing.assert_allclose(block, expected, rtol=1e-6, atol=1e-6 * expected.max())
    for got, wanted in zip(gradients, expected_gradients, strict=True):
        assert distance(got, wanted) < 1e-6


@pytest.mark.slow
def test_collinear_images_without_biases(distance: Distance) -> None:
    """The one pair of features that float32 does not get to 1e-6: parallel, of other lengths.

    Their angle is zero, and comes out as the root of a rounding error. Everything is homogeneous,
    so that k(x, 2 x) = 2 k(x, x).
    """
    kernel = ConvNet(depth=2, prepend=True, b_std=0.0).kernel()
    x = images(2, 6, 7, 2).astype(np.float32)
    ones = jnp.ones((2, 2))
    own, pull = jax.vjp(kernel, x)
    block, pull_both = jax.vjp(kernel, x, 2 * x)
    (gradient,), (gradient1, gradient2) = pull(ones), pull_both(ones)
    np.testing.assert_allclose(block, 2 * own, rtol=1e-4)
    assert distance(gradient1 + 2 * gradient2, 2 * gradient) < 1e-4


@pytest.mark.slow
def test_images_of_zeros_without_biases() -> None:
    kernel = ConvNet(depth=1, prepend=True, b_std=0.0).kernel()
    x = np.zeros((2, 4, 4, 1), np.float32)
    x[1] = images(1, 4, 4, 1)[0]
    block, gradient = self_and_gradient(kernel, x)
    assert np.isfinite(block).all()
    assert block[0, 0] == block[0, 1] == 0
    assert np.isfinite(gradient).all()


@pytest.mark.slow
def test_small_images_without_biases(distance: Distance) -> None:
    # the product of two variances is no number of float32
    kernel = ConvNet(depth=2, prepend=False, b_std=0.0).kernel()
    x, small = images(2, 4, 4, 1).astype(np.float32), np.float32(2.0**-33)
    block, gradient = self_and_gradient(kernel, x)
    small_block, small_gradient = self_and_gradient(kernel, small * x)
    assert distance(small_block / small**2, block) < 1e-6
    assert distance(small_gradient / small, gradient) < 1e-6


# --- other networks of convolutions, activations and poolings


@pytest.mark.slow
@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize(
    "letters", ["cr", "cr3", "crcr22", "cr2tr2", "cr2crcr", "crsr2cr", "cece2"]
)
def test_other_networks(letters: str, written: Written, distance: Distance) -> None:
    # with erf, the layers say so and the field of the architecture does not
    exact, reference = both(written(letters=letters))
    x1, x2 = jnp.asarray(images(1, 9, 8, 2)), jnp.asarray(images(2, 9, 8, 2, seed=1))
    block, gradients = cross_and_gradients(exact, x1, x2)
    expected, expected_gradients = cross_and_gradients(reference, x1, x2)
    assert distance(block, expected) < 1e-12
    for got, wanted in zip(gradients, expected_gradients, strict=True):
        assert distance(got, wanted) < 1e-12


@pytest.mark.parametrize("letters", ["crce", "2cr", "ccr"])
def test_networks_left_to_neural_tangents(letters: str, written: Written) -> None:
    assert type(written(letters=letters).kernel()).__name__ == "StaxKernel"


# --- what is computed, and what is not


def test_offsets_that_matter() -> None:
    levels = make_levels(ConvNet(depth=3).layers, (32, 32))
    assert [level.size for level in levels] == [(32, 32), (16, 16), (8, 8)]
    assert [level.convolutions for level in levels] == [2, 1, 1]
    assert [level.radius for level in levels] == [(7, 7), (3, 3), (1, 1)]
    assert levels[-1].pooled_radius == (0, 0)
    odd = make_levels(ConvNet(depth=3, prepend=False).layers, (28, 15))
    assert [level.size for level in odd] == [(28, 15), (14, 7), (7, 3)]
    deep = make_levels(ConvNet(depth=5).layers, (32, 32))
    assert [level.radius[0] for level in deep] == [31, 15, 7, 3, 1]
    narrow = make_levels(ConvNet(depth=5).layers, (32, 40))
    assert narrow[0].radius == (31, 31)


def test_offsets_that_matter_with_strides(written: Written) -> None:
    levels = make_levels(ConvNet(depth=3, strided=True).layers, (32, 15))
    assert [level.size for level in levels] == [(32, 15), (16, 8), (8, 4)]
    assert [level.pooled_size for level in levels] == [(16, 8), (8, 4), (4, 2)]
    assert [level.convolutions for level in levels] == [2, 1, 1]
    assert {level.radius for level in levels} == {(0, 0)}
    # "SAME" pads an even number of pixels below alone, an odd one on both sides
    assert levels[0].taken == (1, 0)
    mixed = make_levels(written(letters="cr2sr2").layers, (16, 16))
    assert [level.radius[0] for level in mixed] == [5, 2, 1]
    assert [level.step for level in mixed] == [1, 2, 1]


def test_which_networks_have_levels() -> None:
    layers = ConvNet(depth=1).layers
    assert has_levels(layers)
    assert has_levels(kernels.Myrtle(depth=10).layers)
    assert not has_levels(kernels.FullyConnected().layers)
    assert not has_levels(layers[1:])  # an activation before any convolution
    assert not has_levels((*layers[:-1], *layers[-2:]))  # flattened twice


@pytest.mark.slow
def test_memory_is_that_of_a_tile() -> None:
    kernel = ConvNet(depth=1, prepend=False).kernel()

    def temporary_bytes(n1: int, n2: int) -> int:
        x1, x2 = jnp.ones((n1, 12, 12, 1)), jnp.ones((n2, 12, 12, 1))
        gradient = jax.jit(jax.grad(lambda x1, x2: kernel.cross(x1, x2).sum(), argnums=(0, 1)))
        return gradient.lower(x1, x2).compile().memory_analysis().temp_size_in_bytes

    few, many = temporary_bytes(8, 64), temporary_bytes(64, 64)
    # 56 more images, with their features and the cotangents of these, twice; 3584 more pairs
    of_an_image = 4 * 4 * (12 * 12 * 2 + 6 * 6 * 2)
    assert many - few < 56 * 2 * of_an_image + 3584 * 4 * 4
