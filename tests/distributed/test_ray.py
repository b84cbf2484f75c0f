"""Blocks computed by the workers of a Ray cluster equal those computed here."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kernel_distill import distributed, kernels, kip, label_solve
from kernel_distill._errors import InputError, NumericalError, PoolError
from kernel_distill.artefact import Run
from kernel_distill.kip._step import Augmentation, natural_batch

pytestmark = [pytest.mark.slow, pytest.mark.ray]

CONVNET = kernels.ConvNet(depth=1, prepend=False).kernel()
FC = kernels.FullyConnected(depth=2).kernel()
OTHER = kernels.FullyConnected(depth=1).kernel()
EPS = {"float32": 1e-6, "float64": 1e-14}
GROUP = 12  # pairs of images


def images(n: int, seed: int, dtype: str) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).normal(size=(n, 4, 4, 2)), dtype)


def weighted(kernel: kernels.Kernel, *x: Any) -> Any:
    """A block, and the gradients of a sum of its entries with weights that are not symmetric."""
    size = len(x[0]), len(x[-1])
    weights = jnp.asarray(np.random.default_rng(2).normal(size=size), x[-1].dtype)

    def total(*x: Any) -> Any:
        block = kernel(*x)
        return (weights * block).sum(), block

    compute = jax.value_and_grad(total, argnums=tuple(range(len(x))), has_aux=True)
    (_, block), gradients = compute(*x)
    return block, gradients


def check_equal(kernel: kernels.Kernel, other: kernels.Kernel, *x: jax.Array) -> None:
    block, gradients = weighted(kernel, *x)
    expected, expected_gradients = weighted(other, *x)
    eps = EPS[x[0].dtype.name]
    assert block.dtype == x[0].dtype
    np.testing.assert_allclose(block, expected, rtol=eps, atol=eps)
    for got, wanted in zip(gradients, expected_gradients, strict=True):
        assert got.dtype == wanted.dtype
        scale = float(jnp.abs(wanted).max())
        np.testing.assert_allclose(got, wanted, rtol=0, atol=10 * eps * scale)
        # a tile lost, or counted twice, would show
        ratio = float(jnp.linalg.norm(got) / jnp.linalg.norm(wanted))
        assert ratio == pytest.approx(1, abs=1e-12 if eps < 1e-12 else 10 * eps)


@pytest.mark.usefixtures("three")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("kernel", "n1", "n2"),
    [(FC, 7, 11), (FC, 11, 5), (FC, 6, 8), (FC, 1, 5), (FC, 5, 1), (FC, 1, 1), (CONVNET, 5, 3)],
)
def test_two_sets(kernel: kernels.Kernel, n1: int, n2: int, dtype: str) -> None:
    pool = distributed.on_ray(kernel, group=GROUP)
    with jax.enable_x64(dtype == "float64"):
        check_equal(pool, kernel, images(n1, 0, dtype), images(n2, 1, dtype))


@pytest.mark.usefixtures("three")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("kernel", "n"), [(FC, 13), (FC, 9), (FC, 2), (FC, 1), (CONVNET, 5)])
def test_a_set_with_itself(kernel: kernels.Kernel, n: int, dtype: str) -> None:
    pool = distributed.on_ray(kernel, group=GROUP)
    with jax.enable_x64(dtype == "float64"):
        x = images(n, 0, dtype)
        check_equal(pool, kernel, x)
        block = np.asarray(pool(x))
        np.testing.assert_array_equal(block, block.T)


@pytest.mark.usefixtures("three")
def test_rows_are_sent_once_and_then_their_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    pool = distributed.on_ray(FC, group=GROUP)
    natural, support = np.asarray(images(500, 0, "float32")), images(3, 1, "float32")
    sent = []
    put = ray.put
    monkeypatch.setattr(ray, "put", lambda array: [sent.append(array.nbytes), put(array)][1])
    for seed in range(3):
        batch = np.random.default_rng(seed).choice(500, 20)
        rows = distributed.Rows(natural, batch)
        got = jax.value_and_grad(lambda x, rows=rows: (pool(rows, x) ** 2).sum())(support)
        wanted = jax.value_and_grad(lambda x, rows=rows: (FC(rows, x) ** 2).sum())(support)
        for one, other in zip(got, wanted, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-4)
    assert sent == [natural.nbytes, *3 * [support.nbytes]]  # the support once a step


@pytest.mark.usefixtures("three")
def test_augmented_rows_are_those_of_the_batch() -> None:
    natural, support = np.asarray(images(50, 0, "float32")), images(3, 1, "float32")
    batch, key, names = np.arange(20) * 2, jax.random.key(3), ("flip", "shift", "crop")
    rows = distributed.Rows(natural, batch, Augmentation.of(key, names))
    pool = distributed.on_ray(FC, group=GROUP)
    target = natural_batch(jnp.asarray(natural), jnp.asarray(batch), augment_key=key, names=names)
    np.testing.assert_allclose(pool(rows, support), FC(target, support), rtol=1e-5)
    np.testing.assert_allclose(FC(rows, support), FC(target, support), rtol=1e-5)


@pytest.mark.usefixtures("three", "without_pictures")
def test_kip_and_label_solve_on_a_pool(tiny: Any) -> None:
    """Labels of KIP are learned too, and its kernel is one of two at every step."""
    settings = {"images_per_class": 2, "precision": "float64", "key": jax.random.key(3)}
    more = {"batch_size": 17, "steps": 5, "augment": ("flip", "rotate")}
    for distil, kernel in (
        (functools.partial(kip.distill, **settings, **more), kernels.mixture(FC, OTHER)),
        (functools.partial(label_solve.distill, **settings, block_size=31), FC),
    ):
        here = distil(kernel, tiny)
        there = distil(distributed.on_ray(kernel, group=GROUP), tiny)
        for one, other in (
            (here.distilled.images, there.distilled.images),
            (here.distilled.labels, there.distilled.labels),
        ):
            np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)
        assert here.test_accuracy == there.test_accuracy
        assert here.validation_accuracy == there.validation_accuracy


@pytest.mark.usefixtures("three", "without_pictures")
def test_groups_are_measured_as_a_run_starts_and_stay(
    tiny: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    distil = functools.partial(kip.distill, data=tiny, key=jax.random.key(3), batch_size=17)
    with Run.create(tmp_path / "run", {}) as run:
        distil(distributed.on_ray(CONVNET), run=run, steps=1)
    settled = (tmp_path / "run" / "settled.json").read_text()
    assert "5x4x2 float32, values" in settled
    assert "5x4x2 float32, gradient" in settled
    from kernel_distill.distributed import _shared_block

    monkeypatch.setattr(_shared_block, "measured_pairs", lambda *_: pytest.fail("measured again"))
    with Run.create(tmp_path / "run", {}, resume=True) as run:
        distil(distributed.on_ray(CONVNET), run=run, steps=2)
    assert (tmp_path / "run" / "settled.json").read_text() == settled


@pytest.mark.usefixtures("three")
@pytest.mark.parametrize(
    ("broken", "error", "message"),
    [
        ("raises", PoolError, r"failed on worker {worker} at {node}: (?s:.*)this kernel is broken"),
        ("nan", NumericalError, r"has values that are not finite, on worker {worker} at {node}"),
    ],
)
def test_a_kernel_that_is_broken(
    tmp_path: Any, broken: Any, error: type[Exception], message: str
) -> None:
    """The error comes at once, and says which tile and where; nothing is tried again."""
    from watched_kernel import WatchedKernel

    log = tmp_path / "log"
    kernel = WatchedKernel(FC.architecture, FC.kind, FC, str(log), 0.2, broken)
    pool = distributed.on_ray(kernel, group=GROUP)
    message = message.format(worker=r"\d+", node=r"127\.0\.0\.\d+")
    with pytest.raises(
        error, match=r"^the tile \[\d+:\d+, \d+:\d+\] of the 20 x 6 block " + message
    ):
        pool(images(20, 0, "float32"), images(6, 1, "float32"))
    begun = [line.split()[2] for line in log.read_text().splitlines() if line.startswith("begin")]
    assert len(begun) == len(set(begun)) <= 6  # as many as are sent out at first, of ten


@pytest.mark.usefixtures("three")
def test_traced() -> None:
    pool = distributed.on_ray(FC, group=GROUP)
    assert not pool.traceable
    with pytest.raises(InputError, match=r"outside of jax\.jit"):
        jax.jit(pool)(images(3, 0, "float32"))
    with pytest.raises(InputError, match="only kernels that JAX can trace"):
        distributed.tiled(pool, block=(3, 3))


@pytest.mark.usefixtures("three")
def test_numbers_that_are_not_finite() -> None:
    pool = distributed.on_ray(FC, group=GROUP)
    x = np.asarray(images(3, 0, "float32")).copy()
    x[1, 2, 3, 1] = np.nan
    with pytest.raises(InputError, match=r"finite numbers; got nan at \[1, 2, 3, 1\]"):
        pool(distributed.Rows(x, np.array([0, 2])), images(2, 1, "float32"))


@pytest.mark.usefixtures("three")
def test_already_connected() -> None:
    with pytest.raises(InputError, match="connected to a Ray cluster already"):
        distributed.on_ray(FC, "127.0.0.2:1234")
