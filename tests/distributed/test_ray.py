"""Blocks computed by the workers of a Ray cluster equal those computed here."""

import functools
import os
import re
import subprocess
import sys
import threading
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


# more sizes are in test_shared_block.py, with workers that are that process
@pytest.mark.usefixtures("three")
@pytest.mark.parametrize(
    ("kernel", "n1", "n2", "dtype"),
    [
        (FC, 7, 11, "float32"),
        (FC, 1, 5, "float64"),
        (CONVNET, 5, 3, "float64"),
    ],
)
def test_two_sets(kernel: kernels.Kernel, n1: int, n2: int, dtype: str) -> None:
    pool = distributed.on_ray(kernel, group=GROUP)
    with jax.enable_x64(dtype == "float64"):
        check_equal(pool, kernel, images(n1, 0, dtype), images(n2, 1, dtype))


@pytest.mark.usefixtures("three")
@pytest.mark.parametrize(("n", "dtype"), [(13, "float64"), (1, "float32")])
def test_a_set_with_itself(n: int, dtype: str) -> None:
    pool = distributed.on_ray(FC, group=GROUP)
    with jax.enable_x64(dtype == "float64"):
        x = images(n, 0, dtype)
        check_equal(pool, FC, x)
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
        # on cpu: where there are GPUs too, which all workers of a machine would share
        ("raises", PoolError, "failed on {here}: (?s:.*)this kernel is broken, on cpu"),
        ("nan values", NumericalError, "has values that are not finite, on {here}; likely causes"),
        ("nan pull", NumericalError, "has derivatives that are not finite, on {here}; likely"),
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
    message = message.format(here=r"worker \d+ at 127\.0\.0\.\d+")
    with pytest.raises(
        error, match=r"^the tile \[\d+:\d+, \d+:\d+\] of the 20 x 6 block " + message
    ) as raised:
        jax.grad(lambda *x: pool(*x).sum())(images(20, 0, "float32"), images(6, 1, "float32"))
    if broken == "raises":
        assert "watched_kernel.py" in "".join(raised.value.__notes__)
    begun = [line.split()[2] for line in log.read_text().splitlines() if line.startswith("begin")]
    if broken == "nan pull":  # after all values, of which some may have been late
        assert len(set(begun)) <= 10 + 6
    else:
        assert len(begun) == len(set(begun)) <= 6  # as many as are sent out at first, of ten


@pytest.mark.usefixtures("three")
def test_a_network_of_ones_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its program is compiled once in a worker, however many jobs that is sent."""
    from kernel_distill.distributed._cluster import RayCluster

    stax = kernels.neural_tangents().stax
    kernel = kernels.from_stax(*stax.serial(stax.Flatten(), stax.Dense(1), stax.Erf()))
    first = []
    result = RayCluster.result

    def watch(self: Any, ticket: Any) -> Any:
        done = result(self, ticket)
        first.append(done.first)
        return done

    monkeypatch.setattr(RayCluster, "result", watch)
    pool = distributed.on_ray(kernel, group=GROUP)
    x = images(20, 0, "float32"), images(6, 1, "float32")
    np.testing.assert_allclose(pool(*x), kernel(*x), rtol=1e-5)
    assert len(first) == 10
    assert sum(first) < 10 / 2  # there are three workers


@pytest.mark.usefixtures("three")
def test_a_kernel_that_cannot_be_sent() -> None:
    lock = threading.Lock()

    def holds_it(*x: Any) -> Any:
        return lock, x

    network = kernels.from_stax(holds_it, holds_it, holds_it)
    with pytest.raises(InputError, match="StaxKernel cannot be pickled, to be sent to workers"):
        distributed.on_ray(network, group=GROUP)(images(2, 0, "float32"), images(2, 1, "float32"))


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


def test_already_connected(three: Any) -> None:
    with pytest.raises(InputError, match=r"connected to a Ray cluster already, at 127\.0\.0\.2:"):
        distributed.on_ray(FC, "127.0.0.2:1234")
    distributed.on_ray(FC, three.address)  # a cell of a notebook that is run again


JOIN = """
import sys
from kernel_distill import _errors, distributed, kernels
try:
    distributed.on_ray(kernels.FullyConnected().kernel(), sys.argv[1])
except _errors.InputError as error:
    print(error)
"""


def test_a_wrong_token(three: Any) -> None:
    said = in_a_process(JOIN, three.address, RAY_AUTH_TOKEN="another")
    assert said.startswith(f"no Ray cluster can be joined at '{three.address}': ")
    assert said.endswith("that this token is the one it demands.\n")


@pytest.mark.usefixtures("three")
def test_an_address_where_nothing_listens() -> None:
    said = in_a_process(JOIN, "127.0.0.2:9")
    assert said.startswith("no Ray cluster can be joined at '127.0.0.2:9': ")
    assert "refused" in said


LOCAL = """
import jax.numpy as jnp, ray
from kernel_distill import _errors, distributed, kernels
x = jnp.ones((2, 3))
kernel = kernels.FullyConnected().kernel()
for _ in range(2):
    pool = distributed.on_ray(kernel, "local", group=2)
    assert distributed.on_ray(kernel, "local", group=2)(x, x).shape == (2, 2)
    ray.shutdown()
try:
    pool(x, x)
except _errors.PoolError as error:
    print(error)
"""


def test_clusters_one_after_another() -> None:
    """With one token: Ray remembers the first. What is over stays so."""
    said = in_a_process(LOCAL, RAY_AUTH_TOKEN=None, RAY_AUTH_MODE=None)
    assert said == "the connection to the Ray cluster was lost: ray.shutdown() was called\n"


HEAD = """
import sys
import jax, numpy, psutil
from kernel_distill import _errors, artefact, data, distributed, kernels, kip
def report(progress):
    if progress.step == 3:
        for process in psutil.Process().children(recursive=True):
            if process.name() == "gcs_server":
                process.kill()
images = numpy.random.default_rng(0).normal(size=(90, 4, 4, 2))
labels = numpy.arange(90) % 3
own = data.from_arrays(images[:70], labels[:70], images[70:], labels[70:], validation_size=9)
kernel = distributed.on_ray(kernels.FullyConnected().kernel(), "local", group=12)
with artefact.Run.create(sys.argv[1], {}) as run:
    try:
        kip.distill(kernel, own, key=jax.random.key(0), run=run, report=report, steps=10**6)
    except _errors.PoolError as error:
        print(error)
"""


def test_a_cluster_loses_its_head(tmp_path: Any) -> None:
    """An error that says so, or Ray ends the process; the run can go on."""
    settings = {"RAY_gcs_rpc_server_reconnect_timeout_s": "5"}
    said = in_a_process(HEAD, str(tmp_path / "run"), check=False, **settings)
    assert re.match(r"the connection to the Ray cluster was lost: .*--resume|$", said)
    with Run.create(tmp_path / "run", {}, resume=True) as run:
        assert run.checkpoints.latest().step > 0


def in_a_process(program: str, *arguments: str, check: bool = True, **changed: str | None) -> str:
    """What it prints, with an environment in which some variables are changed."""
    environment = {name: text for name, text in (os.environ | changed).items() if text is not None}
    ended = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        check=check,
        timeout=200,
    )
    return ended.stdout
