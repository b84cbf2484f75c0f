"""Training a network on a few images, several seeds of it, in one compiled program."""

import functools
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key, PRNGKeyArray

from kernel_distill._errors import InputError, NumericalError
from kernel_distill._memory import at_a_time, available_memory
from kernel_distill._settings import Progress, Report
from kernel_distill._trees import spread_rows, stacked, unstacked
from kernel_distill.data import Split, augment
from kernel_distill.evaluation import check_not_empty
from kernel_distill.networks import Network
from kernel_distill.transfer._learning_rate import largest_stable_rate, with_l2
from kernel_distill.transfer._loss import check_labels, loss, targets
from kernel_distill.transfer._memory import program_memory, require_memory
from kernel_distill.transfer._model import Model, State
from kernel_distill.transfer._settings import TrainingSettings
from kernel_distill.transfer._soundness import Rates, require_alive, require_sound

_MOMENTUM = 0.9
_POINTS = 5  # of the curve, besides the start
_BLOCK = 500  # images that are predicted at a time, at most


_Constants = tuple[Array, Array, Array]  # images, targets, L2


class _Seeds(NamedTuple):
    """What differs between the seeds of a training; of all of them, or of one."""

    keys: Key[Array, "seed"] | Key[Array, ""]
    rates: Float[Array, "seed"] | Float[Array, ""]


@dataclass(frozen=True)
class _Program:
    """What a compiled program depends on; the learning rate and L2 are arguments of it."""

    model: Model
    settings: TrainingSettings


def _program(model: Model, settings: TrainingSettings) -> _Program:
    # what differs between the trainings of a search is no part of the program
    general = replace(settings, factor=(1.0,), l2=(0.0,), label_scale=(1.0,), learning_rate=1.0)
    return _Program(model, general)


class _Now(NamedTuple):
    """The number of a step, and in which order images come; None where a step takes all of them."""

    number: Int[Array, ""]
    order: Int[Array, "n"] | None


class _Carry(NamedTuple):
    state: State
    optimizer: Any


@dataclass(frozen=True)
class Trained:
    """Networks that were trained, one a seed.

    Attributes:
        model: what was trained.
        states: of each seed, after the last step.
        learning_rates: the peak of the schedule, of each seed.
        stable_rates: the largest stable one of each seed; None where a rate was given.
        l2: the regularisation.
        steps: where the curves were measured, [point].
        losses: of the batch at these steps, L2 included, [seed, point].
        validation_accuracies: at these steps, fractions; None without validation images.
    """

    model: Model
    states: tuple[State, ...]
    learning_rates: Float[np.ndarray, "seed"]
    stable_rates: Float[np.ndarray, "seed"] | None
    l2: float
    steps: Int[np.ndarray, "point"]
    losses: Float[np.ndarray, "seed point"]
    validation_accuracies: Float[np.ndarray, "seed point"] | None

    def accuracies(self, split: Split) -> Float[np.ndarray, "seed"]:
        """The fraction of images whose largest logit is their class, of each seed.

        Raises:
            InputError: the split is empty.
        """
        check_not_empty(split)
        return np.array([accuracy(self.model, state, split) for state in self.states])


def train(
    network: Network,
    images: Float[np.ndarray, "n *shape"],
    labels: Float[np.ndarray, "n class"],
    *,
    settings: TrainingSettings,
    key: PRNGKeyArray,
    seeds: int = 1,
    validation: Split | None = None,
    stable_rates: Float[np.ndarray, "seed"] | None = None,
    report: Report | None = None,
) -> Trained:
    """Trains a network on images, several times from different weights.

    On GPUs and TPUs a training is one compiled loop (`jax.lax.scan`) from one point of the curve to
    the next, and all seeds go through it together (`jax.vmap`) where memory allows. On CPUs a step
    is one compiled program and seeds follow each other: XLA compiles gradients of convolutions
    within a loop to programs that are 14 to 40 times slower (measured on JAX 0.10.2), and those of
    several networks together to ones 4 times slower.

    Args:
        network: what to train.
        images: float32, as the model takes them.
        labels: one-hot minus 1/C, or learned ones.
        settings: where several factors, L2 or label scales stand in them, the first is taken
            (`transfer` chooses among them).
        key: the randomness of weights, batches and augmentation; of each seed it is a part.
        seeds: how many times.
        validation: where to measure the curve.
        stable_rates: the largest stable rates without L2, where they are known already.
        report: called at each point of the curve.

    Raises:
        InputError: the images do not fit the network, or the training does not fit memory; for the
            cross-entropy, a label is no distribution.
        NumericalError: it diverged, its loss not finite, far above where it began, or above that at
            the end; or it died: a network that predicts the same for all images, as one of ReLUs
            that are all off, learns nothing any more.
    """
    if len(images) != len(labels):
        raise InputError(
            "images and labels must have the same number of rows; got "
            f"images.shape={images.shape}, labels.shape={labels.shape}"
        )
    check_labels(labels, settings)
    model = Model(network, images.shape[1:], labels.shape[1])
    x, wanted = jnp.asarray(images), targets(jnp.asarray(labels), settings)
    needed = require_fit(model, len(x), settings=settings, seeds=seeds)
    program = _program(model, settings)
    keys = jax.random.split(key, seeds)
    rates = _rates(program, x, keys, settings=settings, stable=stable_rates)
    all_seeds = _Seeds(keys, jnp.asarray(rates.used, jnp.float32))
    constants = x, wanted, jnp.float32(settings.l2[0])
    size = 1 if _on_cpu() else at_a_time(seeds, needed)
    points = sorted({round(part * settings.steps / _POINTS) for part in range(_POINTS + 1)})
    part = _some(validation, settings.validation_images) if validation else None
    states: list[State] = []
    losses = np.empty((seeds, len(points)))
    accuracies = np.empty((seeds, len(points)))
    for first in range(0, seeds, size):
        rows = slice(first, min(first + size, seeds))
        group = jax.tree.map(lambda each, rows=rows: each[rows], all_seeds)
        count = rows.stop - first
        carry = jax.vmap(functools.partial(_init, program))(group.keys)
        known = rates.of(rows)
        for number, point in enumerate(points):
            if number:
                run = _steps_one_by_one if _on_cpu() else _steps_together
                carry = run(program, carry, constants, group, (points[number - 1], point))
            losses[rows, number] = _losses(program, carry.state, constants)
            over = point == settings.steps
            require_sound(losses[rows, : number + 1], network, known, step=point, last_step=over)
            if over:
                some = spread_rows(len(x), _predicted_at_a_time(model))
                require_alive(model, carry.state, x[some], wanted[some], known)
            metrics = {"loss": float(losses[rows, number].mean())}
            trained = unstacked(carry.state, count)
            if part:
                accuracies[rows, number] = [accuracy(model, state, part) for state in trained]
                metrics["validation_accuracy"] = float(accuracies[rows, number].mean())
            if report:
                done = first * settings.steps + count * point
                report(Progress(done, seeds * settings.steps, metrics))
        states += trained
    return Trained(
        model=model,
        states=tuple(states),
        learning_rates=rates.used,
        stable_rates=rates.stable,
        l2=settings.l2[0],
        steps=np.array(points),
        losses=losses,
        validation_accuracies=accuracies if part else None,
    )


def _rates(
    program: _Program,
    images: Float[Array, "n *shape"],
    keys: Key[Array, "seed"],
    *,
    settings: TrainingSettings,
    stable: Float[np.ndarray, "seed"] | None,
) -> Rates:
    """Args: stable: the largest stable ones without L2, where they are known."""
    if settings.learning_rate is not None:
        return Rates(np.full(len(keys), settings.learning_rate), None)
    if stable is None:
        states = (_init(program, key).state for key in keys)
        stable = np.array([largest_stable_rate(program.model, state, images) for state in states])
    if not ((stable > 0) & np.isfinite(stable)).all():
        raise NumericalError(
            f"no learning rate is stable for {program.model.network.name}: its gradients are zero "
            "or not finite. Check the scale of the images."
        )
    stable = with_l2(stable, settings.l2[0])
    return Rates(settings.factor[0] * stable, stable)


def require_fit(model: Model, count: int, *, settings: TrainingSettings, seeds: int) -> int:
    """Bytes that a training on `count` images takes, once it is compiled.

    Raises:
        InputError: there are not as many.
    """
    network = model.network
    parameters = network.parameter_count(model.image_shape, model.num_classes)
    # parameters, gradient, update and what the optimiser keeps, before anything is compiled
    require_memory(4 * parameters * (5 if settings.optimizer == "adam" else 4), network)
    step = _compiled_step(_program(model, settings), (count, *model.image_shape))
    needed = program_memory(step) + 4 * parameters * seeds
    require_memory(needed, network)
    return needed


def accuracy(model: Model, state: State, split: Split) -> float:
    """The fraction of images whose largest logit is their class, in blocks of images."""
    right = 0
    block = min(len(split), _predicted_at_a_time(model))
    for start in range(0, len(split), block):
        images = split.images[start : start + block]
        # the last block is filled up, so that one compilation serves all
        rows = np.minimum(np.arange(block), len(images) - 1)
        found = np.asarray(_classes(model, state, images[rows]))[: len(images)]
        right += int(np.sum(found == split.labels[start : start + block]))
    return right / len(split)


def _predicted_at_a_time(model: Model) -> int:
    """So many images that what the layers give for them takes a quarter of the memory at most."""
    memory = available_memory()
    if memory is None:
        return _BLOCK
    return max(1, min(_BLOCK, memory // (4 * model.bytes_an_image)))


@functools.partial(jax.jit, static_argnames="model")
def _classes(
    model: Model, state: State, images: Float[Array, "n *shape"] | Float[np.ndarray, "n *shape"]
) -> Int[Array, "n"]:
    return model.logits(state, images).argmax(axis=1)


def _some(split: Split, count: int) -> Split:
    """So many examples of it, spread evenly."""
    chosen = spread_rows(len(split), count)
    return replace(split, images=split.images[chosen], labels=split.labels[chosen])


def _on_cpu() -> bool:
    return jax.default_backend() == "cpu"


def _optimizer(settings: TrainingSettings, rate: Float[Array, ""] | float) -> Any:
    import optax

    def scheduled(count: Int[Array, ""]) -> Float[Array, ""]:
        return rate * cosine(count)

    cosine = optax.cosine_decay_schedule(1.0, settings.steps)
    peak: Any = scheduled if settings.schedule == "cosine" else rate
    if settings.optimizer == "adam":
        return optax.adam(peak)
    return optax.sgd(peak, momentum=_MOMENTUM)


def _init(program: _Program, key: PRNGKeyArray) -> _Carry:
    """Before the first step; the key is that of a seed."""
    state = program.model.init(jax.random.fold_in(key, 0))
    return _Carry(state, _optimizer(program.settings, 1.0).init(state.parameters))


def _objective(
    program: _Program,
    state: State,
    batch: tuple[Array, Array],
    l2: Float[Array, ""],
) -> tuple[Float[Array, ""], Any]:
    images, wanted = batch
    logits, rest = program.model.apply(state, images, training=True)
    squares = [jnp.sum(leaf**2) for leaf in jax.tree.leaves(state.parameters)]
    return loss(logits, wanted, program.settings) + 0.5 * l2 * functools.reduce(
        jnp.add, squares
    ), rest


def _batches(program: _Program, count: int) -> int:
    """In how many steps all of the images come; 0 where every step takes all of them."""
    size = program.settings.batch_size
    return count // size if count > size else 0


def _order(
    program: _Program, key: PRNGKeyArray, number: Int[Array, ""] | int, count: int
) -> Int[Array, "n"] | None:
    """In which images come in the epoch of a step; None where every step takes all of them."""
    batches = _batches(program, count)
    if not batches:
        return None
    return jax.random.permutation(
        jax.random.fold_in(jax.random.fold_in(key, 1), number // batches), count
    )


def _step(
    program: _Program,
    carry: _Carry,
    constants: _Constants,
    seed: _Seeds,
    now: _Now,
) -> _Carry:
    import optax

    images, wanted, l2 = constants
    if now.order is not None:
        start = now.number % _batches(program, len(images)) * program.settings.batch_size
        rows = jax.lax.dynamic_slice_in_dim(now.order, start, program.settings.batch_size)
        images, wanted = images[rows], wanted[rows]
    if program.settings.augment:
        augment_key = jax.random.fold_in(jax.random.fold_in(seed.keys, 2), now.number)
        images = augment(augment_key, images, names=program.settings.augment)

    def objective(parameters: Any) -> tuple[Float[Array, ""], Any]:
        return _objective(program, State(parameters, carry.state.rest), (images, wanted), l2)

    gradient, rest = jax.grad(objective, has_aux=True)(carry.state.parameters)
    updates, optimizer = _optimizer(program.settings, seed.rates).update(
        gradient, carry.optimizer, carry.state.parameters
    )
    return _Carry(State(optax.apply_updates(carry.state.parameters, updates), rest), optimizer)


@functools.lru_cache(maxsize=32)
def _compiled_step(program: _Program, shape: tuple[int, ...]) -> Any:
    """The program of a step of one seed."""
    key = jax.eval_shape(lambda: jax.random.key(0))
    scalar: Any = jax.ShapeDtypeStruct((), jnp.float32)
    constants = (
        jax.ShapeDtypeStruct(shape, jnp.float32),
        jax.ShapeDtypeStruct((shape[0], program.model.num_classes), jnp.float32),
        scalar,
    )
    carry = jax.eval_shape(functools.partial(_init, program), key)
    order = jax.eval_shape(lambda key: _order(program, key, 0, shape[0]), key)
    step = jax.jit(functools.partial(_step, program))
    number: Any = jax.ShapeDtypeStruct((), jnp.int32)
    return step.lower(carry, constants, _Seeds(key, scalar), _Now(number, order)).compile()


_drawn_order = jax.jit(_order, static_argnums=(0, 3))


def _steps_one_by_one(
    program: _Program,
    carry: _Carry,
    constants: _Constants,
    seeds: _Seeds,
    span: tuple[int, int],
) -> _Carry:
    """From one step to another, of each seed on its own."""
    count = len(constants[0])
    step = _compiled_step(program, constants[0].shape)
    batches = _batches(program, count)
    done = []
    for each, seed in zip(
        *(unstacked(tree, len(seeds.rates)) for tree in (carry, seeds)), strict=True
    ):
        order = None
        for number in range(*span):
            # once an epoch: to sort many takes longer than a step
            if batches and (order is None or number % batches == 0):
                order = _drawn_order(program, seed.keys, number, count)
            each = step(each, constants, seed, _Now(jnp.int32(number), order))  # noqa: PLW2901
        done.append(each)
    return stacked(done)


def _steps_together(
    program: _Program,
    carry: _Carry,
    constants: _Constants,
    seeds: _Seeds,
    span: tuple[int, int],
) -> _Carry:
    """From one step to another, of all seeds at once, in one loop."""
    first, end = span
    return _loop(program, carry, constants, seeds, jnp.arange(end - first) + first)


@functools.partial(jax.jit, static_argnames="program")
def _loop(
    program: _Program,
    carry: _Carry,
    constants: _Constants,
    seeds: _Seeds,
    numbers: Int[Array, "step"],
) -> _Carry:
    """One compilation for as many steps, wherever they begin."""

    def of_seed(carry: _Carry, seed: _Seeds) -> _Carry:
        def body(carry: _Carry, number: Int[Array, ""]) -> tuple[_Carry, None]:
            order = _order(program, seed.keys, number, len(constants[0]))
            return _step(program, carry, constants, seed, _Now(number, order)), None

        return jax.lax.scan(body, carry, numbers.astype(jnp.int32))[0]

    return jax.vmap(of_seed)(carry, seeds)


@functools.partial(jax.jit, static_argnames="program")
def _losses(
    program: _Program,
    states: State,
    constants: _Constants,
) -> Float[Array, "seed"]:
    """On a batch's worth of images, spread evenly."""
    images, wanted, l2 = constants
    rows = spread_rows(len(images), program.settings.batch_size)
    few = images[rows], wanted[rows]
    return jax.lax.map(lambda state: _objective(program, state, few, l2)[0], states)
