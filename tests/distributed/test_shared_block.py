"""Blocks divided among workers, and put together again: with workers that are this process.

Those of a Ray cluster are in test_ray.py.
"""

import random
import signal
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kernel_distill import distributed, kernels, kip, label_solve
from kernel_distill._errors import DamagedFileError, InputError, NumericalError, PoolError
from kernel_distill._interrupt import Interrupted
from kernel_distill.artefact import Run
from kernel_distill.distributed import Rows
from kernel_distill.distributed._groups import Groups
from kernel_distill.distributed._pool import Pool, Task
from kernel_distill.distributed._ray import RayKernel
from kernel_distill.distributed._worker import Done, Job, _compute
from kernel_distill.kip._step import Augmentation, natural_batch

pytestmark = pytest.mark.kernels

CONVNET = kernels.ConvNet(depth=1, prepend=False).kernel()
FC = kernels.FullyConnected(depth=1).kernel()
EPS = {"float32": 1e-6, "float64": 1e-14}


class Here:
    """A cluster that computes a job when asked for its result; those come in any order.

    Attributes:
        jobs: the names of those that were started.
        gone_after: how many, and all workers are gone.
        strike_after: how many, and `strike` is called, once.
    """

    def __init__(self, seed: int = 0) -> None:
        self._random = random.Random(seed)
        self.jobs: list[str] = []
        self.gone_after: int | None = None
        self.strike_after: int | None = None
        self.strike: Callable[[], None] = lambda: None
        self.now = 0.0

    def store(self, array: Any) -> Any:
        return array

    def cores(self) -> dict[str, int]:
        gone = self.gone_after is not None and len(self.jobs) >= self.gone_after
        return {} if gone else {"one": 2, "other": 3}

    def start(self, task: Task, node: str) -> Any:
        self.jobs.append(task.job.name)
        return task

    def wait(self, tickets: Any, seconds: float) -> Any:
        gone = self.gone_after is not None and len(self.jobs) >= self.gone_after
        if gone or not tickets:
            self.now += seconds
            return []
        return [self._random.choice(list(tickets))]

    def result(self, ticket: Any) -> Done:
        if self.strike_after is not None and len(self.jobs) >= self.strike_after:
            self.strike_after = None
            self.strike()
        return _compute(ticket.job, tuple(map(np.asarray, ticket.images)))


def pooled(kernel: kernels.Kernel, here: Here | None = None, *, group: int | None = 6) -> RayKernel:
    here = Here() if here is None else here
    pool = Pool(here, deadline=5.0, give_up_after=20.0, clock=lambda: here.now)
    return RayKernel(kernel.architecture, kernel.kind, kernel, pool, here.store, Groups(group))


def images(n: int, seed: int, dtype: str) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).normal(size=(n, 4, 4, 2)), dtype)


def weighted(kernel: kernels.Kernel, *x: Any) -> Any:
    """A block, and the gradients of a sum of its entries with weights that are not symmetric."""
    weights = np.random.default_rng(2).normal(size=(len(x[0]), len(x[-1])))

    def total(*x: Any) -> Any:
        block = kernel(*x)
        return (jnp.asarray(weights, block.dtype) * block).sum(), block

    compute = jax.value_and_grad(total, argnums=tuple(range(len(x))), has_aux=True)
    (_, block), gradients = compute(*x)
    return block, gradients


@pytest.mark.parametrize(
    ("kernel", "sizes", "dtype"),
    [
        (FC, (7, 11), "float64"),
        (FC, (5, 1), "float32"),
        (FC, (11,), "float64"),
        *(
            pytest.param(*case, marks=pytest.mark.slow)
            for case in (
                (FC, (1, 5), "float64"),
                (FC, (8,), "float32"),
                (FC, (1,), "float64"),
                (CONVNET, (5, 3), "float64"),
            )
        ),
    ],
)
def test_values_and_gradients(kernel: kernels.Kernel, sizes: tuple[int, ...], dtype: str) -> None:
    with jax.enable_x64(dtype == "float64"):
        x = [images(n, seed, dtype) for seed, n in enumerate(sizes)]
        expected, expected_gradients = weighted(kernel, *x)
        block, gradients = weighted(pooled(kernel), *x)
        np.testing.assert_allclose(block, expected, rtol=EPS[dtype], atol=EPS[dtype])
        for got, wanted in zip(gradients, expected_gradients, strict=True):
            assert got.dtype == wanted.dtype == dtype
            scale = float(jnp.abs(wanted).max())
            np.testing.assert_allclose(got, wanted, rtol=0, atol=10 * EPS[dtype] * scale)
            ratio = float(jnp.linalg.norm(got) / jnp.linalg.norm(wanted))
            assert ratio == pytest.approx(1, abs=100 * EPS[dtype])


def test_the_order_in_which_results_come_does_not_matter() -> None:
    x = images(13, 0, "float32"), images(7, 1, "float32")
    found = set()
    for seed in range(5):
        block, gradients = weighted(pooled(FC, Here(seed)), *x)
        found.add(b"".join(np.asarray(each).tobytes() for each in (block, *gradients)))
    assert len(found) == 1


def test_rows_and_what_is_done_to_them() -> None:
    natural, support = images(50, 0, "float32"), images(3, 1, "float32")
    batch, key, names = np.arange(20) * 2, jax.random.key(3), ("flip", "rotate")
    target = natural_batch(natural, jnp.asarray(batch), augment_key=key, names=names)
    change = Augmentation.of(key, names)
    for rows in (Rows(natural, batch, change), Rows(np.asarray(natural), batch, change)):
        assert (len(rows), rows.shape, rows.ndim, rows.dtype) == (20, (20, 4, 4, 2), 4, "float32")
        np.testing.assert_allclose(rows.materialise(), target, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(
            rows.part(3, 17).part(2, 5).materialise(), target[5:8], rtol=1e-5, atol=1e-6
        )
        for kernel in (FC, pooled(FC)):
            np.testing.assert_allclose(
                kernel(rows, support), FC(target, support), rtol=1e-5, atol=1e-6
            )
    with jax.enable_x64(True):
        wide = Rows(natural, batch).astype(jnp.float64)
        assert (
            wide.dtype == wide.materialise().dtype == pooled(FC)(wide, support).dtype == "float64"
        )


@pytest.mark.parametrize("kernel", [FC, pooled(FC)])
def test_rows_that_are_not_there(kernel: kernels.Kernel) -> None:
    natural, support = images(9, 0, "float32"), images(3, 1, "float32")
    for wrong in (9, -1):
        with pytest.raises(InputError, match=f"numbered from 0 to 8; got {wrong}"):
            kernel(Rows(natural, np.array([3, wrong])), support)
        with pytest.raises(InputError, match=f"numbered from 0 to 8; got {wrong}"):
            kernel(Rows(natural, np.array([3, wrong])))


def test_rows_keep_no_derivative_and_the_support_does() -> None:
    natural, support = images(9, 0, "float32"), images(3, 1, "float32")
    rows = Rows(natural, np.array([8, 1, 1, 4, 0]))
    gradients = [
        jax.grad(lambda x, kernel=kernel: (kernel(rows, x) ** 2).sum())(support)
        for kernel in (FC, pooled(FC))
    ]
    np.testing.assert_allclose(*gradients, rtol=1e-5)


def distil(method: str, kernel: kernels.Kernel, data: Any, run: Run | None = None) -> Any:
    settings = {"images_per_class": 1, "key": jax.random.key(3), "run": run}
    if method == "label-solve":
        return label_solve.distill(kernel, data, block_size=20, **settings)
    more = {"batch_size": 17, "augment": ("flip",), "steps": 3}
    return kip.distill(kernels.mixture(kernel), data, **more, **settings)


def assert_same(one: Any, other: Any) -> None:
    assert one.distilled.images.tobytes() == other.distilled.images.tobytes()
    assert one.distilled.labels.tobytes() == other.distilled.labels.tobytes()
    assert one.test_accuracy == other.test_accuracy


@pytest.mark.usefixtures("without_pictures")
@pytest.mark.filterwarnings("ignore:no machine is left")
@pytest.mark.parametrize(
    ("method", "when"),
    [
        ("label-solve", "in its midst"),
        *(
            pytest.param(*case, marks=pytest.mark.slow)
            for case in (
                ("label-solve", "as it begins"),
                ("label-solve", "as it is tested"),
                ("kip", "as it begins"),
                ("kip", "in its midst"),
                ("kip", "as it is tested"),
            )
        ),
    ],
)
def test_workers_go_and_the_run_goes_on(tiny: Any, tmp_path: Any, method: str, when: str) -> None:
    """The state is saved, and the end has the bits of a run that was never disturbed."""
    calm = Here()
    whole = distil(method, pooled(FC, calm), tiny)
    plain = distil(method, FC, tiny)
    np.testing.assert_allclose(whole.distilled.images, plain.distilled.images, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(whole.distilled.labels, plain.distilled.labels, rtol=1e-3, atol=1e-4)
    here = Here(1)
    jobs = len(calm.jobs)
    midst = jobs // (2 if method == "kip" else 3)  # whatever there is to be tested at the end
    here.gone_after = {"as it begins": 1, "in its midst": midst, "as it is tested": jobs - 1}[when]
    with (
        Run.create(tmp_path / "run", {}) as run,
        pytest.raises(PoolError, match=r"The state of .* is saved in .*run: go on .* --resume"),
    ):
        distil(method, pooled(FC, here), tiny, run)
    if when != "as it begins":
        assert run.checkpoints.latest().step > 0
    with Run.create(tmp_path / "run", {}, resume=True) as run:
        assert_same(distil(method, pooled(FC, Here(2)), tiny, run), whole)


@pytest.mark.usefixtures("without_pictures")
def test_workers_are_gone_as_a_solve_goes_on(tiny: Any, tmp_path: Any) -> None:
    """The kernel of its support is computed anew."""
    here = Here()
    with Run.create(tmp_path / "run", {}) as run:
        distil("label-solve", pooled(FC, here), tiny, run)
    here.gone_after = 0
    with (
        Run.create(tmp_path / "run", {}, resume=True) as run,
        pytest.raises(PoolError, match=r"is saved in .*run: go on from there with --resume"),
    ):
        distil("label-solve", pooled(FC, here), tiny, run)


@pytest.mark.usefixtures("without_pictures")
@pytest.mark.parametrize(
    "number", [pytest.param(signal.SIGINT, marks=pytest.mark.slow), signal.SIGTERM]
)
def test_stopped_at_once_in_the_midst_of_a_block(tiny: Any, tmp_path: Any, number: int) -> None:
    """It goes on from the last checkpoint, and what is out still is no part of it."""

    def stop_twice() -> None:
        signal.raise_signal(number)
        signal.raise_signal(number)

    calm, here = Here(), Here(1)
    whole = distil("kip", pooled(FC, calm), tiny)
    here.strike_after, here.strike = len(calm.jobs) // 2, stop_twice
    pool = pooled(FC, here)
    with Run.create(tmp_path / "run", {}) as run, pytest.raises(Interrupted):
        distil("kip", pool, tiny, run)
    assert 0 < run.checkpoints.latest().step < 3
    with Run.create(tmp_path / "run", {}, resume=True) as run:
        assert_same(distil("kip", pool, tiny, run), whole)


@pytest.mark.usefixtures("without_pictures")
@pytest.mark.parametrize(
    ("method", "message"),
    [
        ("kip", r"^broken, or the learning rate \(.*\) is too large\. The last finite .*run\.$"),
        ("label-solve", r"^broken\. The state after \d blocks is saved in .*run\.$"),
    ],
)
def test_a_worker_finds_what_is_not_finite(
    tiny: Any, tmp_path: Any, method: str, message: str
) -> None:
    def fail() -> None:
        raise NumericalError("broken")

    calm, here = Here(), Here()
    distil(method, pooled(FC, calm), tiny)
    here.strike_after, here.strike = len(calm.jobs) // 3, fail
    with Run.create(tmp_path / "run", {}) as run, pytest.raises(NumericalError, match=message):
        distil(method, pooled(FC, here), tiny, run)
    assert run.checkpoints.latest() is not None


@pytest.mark.slow
@pytest.mark.usefixtures("without_pictures")
def test_groups_are_measured_as_a_run_starts_and_stay(
    tiny: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def distil(run: Run, steps: int) -> None:
        kip.distill(pooled(FC, group=None), tiny, key=jax.random.key(3), run=run, steps=steps)

    file = tmp_path / "run" / "settled.json"
    with Run.create(tmp_path / "run", {}) as run:
        distil(run, 1)
    settled = file.read_text()
    assert "5x4x2 float32, values" in settled
    assert "5x4x2 float32, gradient" in settled
    from kernel_distill.distributed import _shared_block

    monkeypatch.setattr(_shared_block, "measured_pairs", lambda *_: pytest.fail("measured again"))
    with Run.create(tmp_path / "run", {}, resume=True) as run:
        distil(run, 2)
    assert file.read_text() == settled
    file.write_text(settled[:-5])
    with (
        Run.create(tmp_path / "run", {}, resume=True) as run,
        pytest.raises(DamagedFileError, match=r"settled\.json is not the JSON"),
    ):
        distil(run, 3)


def test_a_time_that_says_nothing_about_other_jobs() -> None:
    """A measured tile is larger than those before; a first one has its program compiled."""
    x = np.asarray(images(7, 0, "float32"))
    rows = Rows(None, np.arange(7)), Rows(None, np.arange(5))
    job = Job("a tile", "measured", FC, rows, None, (), False, repeat=True)
    assert [_compute(job, (x, x)).first for _ in range(2)] == [True, True]
    assert not _compute(replace(job, repeat=False), (x, x)).first


def test_what_it_says_of_itself() -> None:
    pool = pooled(FC)
    assert not pool.traceable
    assert hash(pool)
    assert (pool.architecture, pool.kind) == (FC.architecture, FC.kind)
    mixed = pooled(kernels.mixture(FC, CONVNET))
    assert [member.kernel for member in mixed.members] == [FC, CONVNET]  # type: ignore[attr-defined]
    assert mixed.at(jax.random.key(0)) in mixed.members
    pool(images(4, 0, "float32"), images(3, 1, "float32"))
    assert pool.progress == "4/4 groups, 5 workers"
    assert kernels.mixture(FC, pool).progress == pool.progress
    with pytest.raises(InputError, match=r"outside of jax\.jit"):
        jax.jit(pool)(images(3, 0, "float32"))
    with pytest.raises(InputError, match="only kernels that JAX can trace"):
        distributed.tiled(pool, block=(3, 3))
