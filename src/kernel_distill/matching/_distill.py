"""A run of a method of matching: the outer loop around the gradients that it gives."""

import functools
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from kernel_distill import supports
from kernel_distill._errors import InputError, NumericalError
from kernel_distill._interrupt import held_signals
from kernel_distill._optimizers import make_optimizer
from kernel_distill._settings import Report, log_spaced, make_settings
from kernel_distill.artefact import Run
from kernel_distill.data import Dataset, Split, one_hot
from kernel_distill.matching._method import Method, Support
from kernel_distill.matching._methods import method_named
from kernel_distill.networks import Network
from kernel_distill.outer_loop import Algorithm, State, go_on
from kernel_distill.results import Learner, Outcome, Result, finish
from kernel_distill.supports import natural_support, noise_support
from kernel_distill.transfer import Model, deviation
from kernel_distill.viewing import View


def distill(
    network: Network,
    data: Dataset,
    *,
    method: str,
    key: PRNGKeyArray,
    run: Run | None = None,
    report: Report | None = None,
    **settings: Any,
) -> Result:
    """Distils a data set for networks of finite width.

    The result is the state with the best validation accuracy among those that networks were
    trained on (`validations`); the test set is touched once, at the end, by several networks.

    Args:
        network: what the images are to teach, from `networks.named` or `networks.twin`.
        data: images [n, *shape] float32 and labels in three parts, from `data.load`.
        method: one of `matching.METHODS`.
        key: all randomness of the run: the first support, batches, networks, augmentation.
        run: a run directory: checkpoints, metrics, results and pictures go there, and a run that
            was stopped goes on from its last checkpoint, to the same bits.
        report: called after every step and validation.
        **settings: the fields of the method's settings: images_per_class, steps, ...

    Raises:
        UnknownNameError: there is no such method, or no such setting of it.
        InputError: a setting is out of range; more images are asked for than there are; the
            network does not take such images.
        NumericalError: the loss, or a training, is not finite; the last finite state is saved.
        Interrupted: Ctrl-C or SIGTERM arrived; the state is saved.
    """
    prepared = prepare(network, data, method=method, key=key, report=report, **settings)
    return prepared.distill(run=run, report=report)


def prepare(
    network: Network,
    data: Dataset,
    *,
    method: str,
    key: PRNGKeyArray,
    report: Report | None = None,
    **settings: Any,
) -> "Prepared":
    """A run of `distill` up to its first step: all that can be said against the input is said here,
    before a run directory is begun, or an earlier one overwritten.

    Args:
        network, data, method, key, settings: as `distill` takes them.
        report: called as networks are trained that a method wants to begin with, such as the
            experts of trajectory matching.

    Raises:
        UnknownNameError, InputError, NumericalError: as `distill`.
    """
    known = method_named(method)
    if not isinstance(network, Network):
        raise InputError(
            f"network must be one from networks.named or networks.twin; got {network!r}"
        )
    chosen = make_settings(known.settings_type, settings)
    model = Model(network, data.image_shape, data.num_classes)
    size = supports.check(data, chosen)
    method_key, run_key = jax.random.split(key)
    with jax.enable_x64(False):
        learner = known(model, data, chosen, method_key)
        begin = time.monotonic()
        learner.prepare(report)
        process = _Matching(learner, size=size, key=run_key, seconds=time.monotonic() - begin)
        return Prepared(learner, process, key)


class Prepared:
    """A run that is ready for its first step, from `prepare`."""

    def __init__(self, method: Method[Any], process: "_Matching", key: PRNGKeyArray) -> None:
        self._method, self._process, self._key = method, process, key

    @property
    def rests_on(self) -> str:
        """What was made or found before the first step, for people; empty where it is nothing."""
        return self._method.rests_on

    def distill(self, *, run: Run | None = None, report: Report | None = None) -> Result:
        """Takes the steps; see `distill`."""
        # the same numbers whether JAX has 64 bits switched on, as the command line has, or not
        with jax.enable_x64(False), held_signals() as held:
            outcome = go_on(self._process, run=run, report=report, held=held)
            held.raise_if_received()
            result = finish(
                outcome,
                NetworkLearner(self._method, self._process.test_key),
                method=self._method.name,
                data=self._method.data,
                settings=self._method.settings,
                key=self._key,
                run=run,
            )
            held.raise_if_received()
            return result


class NetworkLearner(Learner):
    """Networks of the kind that the support was distilled for."""

    def __init__(self, method: Method[Any], key: PRNGKeyArray) -> None:
        self._method, self._key = method, key

    @property
    def name(self) -> str:
        return self._method.learners

    def metadata(self, support: Mapping[str, np.ndarray]) -> dict[str, Any]:
        network = self._method.model.network.to_metadata()
        return {"network": network, **self._method.metadata(_on_device(support))}

    def measured(self, outcome: Outcome, data: Dataset) -> dict[str, Any]:
        splits = [data.test, data.validation] if len(data.validation) else [data.test]
        test, *validation = self._accuracies(outcome.support, splits)
        return {
            "test_accuracy": float(test.mean()),
            "initial_test_accuracy": self._initial_accuracy(outcome, data.test),
            "validation_accuracy": float(validation[0].mean()) if validation else None,
            "test_deviation": deviation(test),
        }

    def _initial_accuracy(self, outcome: Outcome, test: Split) -> float | None:
        """None where networks learn nothing from the first images: the result is worth the more."""
        try:
            return float(self._accuracies(outcome.initial, [test]).mean())
        except NumericalError as error:
            warnings.warn(f"the initial images could not be tested: {error}", stacklevel=2)
            return None

    def _accuracies(
        self, support: Mapping[str, np.ndarray], splits: Sequence[Split]
    ) -> Float[np.ndarray, "split network"]:
        networks = self._method.settings.test_networks
        return self._method.accuracies(
            _on_device(support), splits, networks=networks, key=self._key
        )


class _Matching(Algorithm):
    """A method as the outer loop asks for it; `seconds` have gone into its preparation."""

    def __init__(
        self, method: Method[Any], *, size: int, key: PRNGKeyArray, seconds: float
    ) -> None:
        settings, data = method.settings, method.data
        start_key, memory_key, self._step_key, self._validation_key, self.test_key = (
            jax.random.split(key, 5)
        )
        self._method = method
        self.steps, self.patience = settings.steps, None
        self._validated = _evenly(settings.validations, settings.steps)
        support = method.support(*_start(method, size, start_key))
        self._rates = method.learning_rates()
        self._update = _update(
            tuple(sorted(self._rates.items())), settings.optimizer, settings.schedule, self.steps
        )
        learned = {name: support[name] for name in self._rates}
        self.first = State(
            0,
            support,
            self._update.init(learned),
            support,
            memory=method.memory(support, key=memory_key),
            seconds=seconds,
        )
        self.view = View(
            np.asarray(support["images"]),
            np.asarray(support["labels"]),
            data,
            natural=settings.start != "noise",
        )

    def is_kept(self, step: int) -> bool:
        return log_spaced(step) or step in self._validated

    def step(self, state: State) -> tuple[State, dict[str, float]]:
        gradient_key, after_key = jax.random.split(jax.random.fold_in(self._step_key, state.step))
        found = self._method.gradient(
            state.support, state.memory, step=state.step, key=gradient_key
        )
        support, optimizer_state, finite = _updated(
            self._update, found.gradient, state.support, state.optimizer_state
        )
        metrics = {name: float(value) for name, value in found.metrics.items()}
        if not (bool(finite) and np.isfinite(metrics["loss"])):
            raise NumericalError(
                f"the loss or the support is not finite after step {state.step + 1}; likely "
                f"causes: a learning rate is too large (of "
                f"{', '.join(f'{name}: {rate:g}' for name, rate in self._rates.items())}), or "
                f"{self._method.likely_cause}. Begin anew with other settings: going on would "
                "lead here again."
            )
        memory = self._method.after(support, found.memory, step=state.step, key=after_key)
        following = replace(state, support=support, optimizer_state=optimizer_state, memory=memory)
        return following, metrics

    def validate(self, state: State) -> dict[str, float]:
        split = self._method.data.validation
        if state.step not in self._validated or not len(split):
            return {}
        try:
            # of the same weights each time: what differs is the support
            found = self._method.accuracies(
                state.support,
                [split],
                networks=self._method.validation_networks,
                key=self._validation_key,
            )
        except NumericalError as error:  # a state that is not the best, and no end of the run
            warnings.warn(
                f"the images of step {state.step} could not be validated: {error}", stacklevel=2
            )
            return {}
        return {"validation_accuracy": float(found.mean())}


def _on_device(support: Mapping[str, np.ndarray]) -> Support:
    return {name: jnp.asarray(value) for name, value in support.items()}


def _start(method: Method[Any], size: int, key: PRNGKeyArray) -> tuple[Array, Array]:
    """The first images, sorted by class, and their labels."""
    support_key, noise_key = jax.random.split(key)
    start, train = method.settings.start, method.data.train
    images, classes = natural_support(start, support_key, train, size)
    if start == "noise":
        images = noise_support(noise_key, train, size)
    labels = one_hot(classes, method.data.num_classes)
    return jnp.asarray(images, jnp.float32), jnp.asarray(labels)


def _evenly(count: int, steps: int) -> frozenset[int]:
    """The steps of so many validations, the last one among them; the start is no result."""
    each = (round(steps * (number + 1) / count) for number in range(count))
    return frozenset(step for step in each if step or not steps)


@functools.cache
def _update(rates: Sequence[tuple[str, float]], optimizer: str, schedule: str, steps: int) -> Any:
    """An optimiser a part of the support; the same one for the same arguments, see
    `make_optimizer`."""
    import optax

    return optax.partition(
        {
            name: make_optimizer(optimizer, schedule=schedule, learning_rate=rate, steps=steps)
            for name, rate in rates
        },
        {name: name for name, _ in rates},
    )


@functools.partial(jax.jit, static_argnames="update")
def _updated(
    update: Any, gradient: Support, support: Support, optimizer_state: Any
) -> tuple[Support, Any, Bool[Array, ""]]:
    """The support and the optimiser's state after the update, and whether all of it is finite."""
    import optax

    learned = {name: support[name] for name in gradient}
    changes, optimizer_state = update.update(gradient, optimizer_state, learned)
    moved = optax.apply_updates(learned, changes)
    finite = jnp.array([jnp.isfinite(value).all() for value in moved.values()]).all()
    return support | moved, optimizer_state, finite
