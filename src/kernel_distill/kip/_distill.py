"""Kernel Inducing Points: the support is learned by gradient descent through ridge regression."""

from dataclasses import replace
from typing import Any, NoReturn

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from kernel_distill import _hosts as hosts
from kernel_distill._errors import NumericalError, saved_in
from kernel_distill._interrupt import held_signals
from kernel_distill._optimizers import make_optimizer, make_schedule
from kernel_distill._settings import Report, log_spaced, make_settings
from kernel_distill.artefact import Run
from kernel_distill.data import ClassBalanced, Dataset, one_hot
from kernel_distill.evaluation import measure
from kernel_distill.kernels import UNSTABLE, Kernel, Rows
from kernel_distill.kip._settings import Settings
from kernel_distill.kip._step import (
    Augmentation,
    Support,
    Update,
    jitted_step,
    natural_batch,
    step,
)
from kernel_distill.outer_loop import Algorithm, State, go_on
from kernel_distill.results import KernelLearner, Result, finish
from kernel_distill.supports import check_kernel, natural_support, noise_support
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
    """Distils a data set into learned images and labels with Kernel Inducing Points.

    Minimises 0.5 times the mean squared error of kernel ridge regression, from the support to a
    class-balanced batch of natural images drawn anew at every step. The result is the state with
    the best validation accuracy (the last state where there are no validation images); the test
    set is touched once, at the end. Source: Nguyen et al. 2021, algorithm 1.

    Args:
        kernel: a kernel of `kernels`, or a mixture, of which a step draws one member.
        data: images [n, *shape] float32 and labels in three parts, from `data.load`.
        key: all randomness of the run: the first support, batches, augmentation, kernels.
        run: a run directory: checkpoints, metrics, results and pictures go there, and a run that
            was stopped goes on from its last checkpoint, to the same bits. Of several processes
            (`jax.distributed`), which all call this with the same arguments, the first alone has
            one, and gives the others its checkpoint.
        report: called after every step and validation.
        **settings: the fields of `kip.Settings`: images_per_class, steps, learning_rate, ...

    Raises:
        InputError: a setting is out of range, or more images are asked for than there are.
        NumericalError: the loss is not finite; the last finite state is saved.
        PoolError: the workers of the kernel's pool, or other processes of the run, are gone, or
            one failed; the state is saved.
        Interrupted: Ctrl-C or SIGTERM arrived, in any process; the state is saved.
    """
    from threadpoolctl import threadpool_limits

    chosen = make_settings(Settings, settings)
    size = check_kernel(kernel, data, chosen)
    kernel = kernel.for_run(run.settled) if run else kernel
    # LAPACK's threads would go on spinning after each small factorisation, beside the products
    # of large matrices that XLA computes on the same cores: a quarter of a step's time
    lapack = threadpool_limits(limits=1, user_api="blas")
    told = saved_in(run.path if run else None)
    with told, lapack, jax.enable_x64(True), hosts.losses(), held_signals() as held:
        process = _Distillation(kernel, data, settings=chosen, size=size, key=key)
        outcome = go_on(process, run=run, report=report, held=held)
        held.raise_if_received()
        result = finish(
            outcome,
            KernelLearner(kernel, ridge=chosen.ridge, precision=chosen.precision),
            method="kip",
            data=data,
            settings=chosen,
            key=key,
            run=run,
        )
        held.raise_if_received()
        return result


class _Distillation(Algorithm):
    """A run of KIP, as the outer loop asks for it."""

    def __init__(
        self,
        kernel: Kernel,
        data: Dataset,
        *,
        settings: Settings,
        size: int,
        key: PRNGKeyArray,
    ) -> None:
        support_key, self._noise_key, self._step_key = jax.random.split(key, 3)
        self._kernel, self._data, self._settings = kernel, data, settings
        self.steps, self.patience = settings.steps, settings.patience
        self._images = jnp.asarray(data.train.images)
        self._targets = ClassBalanced(data.train)
        self._update = Update(
            optimizer=make_optimizer(
                settings.optimizer,
                schedule=settings.schedule,
                learning_rate=settings.learning_rate,
                steps=settings.steps,
            ),
            learned=("images",) * settings.learn_images
            + ("labels",) * (settings.learn_labels and not settings.label_solve_rate),
            ridge=settings.ridge,
            num_classes=data.num_classes,
        )
        self._label_schedule = make_schedule(
            settings.schedule, settings.label_solve_rate, steps=settings.steps
        )
        images, classes = natural_support(settings.start, support_key, data.train, size)
        self._noise = self._pixels_at_noise(images.shape)
        support: Support = {
            "images": self._start(images),
            "labels": jnp.asarray(one_hot(classes, data.num_classes), jnp.float64),
        }
        learned = {name: support[name] for name in self._update.learned}
        self.first = State(0, support, self._update.optimizer.init(learned), support)
        self.view = View(
            np.asarray(support["images"], np.float32),
            np.asarray(support["labels"], np.float32),
            data,
            natural=settings.start != "noise" and not settings.corruption,
        )

    def _start(self, images: Float[np.ndarray, "s *shape"]) -> Float[Array, "s *shape"]:
        noise = noise_support(self._noise_key, self._data.train, len(images))
        if self._settings.start == "noise":
            images = noise
        if self._noise is not None:
            images = np.where(self._noise, noise, images)
        return jnp.asarray(images, self._settings.precision)

    def _pixels_at_noise(self, shape: tuple[int, ...]) -> Bool[Array, "s *shape"] | None:
        """The corruption of Nguyen et al. 2021, section 4.3: the same fraction of every image."""
        if self._settings.corruption == 0:
            return None
        key = jax.random.fold_in(self._noise_key, 1)
        per_image = int(np.prod(shape[1:]))
        order = jax.random.uniform(key, (shape[0], per_image), jnp.float32).argsort(axis=1)
        rank = order.argsort(axis=1)
        return (rank < round(self._settings.corruption * per_image)).reshape(shape)

    def is_kept(self, step: int) -> bool:
        return log_spaced(step)

    def step(self, state: State) -> tuple[State, dict[str, float]]:
        batch_key, augment_key, chance_key, kernel_key = jax.random.split(
            jax.random.fold_in(self._step_key, state.step), 4
        )
        batch_size = min(self._settings.batch_size, len(self._data.train))
        batch = self._targets.draw(batch_key, batch_size)
        fraction = self._settings.augment_fraction if self._settings.augment else 0.0
        augmented = fraction > float(jax.random.uniform(chance_key, (), jnp.float32))
        augment_key = augment_key if augmented else None
        kernel = self._kernel.at(kernel_key)
        take_step = jitted_step if kernel.traceable else step
        try:
            support, optimizer_state, metrics = take_step(
                kernel,
                self._update,
                state.support,
                state.optimizer_state,
                images=self._batch(kernel, batch, augment_key),
                classes=jnp.asarray(self._data.train.labels[batch]),
                noise=self._noise,
                label_solve_rate=jnp.asarray(self._label_schedule(state.step), jnp.float64)
                if self._settings.label_solve_rate
                else None,
            )
        except NumericalError as error:  # of a pool's worker
            self._fail(str(error))
        if not bool(metrics.pop("finite")):
            self._fail(
                f"the loss or the support is not finite after step {state.step + 1}; {UNSTABLE}"
            )
        following = replace(state, support=support, optimizer_state=optimizer_state)
        return following, {name: float(value) for name, value in metrics.items()}

    def _batch(
        self, kernel: Kernel, batch: Int[np.ndarray, "t"], augment_key: PRNGKeyArray | None
    ) -> Any:
        """The natural images of a step; their numbers, where workers have the images already."""
        names = self._settings.augment
        if kernel.traceable:
            return natural_batch(
                self._images, jnp.asarray(batch), augment_key=augment_key, names=names
            )
        change = None if augment_key is None else Augmentation.of(augment_key, names)
        return Rows(self._images, batch, change)

    def validate(self, state: State) -> dict[str, float]:
        if not len(self._data.validation):
            return {}
        try:
            evaluations = [
                measure(
                    member,
                    state.support["images"],
                    state.support["labels"],
                    self._data.validation,
                    ridge=self._settings.ridge,
                    precision=self._settings.precision,
                )
                for member in self._kernel.members
            ]
        except NumericalError as error:
            self._fail(str(error))
        return {
            "validation_accuracy": float(np.mean([each.accuracy for each in evaluations])),
            "validation_loss": float(np.mean([each.loss for each in evaluations])),
        }

    def _fail(self, what: str) -> NoReturn:
        raise NumericalError(
            f"{what}, or the learning rate ({self._settings.learning_rate}) is too large."
        )
