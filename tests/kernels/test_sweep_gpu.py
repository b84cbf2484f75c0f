"""The form of a level for GPUs: in Pallas' interpreter beside the plain form, and for CUDA.

Nothing here runs on a GPU, and nothing is measured.
"""

import functools
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
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
Written = Callable[..., kernels.Architecture]
ConvNet = kernels.ConvNet


def images(n: int, *shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, *shape)).astype(np.float32)


def with_equal_features(n: int, *shape: int, seed: int = 0) -> np.ndarray:
    """An image of zeros, one that is on both sides, and margins that all images share."""
    x = images(n, *shape, seed=seed)
    x[:, :2], x[:, :, -1:] = -0.4, -0.4
    x[0], x[1] = 0, images(1, *shape, seed=99)[0]
    return x


@dataclass(frozen=True)
class Case:
    """What `sweep` takes of a block of images, at one level of a network."""

    level: Any
    layer: Any
    arguments: tuple[Any, ...]

    def run(self, forward: Callable[..., Any], backward: Callable[..., Any]) -> tuple[Any, Any]:
        """The bands without their margin, and the cotangents for random ones of theirs."""
        forward, backward = (
            jax.jit(functools.partial(each, self.level, self.layer)) for each in (forward, backward)
        )
        bands = forward(*self.arguments)
        inner = jax.tree.map(lambda band: band[1:-1, 1:-1], bands)

        def random(band: Any) -> Any:
            entries = images(*band.shape, seed=5).astype(band.dtype)
            return np.pad(entries, ((1, 1), (1, 1), (0, 0), (0, 0)))

        bar = jax.tree.map(random, inner)
        return inner, backward(self.arguments, bar)

    def in_float64(self) -> "Case":
        def wide(x: Any) -> Any:
            return jnp.asarray(np.asarray(x, np.float64))

        return replace(self, arguments=jax.tree.map(wide, self.arguments))


def cases(kernel: Any, x1: np.ndarray, x2: np.ndarray) -> Iterator[Case]:
    """Of every level, by the plain form of those before."""
    features = []
    for x in (x1, x2):
        planes = tuple(to_plane(jnp.asarray(x[..., c])) for c in range(x.shape[-1]))
        features.append(jax.jit(kernel.features, static_argnums=1)(planes, len(x)))
    block = len(x1), len(x2)
    layer = kernel._layer(block[0] * block[1], tangent=kernel.kind == "ntk")
    levels = kernel._levels(features[0].sides[0].images[0], len(x1))
    bands = None
    for level, *sides in zip(levels, features[0].sides, features[1].sides, strict=True):
        yield Case(level, replace(layer, block=block), (bands, *sides))
        bands = plain.forward(level, layer, bands, *by_pairs(*sides, block))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("architecture", "kind", "shape", "draw"),
    [
        # sizes of 6 x 7 and 3 x 3, of no power of two; two convolutions, then one
        (ConvNet(depth=2, prepend=True), "ntk", (6, 7, 3), images),
        (ConvNet(depth=1, prepend=False, b_std=0.0), "nngp", (4, 5, 1), with_equal_features),
        (ConvNet(depth=2, prepend=False), "ntk", (14, 14, 1), with_equal_features),
    ],
    # a function's own name has its address, which two processes do not share
    ids=lambda value: value.__name__ if callable(value) else str(value),
)
def test_equals_the_plain_form(
    architecture: kernels.Architecture,
    kind: Any,
    shape: tuple[int, ...],
    draw: Callable[..., np.ndarray],
    distance: Distance,
) -> None:
    x1, x2 = draw(IMAGES[0], *shape), draw(2 * IMAGES[1], *shape, seed=1)
    compare(architecture.kernel(kind), x1, x2, distance)


@pytest.mark.slow
def test_equals_the_plain_form_of_layers_in_a_row(written: Written, distance: Distance) -> None:
    # as Myrtle networks have them, at sizes of 8 x 9 and 4 x 4
    kernel = written(letters="crcrcr2crcrcr22").kernel()
    compare(kernel, images(IMAGES[0], 8, 9, 1), images(IMAGES[1], 8, 9, 1, seed=1), distance)


def compare(kernel: Any, x1: np.ndarray, x2: np.ndarray, distance: Distance) -> None:
    for case in cases(kernel, x1, x2):
        if not case.level.convolutions:  # poolings alone are left to the plain form
            continue
        got = case.run(
            functools.partial(gpu.forward, interpret=True),
            functools.partial(gpu.backward, interpret=True),
        )
        forms = sweep_module.plain_forward, sweep_module.plain_backward
        single = case.run(*forms)
        assert jax.tree.structure(got) == jax.tree.structure(single)
        far = far_apart(got, single, distance)
        if far:
            # float32's plain form adds its many offsets one by one; from float64's, equal features
            # are 1.02e-6 away in either form of float32
            with jax.enable_x64(True):
                double = case.in_float64().run(*forms)
            assert not far & far_apart(got, double, distance)


def far_apart(got: Any, plain_form: Any, distance: Distance) -> set[int]:
    """Which of the arrays are."""
    arrays = zip(*map(jax.tree.leaves, (got, plain_form)), strict=True)
    return {i for i, (mine, theirs) in enumerate(arrays) if not distance(mine, theirs) < 1e-6}


# --- whole kernels


@pytest.fixture
def blocks(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Kernels as where JAX has a GPU. What JAX has traced of equal ones knows nothing of it."""
    jax.clear_caches()
    monkeypatch.setattr(convolutional, "takes_blocks", lambda kernel, x: True)
    yield
    jax.clear_caches()


@pytest.fixture
def interpreted(blocks: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same, in the interpreter."""

    def by_platform(on_cuda: Any, elsewhere: Any) -> Any:
        return functools.partial(on_cuda, interpret=True)

    monkeypatch.setattr(sweep_module, "by_platform", by_platform)


def cross_and_gradients(kernel: kernels.Kernel, x1: Any, x2: Any) -> Any:
    def compute(x1: Any, x2: Any) -> Any:
        block, pull = jax.vjp(kernel, x1, x2)
        return block, pull(jnp.cos(jnp.arange(block.size, dtype=block.dtype)).reshape(block.shape))

    return jax.jit(compute)(x1, x2)


# with a level that strides, and one that pools alone
@pytest.mark.slow
@pytest.mark.usefixtures("interpreted")
@pytest.mark.parametrize("letters", ["cr2sr2", "crcr22"])
def test_levels_left_to_the_plain_form(letters: str, written: Written, distance: Distance) -> None:
    architecture = written(letters=letters)
    exact, reference = architecture.kernel(), architecture.kernel(implementation="neural_tangents")
    check(exact, reference, distance, (images(2, 6, 7, 1), images(3, 6, 7, 1, seed=1)))


def check(kernel: kernels.Kernel, reference: kernels.Kernel, distance: Distance, x: Any) -> None:
    block, gradients = cross_and_gradients(kernel, *x)
    with jax.enable_x64(True):
        x = [each.astype(np.float64) for each in x]
        expected, expected_gradients = cross_and_gradients(reference, *x)
    np.testing.assert_allclose(block, expected, rtol=1e-6)
    for got, wanted in zip(gradients, expected_gradients, strict=True):
        assert distance(got, wanted) < 1e-6


@pytest.mark.slow
@pytest.mark.usefixtures("interpreted")
def test_equals_neural_tangents(distance: Distance, monkeypatch: pytest.MonkeyPatch) -> None:
    # several tiles, of which the last ones are not full
    monkeypatch.setattr(convolutional, "_pairs", lambda *_: 64)
    architecture = ConvNet(depth=1, prepend=False)
    exact, reference = architecture.kernel(), architecture.kernel(implementation="neural_tangents")
    x = images(3, 4, 5, 2), images(18, 4, 5, 2, seed=1)
    check(exact, reference, distance, x)


@pytest.mark.slow
@pytest.mark.usefixtures("interpreted")
def test_of_self() -> None:
    # at the second level, what the programs make of the first meets the plain form's variances
    kernel = ConvNet(depth=2, prepend=True).kernel()
    x = images(5, 4, 5, 1)
    x[3] = x[0]
    block = kernel(x)
    np.testing.assert_array_equal(block, block.T)
    assert block[0, 3] == block[0, 0] == block[3, 3]


def test_tiles_of_a_given_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def tile(architecture: kernels.Architecture, size: int) -> tuple[int, int]:
        pairs = convolutional._pairs(architecture.kernel(), jnp.zeros((1, size, size, 3)))
        height, width = convolutional._tile(1000, 1000, pairs)
        assert height % IMAGES[0] == width % IMAGES[1] == 0
        return height, width

    assert tile(ConvNet(), 32)[0] * tile(ConvNet(), 32)[1] <= convolutional.PAIRS * 2
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert tile(ConvNet(), 32) == (32, 64)
    assert tile(ConvNet(), 28)[1] > 64
    assert tile(ConvNet(depth=5), 32) == (20, 8)  # 33 x 33 pooled offsets of the first level
    assert tile(ConvNet(depth=7), 128) == IMAGES
    assert convolutional._tile(3, 9, 10**6) == (4, 16)


@pytest.mark.slow
@pytest.mark.usefixtures("blocks")
def test_of_self_leaves_out_tiles_below_the_diagonal(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = ConvNet(depth=1, prepend=False).kernel()
    x = images(17, 4, 4, 1)
    monkeypatch.setattr(convolutional, "_tile", lambda *_: IMAGES)
    tiles, counted = convolutional._tiles, []

    def counting(kernel: Any, of_all: bool, features: Any, rows: Any, columns: Any) -> Any:
        counted.append(len(rows))
        return tiles(kernel, of_all, features, rows, columns)

    monkeypatch.setattr(convolutional, "_tiles", counting)
    block, cross = kernel(x), kernel(x, x + 0)
    assert counted == [2 + 4 + 5, 3 * 5]  # of 4 rows and 8 columns
    np.testing.assert_array_equal(block, block.T)
    np.testing.assert_allclose(block, cross, rtol=1e-6)


@pytest.mark.slow
@pytest.mark.usefixtures("interpreted")
def test_one_pair(distance: Distance) -> None:
    architecture = ConvNet(depth=1, prepend=False)
    exact, reference = architecture.kernel(), architecture.kernel(implementation="neural_tangents")
    check(exact, reference, distance, (images(1, 4, 4, 1), images(1, 4, 4, 1, seed=1)))


@pytest.mark.slow
@pytest.mark.usefixtures("interpreted")
def test_whole_convnet(distance: Distance) -> None:
    architecture = ConvNet(depth=3)
    exact, reference = architecture.kernel(), architecture.kernel(implementation="neural_tangents")
    check(exact, reference, distance, (images(1, 32, 32, 3), images(2, 32, 32, 3, seed=1)))


# --- where it is used


def for_cuda(function: Callable[..., Any], *arguments: Any) -> str:
    """What `function` is lowered to for CUDA, where JAX can without a GPU."""
    try:
        return jax.jit(function).trace(*arguments).lower(lowering_platforms=("cuda",)).as_text()
    except RuntimeError as error:  # from JAX 0.11 on
        pytest.skip(f"this JAX compiles for a GPU only where there is one: {error}")


def calls_of_triton(text: str) -> int:
    return text.count("xla.gpu.triton") + text.count("triton_kernel_call")


@pytest.mark.usefixtures("blocks")
def test_compiles_for_cuda() -> None:
    kernel = ConvNet(depth=1, prepend=True).kernel()
    x1, x2 = images(5, 12, 12, 3), images(9, 12, 12, 3)

    def with_vjp(x1: Any, x2: Any) -> Any:
        block, pull = jax.vjp(kernel, x1, x2)
        return block, pull(block)

    # a level, forward and backward
    assert calls_of_triton(for_cuda(with_vjp, x1, x2)) == 2
    with jax.enable_x64(True):  # as the command line has it
        assert calls_of_triton(for_cuda(with_vjp, x1, x2)) == 2
    lowered = jax.jit(kernel).trace(x1, x2).lower(lowering_platforms=("cpu",)).as_text()
    assert calls_of_triton(lowered) == 0


def test_only_where_there_is_a_gpu(written: Written, monkeypatch: pytest.MonkeyPatch) -> None:
    x = jnp.zeros((1, 4, 4, 1))
    kernel = ConvNet(depth=1).kernel()
    assert not convolutional.takes_blocks(kernel, x)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert convolutional.takes_blocks(kernel, x)
    assert not convolutional.takes_blocks(ConvNet(depth=1, activation="erf").kernel(), x)
    # by the layers, not by the field of the architecture
    assert not convolutional.takes_blocks(written(letters="ce2").kernel(), x)
    with jax.enable_x64(True):
        assert not convolutional.takes_blocks(kernel, x.astype(jnp.float64))


@pytest.mark.usefixtures("blocks")
def test_plain_form_where_pallas_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "kernel_distill.kernels._sweep_gpu", None)
    monkeypatch.delattr(kernels, "_sweep_gpu")
    sweep_module.load_gpu_form.cache_clear()
    kernel = ConvNet(depth=1, prepend=False).kernel()
    x1, x2 = images(3, 4, 4, 1), images(9, 4, 4, 1)
    try:
        with pytest.warns(UserWarning, match="plane by plane"):
            got = kernel(x1, x2)
    finally:
        sweep_module.load_gpu_form.cache_clear()
    # on CPU, and so plane by plane in any case, but pair by pair
    monkeypatch.setattr(convolutional, "takes_blocks", lambda kernel, x: False)
    jax.clear_caches()
    np.testing.assert_allclose(got, kernel(x1, x2), rtol=1e-6)


@pytest.mark.slow
def test_tried_out_before_it_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    forward, backward = (  # compiled once for all three times
        jax.jit(functools.partial(each, interpret=True), static_argnums=(0, 1))
        for each in (gpu.forward, gpu.backward)
    )
    sweep_module.try_out(forward, backward)

    def off(*arguments: Any) -> Any:
        return jax.tree.map(lambda bar: 1.001 * bar, backward(*arguments))

    with pytest.raises(ArithmeticError, match="off by 1e-03"):
        sweep_module.try_out(forward, off)
    # a GPU that cannot run what Pallas gives it: here it is a CPU
    monkeypatch.setattr(sweep_module, "_has_cuda", lambda: True)
    sweep_module.load_gpu_form.cache_clear()
    try:
        with pytest.warns(UserWarning, match="do not work here .*interpret"):
            # while something is traced, as a kernel is when it is needed
            jax.jit(lambda x: x + (sweep_module.load_gpu_form() is None)).lower(jnp.zeros(()))
        assert sweep_module.load_gpu_form() is None
        # were the GPU one that does as the interpreter
        sweep_module.load_gpu_form.cache_clear()
        monkeypatch.setattr(gpu, "forward", forward)
        monkeypatch.setattr(gpu, "backward", backward)
        jax.jit(lambda x: x + (sweep_module.load_gpu_form() is gpu)).lower(jnp.zeros(()))
        assert sweep_module.load_gpu_form() is gpu
    finally:
        sweep_module.load_gpu_form.cache_clear()
