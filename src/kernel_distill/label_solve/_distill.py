"""Label Solve: natural images, and the labels that least squares finds best for them."""

import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from kernel_distill import _hosts as hosts
from kernel_distill._errors import NumericalError, PoolError, saved_in
from kernel_distill._interrupt import HeldSignals, held_signals
from kernel_distill._settings import Progress, Report, log_spaced, make_settings
from kernel_distill.artefact import Run, Stage, last_checkpoint
from kernel_distill.data import Dataset, one_hot
from kernel_distill.kernels import UNSTABLE, Kernel, RidgeRegression, Rows, ridge_regression
from kernel_distill.label_solve import _least_squares as least_squares
from kernel_distill.label_solve._settings import Settings
from kernel_distill.results import KernelLearner, Outcome, Result, finish
from kernel_distill.supports import check_kernel, real_support
from kernel_distill.viewing import View


def distill(
    kernel: Kernel,
    data: Dataset,
    *,
    key: PRNGKeyArray,
    run: Run | None = None,
    report: Report | None = None,
    **settings: Any,
) -> Result:
    """Distils a data set into natural images with learned labels.

    The labels minimise the squared error of kernel ridge regression over all training images; of
    several such labels, the ones of least norm. The training images stream by in blocks, and
    memory does not depend on their number. Source: Nguyen et al. 2021, section 3.2 ("Label
    Solve"), where the system is solved with a pseudo-inverse.

    Args:
        kernel: a kernel of `kernels`.
        data: images [n, *shape] float32 and labels in three parts, from `data.load`.
        key: the randomness of the support.
        run: a run directory; a solve that was stopped goes on from there, to the same bits. Of
            several processes (`jax.distributed`), which all call this with the same arguments, the
            first alone has one, and gives the others its checkpoint.
        report: called after every block.
        **settings: the fields of `label_solve.Settings`: support_size, balanced, ...

    Raises:
        InputError: a setting is out of range, or more images are asked for than there are.
        NumericalError: the regression or the solution is not finite.
        PoolError: the workers of the kernel's pool, or other processes of the run, are gone, or
            one failed; the state is saved.
        Interrupted: Ctrl-C or SIGTERM arrived, in any process; the state is saved.
    """
    chosen = make_settings(Settings, settings)
    size = check_kernel(kernel, data, chosen)
    kernel = kernel.for_run(run.settled) if run else kernel
    told = saved_in(run.path if run else None)
    with told, jax.enable_x64(True), hosts.losses(), held_signals() as held:
        process = _Solve(kernel, data, settings=chosen, size=size, key=key, run=run, report=report)
        outcome = process.go_on(held)
        held.raise_if_received()
        result = finish(
            outcome,
            KernelLearner(kernel, ridge=chosen.ridge, precision=chosen.precision),
            method="label-solve",
            data=data,
            settings=chosen,
            key=key,
            run=run,
        )
        held.raise_if_received()
        return result


class _Solve:
    """One solve: the support and its factorisation, and the loop over blocks of targets."""

    def __init__(
        self,
        kernel: Kernel,
        data: Dataset,
        *,
        settings: Settings,
        size: int,
        key: PRNGKeyArray,
        run: Run | None,
        report: Report | None,
    ) -> None:
        self._kernel, self._data, self._settings = kernel, data, settings
        self._run, self._report = run, report
        images, classes = real_support(key, data.train, size, balanced=settings.balanced)
        self._support = jnp.asarray(images, settings.precision)
        self._labels = one_hot(classes, data.num_classes)
        self._view = View(np.asarray(self._support, np.float32), self._labels, data, natural=True)
        self._blocks = -(-len(data.train) // settings.block_size)

    def go_on(self, held: HeldSignals) -> Outcome:
        """From the last checkpoint, or from the first block, to the labels."""
        regression = ridge_regression(
            self._kernel(self._support), jnp.asarray(self._labels), ridge=self._settings.ridge
        )
        cutoff = self._cutoff(regression)
        done, triangle, seconds = self._restored()
        saved_at = begin = time.monotonic()
        while done < self._blocks:
            try:
                with hosts.losses():
                    if held.received() is not None:
                        self._save(done, triangle, seconds)
                        held.raise_if_received()
                    weights = self._weights(regression, done)
                    finite = bool(jnp.isfinite(weights).all())
                if not finite:
                    raise NumericalError(
                        f"the kernel of block {done} is not finite: the preprocessed images are "
                        f"too large for {self._settings.precision}; standardise them"
                    )
            except (NumericalError, PoolError) as error:
                self._save(done, triangle, seconds)
                if self._run and isinstance(error, NumericalError):
                    saved = f"The state after {done} blocks is saved in {self._run.path}."
                    raise NumericalError(f"{error}. {saved}") from error
                raise
            triangle = least_squares.absorb(triangle, weights, self._targets(done))
            done += 1
            seconds, begin = seconds + time.monotonic() - begin, time.monotonic()
            if self._report:
                self._report(Progress(done, self._blocks))
            if log_spaced(done) or done == self._blocks or begin - saved_at > 120:
                self._save(done, triangle, seconds)
                saved_at = time.monotonic()
        labels, rank = least_squares.solve(
            triangle, num_classes=self._data.num_classes, cutoff=cutoff
        )
        if not np.isfinite(labels).all():
            raise NumericalError(f"the labels are not finite; {UNSTABLE}")
        if self._run:
            self._run.log(step=done, rank=rank)
        initial = {"images": self._view.initial, "labels": self._labels}
        return Outcome(
            support=initial | {"labels": labels.astype(np.float32)},
            initial=initial,
            view=self._view,
            step=done,
            steps=done,
            seconds=seconds + time.monotonic() - begin,
        )

    def _cutoff(self, regression: RidgeRegression) -> float:
        """Below this share of the largest singular value, A = K_ts (K_ss + ...)^-1 is rounding.

        Entries of A that are off by eps relatively move its singular values by at most
        eps |A|_F <= eps sqrt(s) sigma_1, however many rows there are: NumPy's own convention,
        with eps times the rows, would call real directions noise where targets abound. And
        whatever the dtype of the blocks, the float64 solve leaves eps times the condition of
        K_ss + ..., which is all that duplicated support images amount to.
        """
        blocks = len(self._support) * float(jnp.finfo(self._settings.precision).eps)
        condition = float(np.linalg.cond(np.asarray(regression.factor))) ** 2
        solve = condition * float(jnp.finfo(jnp.float64).eps)
        if solve > 1e-3:  # a Cholesky factor may come out finite where the matrix is singular
            raise NumericalError(
                f"the kernel ridge regression with ridge={self._settings.ridge} is singular: its "
                f"condition number is {condition:.0e}; {UNSTABLE}"
            )
        return max(blocks, solve)

    def _rows(self, block: int) -> slice:
        return slice(block * self._settings.block_size, (block + 1) * self._settings.block_size)

    def _weights(self, regression: RidgeRegression, block: int) -> Float[Array, "n s"]:
        images, rows = self._data.train.images, self._rows(block)
        if self._kernel.traceable:
            block_images = jnp.asarray(images[rows], self._settings.precision)
            return _jitted_weights(self._kernel, regression, block_images, self._support)
        numbers = np.arange(len(images))[rows]
        wanted = Rows(images, numbers).astype(self._settings.precision)
        return _weights(self._kernel, regression, wanted, self._support)

    def _targets(self, block: int) -> Float[Array, "n class"]:
        labels = self._data.train.labels[self._rows(block)]
        return jnp.asarray(one_hot(labels, self._data.num_classes), jnp.float64)

    def _restored(self) -> tuple[int, Array, float]:
        checkpoint = last_checkpoint(self._run)
        if self._run:
            self._run.rewind(-1)  # all that is logged is logged at the end
            start = Stage(0, self._view.initial, self._labels)
            self._run.watch(self._view.sheet, [start])  # the images stay as they are
        if checkpoint is None:
            return 0, least_squares.start(len(self._support), self._data.num_classes), 0.0
        triangle = jnp.asarray(checkpoint.tensors["triangle"])
        return checkpoint.step, triangle, checkpoint.metadata["seconds"]

    def _save(self, done: int, triangle: Array, seconds: float) -> None:
        if self._run:
            self._run.checkpoints.save(
                done, {"triangle": np.asarray(triangle)}, {"seconds": seconds}, keep=False
            )


def _weights(
    kernel: Kernel,
    regression: RidgeRegression,
    images: Float[Array, "n *shape"] | Rows,
    support: Float[Array, "s *shape"],
) -> Float[Array, "n s"]:
    return kernel.whole(regression.weights(kernel(images, support)))


_jitted_weights = jax.jit(_weights)
