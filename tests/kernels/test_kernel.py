"""The contract of every kernel: values, tracing, gradients, and the errors of its arguments."""

import functools
import pickle
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kernel_distill import kernels
from kernel_distill._errors import InputError, UnknownNameError
from kernel_distill.kernels._levels import make_levels

pytestmark = pytest.mark.kernels

FC = kernels.FullyConnected().kernel()
CONVNET = kernels.ConvNet(depth=1, prepend=False).kernel()


def make_kernels() -> list[kernels.Kernel]:
    """One of each kind, made anew."""
    return [
        kernels.FullyConnected(depth=1).kernel("ntk"),
        kernels.FullyConnected(depth=1).kernel("nngp"),
        kernels.FullyConnected(depth=2).kernel("ntk"),
        kernels.FullyConnected(depth=1, w_std=1.0).kernel("ntk"),
        kernels.FullyConnected(depth=1, activation="erf").kernel("ntk"),
        kernels.FullyConnected(depth=1).kernel("ntk", implementation="neural_tangents"),
        kernels.ConvNet(depth=1).kernel("ntk"),
        kernels.ConvNet(depth=1, prepend=False).kernel("ntk"),
        kernels.Myrtle(depth=5).kernel("ntk"),
        kernels.mixture(FC, CONVNET),
        kernels.mixture(CONVNET, FC),
    ]


def test_kernels_compare_and_hash_by_value() -> None:
    first, second = make_kernels(), make_kernels()
    assert len(set(first)) == len(first)
    for a, b in zip(first, second, strict=True):
        assert a is not b
        assert a == b
        assert hash(a) == hash(b)
        assert pickle.loads(pickle.dumps(a)) == a  # kernels travel to worker processes


def test_kernels_are_static_arguments() -> None:
    traced = []

    @functools.partial(jax.jit, static_argnums=0)
    def call(kernel: kernels.Kernel, x: jax.Array) -> jax.Array:
        traced.append(kernel)
        return kernel(x, x + 1)

    x = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
    for kernel in (make_kernels()[0], make_kernels()[0], make_kernels()[1]):
        np.testing.assert_allclose(call(kernel, x), kernel(x, x + 1), rtol=1e-6)
    assert traced == make_kernels()[:2]  # an equal kernel is not traced again


@pytest.mark.parametrize(
    "kernel", [FC, pytest.param(CONVNET, marks=pytest.mark.slow)], ids=["fc", "convnet"]
)
def test_gradient_in_each_argument(kernel: kernels.Kernel) -> None:
    x1, x2 = np.random.default_rng(0).normal(size=(2, 3, 4, 4, 2)).astype(np.float32)

    @jax.jit
    def compute(x1: jax.Array, x2: jax.Array) -> Any:
        first = jax.grad(lambda x: kernel(x, x2).sum())(x1)
        second = jax.grad(lambda x: kernel(x1, x).sum())(x2)
        both = jax.grad(lambda x1, x2: kernel(x1, x2).sum(), argnums=(0, 1))(x1, x2)
        # a kernel is symmetric: in the second argument as in the first of the exchanged ones
        exchanged = jax.grad(lambda x: kernel(x, x1).sum())(x2)
        return (both[0], first), (both[1], second), (exchanged, second)

    for got, expected in compute(x1, x2):
        assert np.linalg.norm(expected) > 0.1
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-6)


def test_a_kernel_is_its_only_member() -> None:
    assert FC.traceable
    assert FC.members == (FC,)
    assert FC.at(jax.random.key(0)) is FC
    assert FC.architecture == kernels.FullyConnected(depth=1)
    assert FC.kind == "ntk"


def test_numpy_and_jax_arrays() -> None:
    x = np.random.default_rng(0).normal(size=(3, 4))
    block = FC(x.astype(np.float32), jnp.asarray(x, jnp.float32))
    assert isinstance(block, jax.Array)
    assert block.dtype == np.float32
    with jax.enable_x64(True):
        assert FC(x).dtype == np.float64
    assert FC(x).dtype == np.float32  # where 64 bits are off, like all of JAX


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("architecture", [kernels.FullyConnected, kernels.ConvNet])
def test_settings_of_numpy(architecture: Any) -> None:
    plain = architecture(depth=1, w_std=1.5, b_std=0.25)
    of_numpy = architecture(depth=1, w_std=np.float64(1.5), b_std=np.float64(0.25))
    x = np.random.default_rng(0).normal(size=(2, 4, 4, 1)).astype(np.float32)
    block = of_numpy.kernel()(x)
    assert block.dtype == np.float32
    np.testing.assert_array_equal(block, plain.kernel()(x))


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("kernel", [FC, CONVNET], ids=["fc", "convnet"])
def test_arguments_of_both_precisions(kernel: kernels.Kernel) -> None:
    x1, x2 = np.random.default_rng(0).normal(size=(2, 3, 4, 4, 2))
    narrow = x1.astype(np.float32)
    expected = kernel(narrow.astype(np.float64), x2)
    assert expected.dtype == np.float64
    np.testing.assert_array_equal(kernel(narrow, x2), expected)
    np.testing.assert_array_equal(kernel(x2, narrow), kernel(x2, narrow.astype(np.float64)))


# --- bad input: what was required, what was got, what to do

ROWS = np.ones((3, 4), np.float32)
BROKEN = np.where(np.arange(12).reshape(3, 4) == 6, np.nan, ROWS)
IMAGES = np.ones((3, 8, 8, 2), np.float32)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("kernel", "arguments", "message"),
    [
        (FC, [ROWS.astype(np.uint8)], r"floating point.*got uint8.*astype\('float32'\)"),
        (FC, [ROWS, ROWS.astype(np.int32)], r"floating point.*got int32.*Preprocess"),
        (FC, [jnp.asarray(ROWS, "bfloat16")], r"float32 or float64; got bfloat16.*astype"),
        (CONVNET, [IMAGES, IMAGES.astype("float16")], r"float32 or float64; got float16.*astype"),
        (FC, [ROWS[0]], r"\[n, height, width, channel\] or rows.*got shape \(4,\)"),
        (FC, [ROWS[:0]], r"none of them empty; got shape \(0, 4\)"),
        (FC, [ROWS, ROWS[:, :0]], r"none of them empty; got shape \(3, 0\)"),
        (FC, [ROWS, ROWS[:, :3]], r"rows of one shape; got \(4,\) and \(3,\)"),
        (FC, [IMAGES, IMAGES[:, :7]], r"rows of one shape; got \(8, 8, 2\) and \(7, 8, 2\)"),
        (FC, [ROWS, IMAGES], r"rows of one shape; got \(4,\) and \(8, 8, 2\)"),
        (CONVNET, [IMAGES, IMAGES[..., :1]], r"one shape; got \(8, 8, 2\) and \(8, 8, 1\)"),
        (FC, [ROWS, BROKEN], r"finite numbers; got nan at \[1, 2\]. Replace or leave out"),
        (FC, [jnp.asarray(-np.inf * ROWS)], r"finite numbers; got -inf at \[0, 0\]"),
        (CONVNET, [ROWS], r"convnet1 needs images.*got rows of shape \(4,\).*fc1"),
        (CONVNET, [IMAGES, IMAGES[..., 0]], r"needs images.*got rows of shape \(8, 8\)"),
    ],
)
def test_bad_arguments(kernel: kernels.Kernel, arguments: list[Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        kernel(*arguments)


@pytest.mark.parametrize(
    ("name", "size", "message"),
    [
        ("myrtle5", 28, r"myrtle5 pools the image 5 times.*at least 32x32 pixels; got 28x28"),
        ("myrtle10", 31, r"myrtle10.*at least 32x32 pixels; got 31x31.*fewer poolings"),
        ("convnet", 4, r"convnet pools the image 3 times.*at least 8x8 pixels; got 4x4"),
        ("convnet4", 15, r"convnet4 pools the image 4 times.*at least 16x16.*got 15x15"),
    ],
)
def test_images_too_small(name: str, size: int, message: str) -> None:
    kernel = kernels.named(name).kernel()
    for shape in ((2, size, size, 1), (2, 64, size, 1), (2, size, 64, 1)):
        expected = message.replace(f"got {size}x{size}", f"got {shape[1]}x{shape[2]}")
        with pytest.raises(InputError, match=expected):
            kernel(np.ones(shape, np.float32))


@pytest.mark.parametrize(
    ("letters", "need"), [("cr3cr2", 6), ("sr2", 3), ("tr2", 4), ("cr2sr2", 6), ("srsr", 1)]
)
def test_smallest_images(letters: str, need: int, written: Any) -> None:
    architecture = written(letters=letters)
    architecture.check_images((need, need, 1))
    if need > 1:
        with pytest.raises(InputError, match=f"at least {need}x{need} pixels; got {need - 1}x9"):
            architecture.check_images((need - 1, 9, 1))
    levels = make_levels(architecture.layers, (need, need))
    assert levels[-1].pooled_size == (1, 1)


@pytest.mark.usefixtures("unchecked")
def test_unknown_kinds_and_implementations() -> None:
    architecture = kernels.FullyConnected()
    with pytest.raises(UnknownNameError, match="unknown kernel 'ntkk': did you mean 'ntk'"):
        architecture.kernel("ntkk")
    with pytest.raises(UnknownNameError, match=r"unknown implementation 'exakt': .*'exact'"):
        architecture.kernel(implementation="exakt")
    with pytest.raises(UnknownNameError, match="unknown kernel 'nnpg': did you mean 'nngp'"):
        kernels.from_stax(*kernels.neural_tangents().stax.Relu(), kind="nnpg")


class TwoReadouts(kernels.ConvNet):
    """A network with a readout that this project has no closed form for."""

    @property
    def layers(self) -> Any:
        return (*super().layers, *super().layers[-2:])


class OneActivation(kernels.FullyConnected):
    """A fully connected network with one activation only, however deep."""

    @property
    def layers(self) -> Any:
        flatten, dense, activation, *_ = super().layers
        return (flatten, *(dense,) * self.depth, activation, dense)


def test_layers_say_what_is_computed(distance: Callable[[Any, Any], float]) -> None:
    kernel = OneActivation(depth=2).kernel()
    assert type(kernel).__name__ == "StaxKernel"
    assert type(OneActivation(depth=1).kernel()).__name__ == "FullyConnectedKernel"
    x = np.random.default_rng(0).normal(size=(2, 3, 4)).astype(np.float32)
    assert distance(kernel(*x), kernels.FullyConnected(depth=2).kernel()(*x)) > 1e-2


def test_no_exact_form() -> None:
    with pytest.raises(InputError, match=r'no exact form of convnet.*"neural_tangents", or "auto"'):
        TwoReadouts().kernel(implementation="exact")
    assert type(TwoReadouts().kernel()).__name__ == "StaxKernel"
