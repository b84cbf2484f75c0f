"""Kernels that neural-tangents computes: as it stands, in tiles, and of a user's own network."""

from collections.abc import Callable
from typing import Any

import cloudpickle
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kernel_distill import kernels
from kernel_distill._errors import InputError
from kernel_distill.kernels import _stax
from kernel_distill.kernels._convolved_covariance import convolve

pytestmark = pytest.mark.kernels

Distance = Callable[[Any, Any], float]

SMALL = kernels.ConvNet(depth=1, prepend=False)


def images(n: int, *shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, *shape))


def by_hand(architecture: str, w_std: float, b_std: float) -> Callable[..., Any]:
    """The published networks, as Nguyen et al. 2021 and Shankar et al. 2020 describe them."""
    stax = kernels.neural_tangents().stax
    setting = {"W_std": w_std, "b_std": b_std}
    convolution = [stax.Conv(1, (3, 3), padding="SAME", **setting), stax.Relu()]
    pooling = [stax.AvgPool((2, 2), strides=(2, 2))]
    layers = {
        "convnet": convolution + (convolution + pooling) * 3,
        "convnet3": (convolution + pooling) * 3,
        "myrtle5": convolution * 2 + pooling + convolution + pooling + convolution + pooling * 3,
        "myrtle7": (convolution * 2 + pooling) * 3 + pooling * 2,
        "myrtle10": (convolution * 3 + pooling) * 3 + pooling * 2,
    }[architecture]
    return stax.serial(*layers, stax.Flatten(), stax.Dense(1, **setting))[2]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "size"),
    [("convnet", 8), ("convnet3", 9), ("myrtle5", 32), ("myrtle10", 32)],
)
def test_architectures_are_the_published_ones(name: str, size: int, distance: Distance) -> None:
    x1, x2 = images(1, size, size, 3).astype("f"), images(2, size, size, 3, seed=1).astype("f")
    architecture = kernels.named(name, w_std=1.2, b_std=0.3)

    @jax.jit
    def compute(x1: jax.Array, x2: jax.Array) -> list[Any]:
        reference = by_hand(name, 1.2, 0.3)(x1, x2, ("ntk", "nngp"))
        return [
            (getattr(reference, kind), architecture.kernel(kind)(x1, x2))
            for kind in ("ntk", "nngp")
        ]

    for expected, block in compute(x1, x2):
        assert distance(block, expected) < 1e-6


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("activation", ["relu", "erf", "gelu"])
def test_both_implementations_of_a_fully_connected_kernel(
    activation: str, distance: Distance
) -> None:
    architecture = kernels.FullyConnected(depth=2, w_std=1.1, b_std=0.2, activation=activation)
    x1, x2 = images(2, 3, 4, 2), images(5, 3, 4, 2, seed=1)
    exact = architecture.kernel("ntk", implementation="exact")
    assert exact == architecture.kernel("ntk")
    other = architecture.kernel("ntk", implementation="neural_tangents")
    assert isinstance(other, _stax.StaxKernel)
    assert distance(other(x1, x2), exact(x1, x2)) < 1e-13
    assert distance(other(x1), exact(x1)) < 1e-8


def test_float64_convnet_at_32x32() -> None:
    # XLA's own convolution ends the process here, on CPU with jaxlib before 0.11: see
    # `_convolved_covariance`
    x1, x2 = images(3, 32, 32, 3), images(1, 32, 32, 3, seed=1)
    kernel = SMALL.kernel(implementation="neural_tangents")
    with jax.enable_x64(True):
        gradient = jax.jit(jax.grad(lambda x1, x2: kernel(x1, x2).sum()))(x1, x2)
    assert gradient.dtype == np.float64
    assert np.isfinite(gradient).all()
    assert np.linalg.norm(gradient) > 0.01


def test_float32_equals_float64(distance: Distance) -> None:
    x1, x2 = images(5, 6, 6, 2).astype(np.float32), images(3, 6, 6, 2, seed=1).astype(np.float32)
    kernel = SMALL.kernel(implementation="neural_tangents")
    compute = jax.jit(lambda x1, x2: (kernel(x1, x2), kernel(x1)))
    single = compute(x1, x2)
    with jax.enable_x64(True):
        double = compute(x1.astype(np.float64), x2.astype(np.float64))
    assert distance(single[0], double[0]) < 1e-6
    others = ~np.eye(5, dtype=bool)
    assert distance(single[1][others], double[1][others]) < 1e-6
    # the angle of an image with itself is the square root of rounding in neural-tangents
    assert distance(single[1], double[1]) < 1e-4


@pytest.mark.usefixtures("x64")
def test_float32_images_where_64_bits_are_on(small_budget: Callable[[int], None]) -> None:
    # as on the command line; neural-tangents would compute in float64
    x1, x2 = (jnp.ones((n, 4, 4, 2), jnp.float32) for n in (3, 2))
    for pairs in (100, 1):
        small_budget(pairs)
        for name in ("fc1", "convnet1"):
            kernel = kernels.named(name).kernel(implementation="neural_tangents")
            blocks = jax.eval_shape(
                lambda kernel=kernel: (kernel.cross(x1, x2), kernel.of_self(x1))
            )
            gradient = jax.eval_shape(jax.grad(lambda x, k=kernel: k.cross(x, x2).sum()), x1)
            assert {array.dtype.name for array in (*blocks, gradient)} == {"float32"}


# --- in tiles


@pytest.fixture
def small_budget(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Sets how many pairs of 4x4 images in float64 make a tile."""
    return lambda pairs: monkeypatch.setattr(_stax, "BUDGET", pairs * 16**2 * 8)


def loops(function: Callable[..., Any], *x: Any) -> int:
    return str(jax.make_jaxpr(function)(*x)).count("scan[")


@pytest.mark.slow
@pytest.mark.usefixtures("x64")
def test_tiles_equal_the_whole(small_budget: Callable[[int], None], distance: Distance) -> None:
    x1, x2 = images(5, 4, 4, 2), images(3, 4, 4, 2, seed=1)
    cotangent = np.random.default_rng(2).normal(size=(5, 3))
    self_cotangent = np.random.default_rng(3).normal(size=(5, 5))
    stax = kernels.neural_tangents().stax
    # dropout sets the diagonal of the kernel of a set with itself apart
    network = stax.serial(
        *(stax.Conv(1, (3, 3), padding="SAME"), stax.Relu(), stax.Dropout(0.7, mode="train")),
        *(stax.Flatten(), stax.Dense(1)),
    )
    kernel = kernels.from_stax(*network)

    def computed() -> Any:
        # not `kernel(x1, x2)`, whose compiled form would not hear of another budget
        @jax.jit
        def compute(x1: jax.Array, x2: jax.Array) -> Any:
            cross, pull_cross = jax.vjp(kernel.cross, x1, x2)
            of_self, pull_self = jax.vjp(kernel.of_self, x1)
            return (cross, *pull_cross(cotangent)), (of_self, *pull_self(self_cotangent))

        return compute(x1, x2)

    assert loops(kernel.cross, x1, x2) == 0
    whole = computed()
    small_budget(6)  # tiles of 3x2, which leave a rest of rows and of columns
    assert loops(kernel.cross, x1, x2) == 2  # over tiles of rows, and of columns
    assert loops(kernel.of_self, x1) == 3  # and over the diagonal
    tiled = computed()
    for got, expected in zip(tiled[0], whole[0], strict=True):
        assert distance(got, expected) < 1e-12
    for got, expected in zip(tiled[1], whole[1], strict=True):
        # of equal pixels the angle is the square root of rounding
        assert distance(got, expected) < 1e-7
    np.testing.assert_array_equal(tiled[1][0], tiled[1][0].T)


def test_an_image_that_is_more_than_the_budget(
    small_budget: Callable[[int], None], distance: Distance
) -> None:
    kernel = SMALL.kernel(implementation="neural_tangents")
    x1, x2 = images(3, 4, 4, 2).astype(np.float32), images(2, 4, 4, 2, seed=1).astype(np.float32)
    whole = kernel(x1, x2)
    small_budget(0)
    assert loops(kernel.cross, x1, x2) == 2  # one pair at a time
    assert distance(jax.jit(kernel.cross)(x1, x2), whole) < 1e-6


def test_tiles_bound_the_memory(small_budget: Callable[[int], None]) -> None:
    x1, x2 = images(32, 4, 4, 1).astype(np.float32), images(64, 4, 4, 1).astype(np.float32)
    kernel = SMALL.kernel(implementation="neural_tangents")

    def temporary_bytes() -> int:
        gradient = jax.grad(lambda x1: kernel.cross(x1, jnp.asarray(x2)).sum())
        compiled = jax.jit(gradient).lower(x1).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    whole = temporary_bytes()
    small_budget(32)  # 64 pairs in float32, of 2048
    assert temporary_bytes() < whole / 8


def test_tables_of_no_pixels_are_not_cut(small_budget: Callable[[int], None]) -> None:
    kernel = kernels.FullyConnected().kernel(implementation="neural_tangents")
    rows = jnp.ones((5, 16))
    small_budget(1)  # 512 pairs of rows
    assert loops(kernel.cross, rows, rows) == 0
    # of images neural-tangents keeps the pixels until they are flattened, but no pairs of them
    assert loops(kernel.cross, rows.reshape(5, 4, 4, 1), rows.reshape(5, 4, 4, 1)) == 0


def test_products_ask_for_full_precision() -> None:
    kernel = SMALL.kernel(implementation="neural_tangents")
    x = jnp.ones((3, 4, 4, 2))
    traced = str(jax.make_jaxpr(jax.value_and_grad(lambda x: kernel.cross(x, x + 1).sum()))(x))
    products = traced.count("dot_general[")
    assert products >= 3  # forward, and the gradient of both arguments
    assert traced.count("precision=(Precision.HIGHEST, Precision.HIGHEST)") == products
    assert "conv_general_dilated" not in traced


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("same", [True, False])
@pytest.mark.parametrize("filter_shape", [(3, 3), (2, 3), (5, 1)])
def test_convolution_of_a_covariance(filter_shape: tuple[int, int], same: bool) -> None:
    height, width = 5, 6
    covariance = np.random.default_rng(0).normal(size=(2, height, height, width, width))
    before = [(size - 1) // 2 if same else 0 for size in filter_shape]  # as "SAME" pads
    sizes = [
        length if same else length - size + 1
        for length, size in zip((height, width), filter_shape, strict=True)
    ]
    expected = np.zeros((2, sizes[1], sizes[1], sizes[0], sizes[0]))
    for b, m, n, i, j in np.ndindex(*expected.shape):
        for a, c in np.ndindex(*filter_shape):
            h = [row + a - before[0] for row in (i, j)]
            w = [column + c - before[1] for column in (m, n)]
            if 0 <= min(h) <= max(h) < height and 0 <= min(w) <= max(w) < width:
                expected[b, m, n, i, j] += covariance[b, *h, *w] / np.prod(filter_shape)
    got = convolve(jnp.asarray(covariance), filter_shape, same=same)
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-14)


@pytest.mark.slow
@pytest.mark.usefixtures("x64")
def test_convolutions_that_keep_neural_tangents_own_form(distance: Distance) -> None:
    # strides and wrapped edges; the references are networks without, on other images
    stax = kernels.neural_tangents().stax
    x1, x2 = images(2, 4, 4, 3), images(3, 4, 4, 3, seed=1)

    def kernel(size: int, **settings: Any) -> kernels.Kernel:
        convolution = stax.Conv(1, (size, size), W_std=1.3, b_std=0.1, **settings)
        return kernels.from_stax(
            *stax.serial(
                convolution, stax.Relu(), stax.AvgPool((2, 2)), stax.Flatten(), stax.Dense(1)
            )
        )

    strided = kernel(1, strides=(2, 2))(x1, x2)
    assert distance(strided, kernel(1)(x1[:, ::2, ::2], x2[:, ::2, ::2])) < 1e-14

    wrapped = [np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="wrap") for x in (x1, x2)]
    circular = kernel(3, padding="CIRCULAR")(x1, x2)
    assert distance(circular, kernel(3, padding="VALID")(*wrapped)) < 1e-13


# --- a user's own network


def test_from_stax() -> None:
    stax = kernels.neural_tangents().stax
    network = stax.serial(stax.Dense(1, W_std=1.5), stax.Sin(), stax.Dense(1, W_std=1.5, b_std=0.2))
    rows = images(4, 7).astype(np.float32)
    for kind in ("ntk", "nngp"):
        kernel = kernels.from_stax(*network, kind=kind)
        assert kernel == kernels.from_stax(*network, kind=kind)
        np.testing.assert_allclose(
            kernel(rows), getattr(network[2](rows, None, (kind,)), kind), rtol=1e-5
        )
    assert kernels.from_stax(*network).kind == "ntk"
    assert kernel.architecture.to_metadata() == {"name": "custom"}
    with pytest.raises(InputError, match=r"pass its kernel \(kernels.from_stax"):
        kernels.from_metadata(kernel.architecture.to_metadata())


def test_a_network_that_is_sent_again_is_the_same() -> None:
    stax = kernels.neural_tangents().stax
    network = stax.serial(stax.Dense(1, W_std=1.5), stax.Sin(), stax.Dense(1))
    kernel = kernels.from_stax(*network)
    first, second = (cloudpickle.loads(cloudpickle.dumps(kernel)) for _ in range(2))
    assert first == second
    assert hash(first) == hash(second)
    rows = images(4, 7).astype(np.float32)
    np.testing.assert_array_equal(first(rows), kernel(rows))


def test_a_network_without_a_readout() -> None:
    stax = kernels.neural_tangents().stax
    kernel = kernels.from_stax(*stax.serial(stax.Conv(1, (3, 3)), stax.Relu()))
    with pytest.raises(InputError, match=r"end in a readout.*got shape \(2, 2, .*stax.Flatten"):
        kernel(images(2, 5, 5, 1).astype(np.float32))


@pytest.mark.slow
def test_wide_networks_approach_the_kernels(distance: Distance) -> None:
    nt = kernels.neural_tangents()
    setting = {"W_std": SMALL.w_std, "b_std": SMALL.b_std}
    x = images(3, 4, 4, 2).astype(np.float32)

    def network(outputs: int) -> tuple[Callable[..., Any], Callable[..., Any]]:
        return nt.stax.serial(
            nt.stax.Conv(1000, (3, 3), padding="SAME", **setting),
            nt.stax.Relu(),
            nt.stax.AvgPool((2, 2), strides=(2, 2)),
            nt.stax.Flatten(),
            nt.stax.Dense(outputs, **setting),
        )[:2]

    init_fn, apply_fn = network(1000)
    outputs = apply_fn(init_fn(jax.random.key(0), x.shape)[1], x)
    nngp = outputs @ outputs.T / outputs.shape[1]
    assert distance(nngp, SMALL.kernel("nngp", implementation="neural_tangents")(x)) < 0.1

    init_fn, apply_fn = network(1)
    empirical = jax.jit(nt.empirical_ntk_fn(apply_fn), static_argnums=1)
    keys = jax.random.split(jax.random.key(1), 10)
    ntk = np.mean([empirical(x, None, init_fn(key, x.shape)[1]) for key in keys], axis=0)
    assert distance(ntk, SMALL.kernel("ntk", implementation="neural_tangents")(x)) < 0.02
