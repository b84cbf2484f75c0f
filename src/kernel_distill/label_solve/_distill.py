"""Label Solve: natural images, and the labels that least squares finds best for them."""

import functools
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from kernel_distill._errors import NumericalError
from kernel_distill._interrupt import HeldSignals, held_signals
from kernel_distill._settings import Progress, Report, log_spaced, make_settings
from kernel_distill.artefact import Run
from kernel_distill.data import Dataset, one_hot
from kernel_distill.kernels import UNSTABLE, Kernel, RidgeRegression, ridge_regression
from kernel_distill.label_solve import _least_squares as least_squares
from kernel_distill.label_solve._settings import Settings
from kernel_distill.results import Outcome, Result, finish
from kernel_distill.supports import real_support, support_size


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
        run: a run directory; a solve that was stopped goes on from there, to the same bits.
        report: called after every block.
        **settings: the fields of `label_solve.Settings`: support_size, balanced, ...

    Raises:
        InputError: a setting is out of range, or more images are asked for than there are.
        NumericalError: the regression or the solution is not finite.
        Interrupted: Ctrl-C or SIGTERM arrived; the state is saved.
    """
    chosen = make_settings(Settings, settings)
    size = support_size(chosen.images_per_class, chosen.support_size, data, default_per_class=10)
    with jax.enable_x64(True), held_signals() as held:
        process = _Solve(kernel, data, settings=chosen, size=size, key=key, run=run, report=report)
        outcome = process.go_on(held)
        return finish(
            outcome,
            method="label-solve",
            kernel=kernel,
            data=data,
            settings=chosen,
            key=key,
            run=run,
        )


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
        self._blocks = -(-len(data.train) // settings.block_size)

    def go_on(self, held: HeldSignals) -> Outcome:
        """From the last checkpoint, or from the first block, to the labels."""
        regression = ridge_regression(
            self._kernel(self._support), jnp.asarray(self._labels), ridge=self._settings.ridge
        )
        done, triangle, seconds = self._restored()
        saved_at = begin = time.monotonic()
        while done < self._blocks:
            triangle = self._absorbed(triangle, regression, done)
            done += 1
            seconds, begin = seconds + time.monotonic() - begin, time.monotonic()
            if log_spaced(done) or held.received is not None or begin - saved_at > 120:
                self._save(done, triangle, seconds)
                saved_at = time.monotonic()
            if self._report:
                self._report(Progress(done, self._blocks))
            held.raise_if_received()
        labels, rank = least_squares.solve(
            triangle, num_classes=self._data.num_classes, cutoff=self._cutoff()
        )
        if not np.isfinite(labels).all():
            raise NumericalError(f"the labels are not finite; {UNSTABLE}")
        if self._run:
            self._run.log(step=done, rank=rank)
        return Outcome(
            images=np.asarray(self._support, np.float32),
            labels=labels.astype(np.float32),
            initial_images=np.asarray(self._support, np.float32),
            initial_labels=self._labels,
            step=done,
            steps=done,
            seconds=seconds + time.monotonic() - begin,
        )

    def _cutoff(self) -> float:
        """NumPy's convention, max(rows, columns) * eps, for the dtype that the blocks are exact to.

        The rows are K_ts (K_ss + ...)^-1 with K_ts in that dtype; what lies below is rounding.
        """
        longest = max(len(self._data.train), len(self._support))
        return longest * float(jnp.finfo(self._settings.precision).eps)

    def _absorbed(self, triangle: Array, regression: RidgeRegression, block: int) -> Array:
        train, rows = self._data.train, self._settings.block_size
        chosen = slice(block * rows, (block + 1) * rows)
        images = jnp.asarray(train.images[chosen], self._settings.precision)
        weigh = _jitted_weights if self._kernel.traceable else _weights
        weights = weigh(self._kernel, regression, images, self._support)
        targets = jnp.asarray(one_hot(train.labels[chosen], train.num_classes), jnp.float64)
        return least_squares.absorb(triangle, weights, targets)

    def _restored(self) -> tuple[int, Array, float]:
        checkpoint = self._run.checkpoints.latest() if self._run else None
        if checkpoint is None:
            return 0, least_squares.start(len(self._support), self._data.num_classes), 0.0
        triangle = jnp.asarray(checkpoint.tensors["triangle"])
        return checkpoint.step, triangle, checkpoint.metadata["seconds"]

    def _save(self, done: int, triangle: Array, seconds: float) -> None:
        if self._run:
            self._run.checkpoints.save(
                done, {"triangle": np.asarray(triangle)}, {"seconds": seconds}, keep=False
            )


def _weights(kernel: Kernel, regression: RidgeRegression, images: Array, support: Array) -> Array:
    return regression.weights(kernel(images, support))


_jitted_weights = functools.partial(jax.jit, static_argnums=0)(_weights)
