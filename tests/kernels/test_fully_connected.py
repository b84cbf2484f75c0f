"""The closed forms of the fully connected kernels, against neural-tangents in float64.

Each test compiles all that it needs at once: compilations take more of its time than arithmetic.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kernel_distill import kernels

pytestmark = pytest.mark.kernels

Distance = Callable[[Any, Any], float]

# norm of the difference over the norm
TOLERANCE = {"float32": 1e-6, "float64": 1e-13}
# near equal images the angle is the square root of rounding: 1e-8 in float64
TOLERANCE_AT_DUPLICATES = 1e-8
TOLERANCE_AT_DUPLICATES_OF_FLOAT32 = 1.2e-4  # of the ntk, a hidden layer

ACTIVATIONS = ("relu", "erf", "gelu")
# whose programs take longest to compile
GELU_SLOW = [
    pytest.param(name, marks=pytest.mark.slow if name == "gelu" else ()) for name in ACTIVATIONS
]
KINDS = ("ntk", "nngp")
SETTINGS = ((2**0.5, 0.1), (1.3, 0.0), (0.7, 1.1))


def neural_tangents(
    x1: Any, x2: Any | None, w_std: float, b_std: float, *, activation: str, depth: int
) -> dict[str, jax.Array]:
    """Both kinds, from layers written down here once more."""
    stax = kernels.neural_tangents().stax
    dense = functools.partial(stax.Dense, 1, W_std=w_std, b_std=b_std)
    nonlinearity = {
        "relu": stax.Relu,
        "erf": stax.Erf,
        "gelu": functools.partial(stax.Gelu, approximate=False),
    }[activation]
    layers: list[Any] = [stax.Flatten()]
    for _ in range(depth):
        layers += [dense(), nonlinearity()]
    return stax.serial(*layers, dense())[2](x1, x2, KINDS)._asdict()


def draw(*shape: int, seed: int = 0) -> np.ndarray:
    """Rows of various lengths, since kernels depend on them in different ways."""
    rng = np.random.default_rng(seed)
    lengths = rng.uniform(0.3, 2.0, shape[0]).reshape(-1, *(1,) * (len(shape) - 1))
    return rng.normal(size=shape) * lengths


def exact(
    activation: str, kind: str, depth: int = 1, settings: tuple[float, float] = SETTINGS[0]
) -> kernels.Kernel:
    w_std, b_std = settings
    architecture = kernels.FullyConnected(
        depth=depth, w_std=w_std, b_std=b_std, activation=activation
    )
    return architecture.kernel(kind, implementation="exact")


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("depth", [1, pytest.param(2, marks=pytest.mark.slow), 3])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_equals_neural_tangents(activation: str, depth: int, distance: Distance) -> None:
    @jax.jit
    def compute(x1: jax.Array, x2: jax.Array) -> list[Any]:
        results = []
        for settings in SETTINGS if depth == 1 else SETTINGS[depth - 1 : depth]:
            cross = neural_tangents(x1, x2, *settings, activation=activation, depth=depth)
            of_self = neural_tangents(x1, None, *settings, activation=activation, depth=depth)
            for kind in KINDS:
                kernel = exact(activation, kind, depth, settings)
                results.append((kernel(x1, x2), cross[kind], kernel(x1), of_self[kind]))
        return results

    others = ~np.eye(5, dtype=bool)
    for block, reference, of_self, self_reference in compute(draw(5, 11), draw(7, 11, seed=1)):
        assert block.dtype == np.float64
        assert distance(block, reference) < TOLERANCE["float64"]
        assert distance(of_self[others], self_reference[others]) < TOLERANCE["float64"]
        # neural-tangents' own angle of an image with itself is not quite zero
        assert distance(of_self, self_reference) < TOLERANCE_AT_DUPLICATES


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize(("n1", "n2", "shape"), [(1, 1, (1,)), (1, 6, (4, 5, 2)), (3, 1, (13,))])
def test_ragged_sizes(n1: int, n2: int, shape: tuple[int, ...], distance: Distance) -> None:
    x1, x2 = draw(n1, *shape), draw(n2, *shape, seed=1)
    reference = jax.jit(
        functools.partial(neural_tangents, activation="relu", depth=1), static_argnums=(2, 3)
    )
    kernel = exact("relu", "ntk")
    expected = reference(x1, x2, *SETTINGS[0])["ntk"]
    assert distance(kernel(x1, x2), expected) < TOLERANCE["float64"]
    expected = reference(x1, None, *SETTINGS[0])["ntk"]
    assert distance(kernel(x1), expected) < TOLERANCE_AT_DUPLICATES


@pytest.mark.parametrize("activation", GELU_SLOW)
def test_float32_equals_float64(activation: str, distance: Distance) -> None:
    x1, x2 = draw(40, 7, 8, 3).astype(np.float32), draw(31, 7, 8, 3, seed=1).astype(np.float32)
    kernel = exact(activation, "ntk", depth=2)

    @jax.jit
    def compute(x1: jax.Array, x2: jax.Array) -> tuple[jax.Array, ...]:
        gradient = jax.grad(lambda x1: jnp.sum(jnp.sin(kernel(x1, x2))))
        return kernel(x1, x2), kernel(x1), gradient(x1)

    single = compute(x1, x2)
    with jax.enable_x64(True):
        double = compute(x1.astype(np.float64), x2.astype(np.float64))
    for got, reference in zip(single, double, strict=True):
        assert (got.dtype, reference.dtype) == (np.float32, np.float64)
        assert distance(got, reference) < TOLERANCE["float32"]


def test_products_ask_for_full_precision() -> None:
    # the default is TF32 on GPUs and bfloat16 on TPUs; a CPU would not show the difference
    kernel = exact("relu", "ntk")
    x = jnp.ones((3, 4))
    traced = str(jax.make_jaxpr(jax.value_and_grad(lambda x: kernel.cross(x, x + 1).sum()))(x))
    products = traced.count("dot_general[")
    assert products >= 3  # forward, and the gradient of both arguments
    assert traced.count("precision=(Precision.HIGHEST, Precision.HIGHEST)") == products


def test_stages_hide_no_number_that_is_none() -> None:
    # the elementwise part stands in a branch, taken where the first norm is not negative
    x = draw(3, 4).astype(np.float32)
    for row, value in ((0, np.nan), (1, np.nan), (0, np.inf)):
        spoilt = x.copy()
        spoilt[row, 0] = value
        # traced, since a call with such numbers is refused
        block = np.asarray(jax.jit(exact("relu", "ntk"))(spoilt, x))
        assert not np.isfinite(block[row]).any()
        assert np.isfinite(exact("relu", "ntk")(x, x)).all()


# --- the kernel of a set with itself


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_self_kernel_is_symmetric_and_semidefinite(activation: str, dtype: str) -> None:
    with jax.enable_x64(True):
        x = jnp.asarray(draw(23, 5), dtype)
        both = jax.jit(lambda x: [exact(activation, kind, depth=2)(x) for kind in KINDS])(x)
    for block in map(np.asarray, both):
        assert block.dtype == dtype
        np.testing.assert_array_equal(block, block.T)
        eigenvalues = np.linalg.eigvalsh(block.astype(np.float64))
        assert eigenvalues[0] > -TOLERANCE[dtype] * eigenvalues[-1]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_relu_diagonal(dtype: str) -> None:
    # the angle of an image with itself is zero: v <- w v / 2 + b, t <- w t / 2 + v
    x = draw(9, 6).astype(dtype)
    weight, bias = 1.7, 0.4
    v = t = weight * np.mean(x.astype(np.float64) ** 2, axis=1) + bias
    for _ in range(3):
        v = weight * v / 2 + bias
        t = weight * t / 2 + v
    with jax.enable_x64(True):
        for kind, expected in (("ntk", t), ("nngp", v)):
            block = exact("relu", kind, 3, (weight**0.5, bias**0.5))(jnp.asarray(x))
            tolerance = 10 * float(np.finfo(dtype).eps)
            np.testing.assert_allclose(np.diagonal(block), expected, rtol=tolerance)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("activation", GELU_SLOW)
def test_rows_that_are_equal_opposite_parallel_or_zero(activation: str, distance: Distance) -> None:
    x1, x2 = draw(8, 5), draw(3, 5, seed=1)
    x1[4] = x1[1]
    x1[2], x1[5] = 0.3, -0.3  # constant, and opposite to one another
    x1[3] = 2.5 * x1[0]
    x1[6] = x1[7] = x2[0] = 0

    @jax.jit
    def compute(x1: jax.Array, x2: jax.Array) -> list[Any]:
        results = []
        for settings in SETTINGS[:2]:
            cross = neural_tangents(x1, x2, *settings, activation=activation, depth=2)
            of_self = neural_tangents(x1, None, *settings, activation=activation, depth=2)
            for kind in KINDS:
                kernel = exact(activation, kind, 2, settings)
                results.append((kernel(x1, x2), cross[kind], kernel(x1), of_self[kind]))
        return results

    assert SETTINGS[1][1] == 0  # without biases rows of zeros have no direction
    for block, reference, of_self, self_reference in compute(x1, x2):
        assert distance(block, reference) < TOLERANCE_AT_DUPLICATES
        assert distance(of_self, self_reference) < TOLERANCE_AT_DUPLICATES
        np.testing.assert_allclose(of_self[1, 4], of_self[1, 1], rtol=2 * TOLERANCE_AT_DUPLICATES)


@pytest.mark.parametrize("depth", [1, 3])
def test_float32_at_duplicates(depth: int) -> None:
    x = draw(40, 50).astype(np.float32)
    x[20:] = x[:20]
    i = np.arange(20)

    @jax.jit
    def compute(x: jax.Array) -> list[tuple[jax.Array, jax.Array]]:
        of_kinds = [exact("relu", kind, depth) for kind in KINDS]
        return [(kernel(x), kernel(x, x)) for kernel in of_kinds]

    tolerances = depth * TOLERANCE_AT_DUPLICATES_OF_FLOAT32, TOLERANCE["float32"]
    for (of_self, cross), tolerance in zip(compute(x), tolerances, strict=True):
        expected = np.diagonal(of_self)
        np.testing.assert_allclose(np.diagonal(cross), expected, rtol=tolerance)
        np.testing.assert_allclose(of_self[i, i + 20], expected[:20], rtol=tolerance)


# --- gradients


def pulled_back(function: Callable[..., jax.Array], cotangent: Any, *x: jax.Array) -> Any:
    """The gradient of <function(*x), cotangent> in each argument."""
    return jax.vjp(function, *x)[1](jnp.asarray(cotangent))


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("activation", GELU_SLOW)
def test_gradient_equals_neural_tangents(activation: str, distance: Distance) -> None:
    kernel = exact(activation, "ntk", depth=2)  # of which the nngp is a term
    cotangent = np.random.default_rng(2).normal(size=(5, 3))

    def reference(x1: jax.Array, x2: jax.Array) -> jax.Array:
        return neural_tangents(x1, x2, *SETTINGS[0], activation=activation, depth=2)["ntk"]

    @jax.jit
    def compute(*x: jax.Array) -> Any:
        return pulled_back(kernel, cotangent, *x), pulled_back(reference, cotangent, *x)

    for gradient, expected in zip(*compute(draw(5, 4), draw(3, 4, seed=1)), strict=True):
        assert distance(gradient, expected) < 1e-12


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("activation", GELU_SLOW)
def test_gradient_equals_finite_differences(activation: str, distance: Distance) -> None:
    kernel = exact(activation, "ntk")
    rng = np.random.default_rng(2)
    cross_cotangent, self_cotangent = rng.normal(size=(4, 5)), rng.normal(size=(4, 4))

    def slopes(function: Callable[..., jax.Array], cotangent: Any, x: jax.Array) -> jax.Array:
        step = 1e-5
        directions = step * jnp.eye(x.size).reshape(-1, *x.shape)
        difference = jax.vmap(lambda d: function(x + d) - function(x - d))(directions)
        return jnp.tensordot(difference, cotangent, 2).reshape(x.shape) / (2 * step)

    @jax.jit
    def compute(x1: jax.Array, x2: jax.Array) -> Any:
        first, second = pulled_back(kernel, cross_cotangent, x1, x2)
        (of_self,) = pulled_back(kernel, self_cotangent, x1)
        return (
            (first, slopes(lambda x: kernel(x, x2), cross_cotangent, x1)),
            (second, slopes(lambda x: kernel(x1, x), cross_cotangent, x2)),
            (of_self, slopes(kernel, self_cotangent, x1)),
        )

    for gradient, reference in compute(draw(4, 3), draw(5, 3, seed=1)):
        assert distance(gradient, reference) < 1e-8


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_gradient_is_finite_at_duplicates_and_zeros(activation: str, dtype: str) -> None:
    x = draw(6, 5).astype(dtype)
    x[3] = x[0]
    x[4] = -x[0]
    x[5] = 0

    @jax.jit
    def compute(x: jax.Array) -> list[jax.Array]:
        kernel, ones = exact(activation, "ntk", settings=(1.4, 0.0)), jnp.ones((6, 6), dtype)
        return [*pulled_back(kernel, ones, x, x), *pulled_back(kernel, ones, x)]

    with jax.enable_x64(True):
        for gradient in compute(x):
            assert gradient.dtype == dtype
            assert np.isfinite(gradient).all()
            assert np.linalg.norm(gradient) > 0.1


@pytest.mark.usefixtures("x64")
def test_gradient_of_the_self_kernel_at_duplicates(distance: Distance) -> None:
    # the nngp is smooth where two rows are equal: the gradient there is its limit
    x = draw(4, 5)
    x[3] = x[0]
    beside = x.copy()
    beside[3] += 1e-6 * draw(1, 5, seed=1)[0]
    cotangent = np.random.default_rng(2).normal(size=(4, 4))
    gradient = jax.jit(functools.partial(pulled_back, exact("relu", "nngp", 2), cotangent))
    assert distance(gradient(x)[0], gradient(beside)[0]) < 1e-5
