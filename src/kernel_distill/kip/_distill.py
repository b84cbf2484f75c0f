"""Kernel Inducing Points: the support is learned by gradient descent through ridge regression."""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, NoReturn

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from kernel_distill import _hosts as hosts
from kernel_distill._errors import DamagedFileError, NumericalError, PoolError, saved_in
from kernel_distill._interrupt import HeldSignals, held_signals
from kernel_distill._optimizers import make_optimizer, make_schedule
from kernel_distill._settings import Progress, Report, log_spaced, make_settings
from kernel_distill.artefact import Checkpoint, Run, Stage, last_checkpoint, pack, spread, unpack
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
from kernel_distill.results import Outcome, Result, finish
from kernel_distill.supports import check, herded_support, real_support
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
    size = check(kernel, data, chosen)
    kernel = kernel.for_run(run.settled) if run else kernel
    # LAPACK's threads would go on spinning after each small factorisation, beside the products
    # of large matrices that XLA computes on the same cores: a quarter of a step's time
    lapack = threadpool_limits(limits=1, user_api="blas")
    told = saved_in(run.path if run else None)
    with told, lapack, jax.enable_x64(True), hosts.losses(), held_signals() as held:
        process = _Distillation(
            kernel, data, settings=chosen, size=size, key=key, run=run, report=report
        )
        outcome = process.go_on(held)
        held.raise_if_received()
        result = finish(
            outcome, method="kip", kernel=kernel, data=data, settings=chosen, key=key, run=run
        )
        held.raise_if_received()
        return result


@dataclass(frozen=True)
class _State:
    """What a checkpoint holds.

    Attributes:
        step: updates done.
        support: the images and labels now.
        optimizer_state: of the learned part of the support.
        best: the support with the best validation accuracy so far.
        best_step: when that was.
        best_accuracy: its validation accuracy; None without validation images.
        since_best: validations since then.
        seconds: time spent in the loop, of interrupted runs too.
    """

    step: int
    support: Support
    optimizer_state: Any
    best: Support
    best_step: int = 0
    best_accuracy: float | None = None
    since_best: int = 0
    seconds: float = 0.0

    _TENSORS = ("support", "optimizer_state", "best")

    def to_checkpoint(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        values = dict(self.__dict__)
        return pack({name: values.pop(name) for name in self._TENSORS}), values

    def from_checkpoint(self, checkpoint: Checkpoint) -> "_State":
        template = {name: getattr(self, name) for name in self._TENSORS}
        return _State(**unpack(template, checkpoint.tensors), **checkpoint.metadata)


def _stage(state: _State) -> Stage:
    images, labels = state.support["images"], state.support["labels"]
    return Stage(state.step, np.asarray(images, np.float32), np.asarray(labels, np.float32))


class _Distillation:
    """A run of KIP: what stays the same in it, and the loop."""

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
        support_key, self._noise_key, self._step_key = jax.random.split(key, 3)
        self._kernel, self._data, self._settings = kernel, data, settings
        self._run, self._report = run, report
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
        draw = herded_support if settings.start == "herding" else real_support
        images, classes = draw(support_key, data.train, size)
        self._noise = self._pixels_at_noise(images.shape)
        self._initial: Support = {
            "images": self._start(images),
            "labels": jnp.asarray(one_hot(classes, data.num_classes), jnp.float64),
        }
        self._view = View(
            np.asarray(self._initial["images"], np.float32),
            np.asarray(self._initial["labels"], np.float32),
            data,
            natural=settings.start != "noise" and not settings.corruption,
        )
        self._saved_at = time.monotonic()

    def _start(self, images: Float[np.ndarray, "s *shape"]) -> Float[Array, "s *shape"]:
        magnitude = np.sqrt(np.mean(self._data.train.images**2, dtype=np.float64))
        noise = magnitude * jax.random.normal(self._noise_key, images.shape, jnp.float32)
        if self._settings.start == "noise":
            images = np.asarray(noise)
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

    def go_on(self, held: HeldSignals) -> Outcome:
        """From the last checkpoint, or from the start, to the end."""
        state = self._restored() or self._validated(self._first())
        while not self._ended(state):
            try:
                with hosts.losses():
                    if held.received() is not None:
                        self._save(state, keep=False)
                        held.raise_if_received()
                    following = self._stepped(state)
                    if self._is_kept(following.step):
                        following = self._validated(following)
                    elif time.monotonic() - self._saved_at > 120:
                        self._save(following, keep=False)
            except PoolError:
                # not the state that was to be validated: its validation would be left out
                self._save(state, keep=False)
                raise
            state = following
        if self._data.validation.labels.size == 0:
            state = replace(state, best=state.support, best_step=state.step)
        return Outcome(
            images=np.asarray(state.best["images"], np.float32),
            labels=np.asarray(state.best["labels"], np.float32),
            view=self._view,
            step=state.best_step,
            steps=state.step,
            seconds=state.seconds,
            stages=self._stages(self._run, spread(self._run.checkpoints.steps()))
            if self._run
            else (),
        )

    def _stages(self, run: Run, steps: Iterable[int]) -> Iterator[Stage]:
        """The support at steps that there are checkpoints of."""
        for each in steps:
            try:
                yield _stage(self._first().from_checkpoint(run.checkpoints.read(each)))
            except (DamagedFileError, OSError):
                continue  # one step less to look at

    def _is_kept(self, step: int) -> bool:
        """Whether the state after a step is validated, and its checkpoint kept."""
        return log_spaced(step) or step == self._settings.steps

    def _first(self) -> _State:
        learned = {name: self._initial[name] for name in self._update.learned}
        return _State(0, self._initial, self._update.optimizer.init(learned), self._initial)

    def _restored(self) -> _State | None:
        checkpoint = last_checkpoint(self._run)
        if self._run:
            self._run.rewind(-1 if checkpoint is None else checkpoint.step)
            kept = filter(self._is_kept, self._run.checkpoints.steps())
            self._run.watch(self._view.sheet, self._stages(self._run, kept))
        return None if checkpoint is None else self._first().from_checkpoint(checkpoint)

    def _ended(self, state: _State) -> bool:
        patience = self._settings.patience
        impatient = patience is not None and state.since_best >= patience
        return impatient or state.step >= self._settings.steps

    def _stepped(self, state: _State) -> _State:
        """One update; the randomness of a step depends on its number alone, so a run can resume."""
        begin = time.monotonic()
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
            self._fail(state, str(error))
        if not bool(metrics.pop("finite")):
            self._fail(
                state,
                f"the loss or the support is not finite after step {state.step + 1}; {UNSTABLE}",
            )
        following = replace(
            state,
            step=state.step + 1,
            support=support,
            optimizer_state=optimizer_state,
            seconds=state.seconds + time.monotonic() - begin,
        )
        measured = {name: float(value) for name, value in metrics.items()}
        if self._run and (following.step % 10 == 0 or log_spaced(following.step)):
            self._run.log(step=following.step, **measured)
        self._tell(following, measured)
        return following

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

    def _fail(self, state: _State, what: str) -> NoReturn:
        saved = ""
        if self._run:
            self._save(state, keep=False)
            saved = f" The last finite state, of step {state.step}, is saved in {self._run.path}."
        raise NumericalError(
            f"{what}, or the learning rate ({self._settings.learning_rate}) is too large.{saved}"
        )

    def _validated(self, state: _State) -> _State:
        """Measures the validation accuracy, keeps the best state, and saves a checkpoint."""
        begin = time.monotonic()
        metrics = {}
        if len(self._data.validation):
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
                self._fail(state, str(error))
            accuracy = float(np.mean([evaluation.accuracy for evaluation in evaluations]))
            metrics["validation_accuracy"] = accuracy
            metrics["validation_loss"] = float(np.mean([each.loss for each in evaluations]))
            if state.best_accuracy is None or accuracy > state.best_accuracy:
                state = replace(
                    state,
                    best=state.support,
                    best_step=state.step,
                    best_accuracy=accuracy,
                    since_best=0,
                )
            else:
                state = replace(state, since_best=state.since_best + 1)
        state = replace(state, seconds=state.seconds + time.monotonic() - begin)
        if self._run and metrics:
            self._run.log(step=state.step, **metrics)
        self._save(state, keep=True)
        if self._run:
            self._run.show(_stage(state))
        self._tell(state, metrics)
        return state

    def _save(self, state: _State, *, keep: bool) -> None:
        if self._run:
            tensors, metadata = state.to_checkpoint()
            self._run.checkpoints.save(state.step, tensors, metadata, keep=keep)
            self._saved_at = time.monotonic()

    def _tell(self, state: _State, metrics: dict[str, float]) -> None:
        if self._report:
            self._report(Progress(state.step, self._settings.steps, metrics))
