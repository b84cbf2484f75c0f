"""optax's optimisers and schedules, by name."""

import functools
import inspect
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from kernel_distill._errors import InputError, unknown_name


def optimizer_names() -> tuple[str, ...]:
    """The names of optax's optimisers that are made from a learning rate."""
    import optax

    return tuple(
        name
        for name in dir(optax)
        # scale_by_... are parts of optimisers, and climb where the whole goes down
        if not name.startswith(("_", "scale_by_")) and _takes_a_learning_rate(getattr(optax, name))
    )


def _takes_a_learning_rate(candidate: Any) -> bool:
    if not inspect.isfunction(candidate):
        return False
    first, *others = [*inspect.signature(candidate).parameters.values(), None]
    required = [each for each in others if each and each.default is inspect.Parameter.empty]
    return first is not None and first.name == "learning_rate" and not required


def check_optimizer(name: str, *, schedule: str) -> None:
    """Raises unless `name` is an optimiser of optax that goes with the schedule and a gradient.

    Raises:
        UnknownNameError: optax has no such optimiser, or there is no such schedule.
        InputError: it wants more than a gradient, as L-BFGS wants the value of the loss; or it
            takes a learning rate that stays the same, and no schedule.
    """
    import optax

    if name not in optimizer_names():
        hint = "Those of optax that need more than a learning rate and a gradient are left out."
        raise unknown_name(
            "optimizer", name, optimizer_names(), hint=hint if hasattr(optax, name) else ""
        )
    if schedule not in SCHEDULES:
        raise unknown_name("schedule", schedule, SCHEDULES)
    if failure := _failure(name, 0.1):
        raise InputError(
            f"optimizer {name!r} needs more than a gradient and a learning rate ({failure}); "
            "take another, adam for example"
        )
    if schedule != "constant" and _failure(name, lambda step: 0.1):
        raise InputError(
            f"optimizer {name!r} takes no schedule; got {schedule!r}. Take schedule 'constant', or "
            "another optimizer, adam for example"
        )


def _failure(name: str, learning_rate: Any) -> str:
    """What optax says where an optimiser fails at a step; empty where it does not.

    Nothing is computed: settings are checked before processes are joined, and JAX starts then.
    """
    import optax

    def update(parameter: jax.Array) -> jax.Array:
        optimizer = getattr(optax, name)(learning_rate)
        return optimizer.update(parameter, optimizer.init(parameter), parameter)[0]

    try:
        jax.eval_shape(update, jax.ShapeDtypeStruct((2,), jnp.float32))
    except (TypeError, ValueError) as error:
        return str(error)
    return ""


# each from the peak learning rate and the number of steps
SCHEDULES: dict[str, Callable[[Any, float, int], Any]] = {
    "constant": lambda optax, rate, steps: optax.constant_schedule(rate),
    "cosine": lambda optax, rate, steps: optax.cosine_decay_schedule(rate, steps),
    "linear": lambda optax, rate, steps: optax.linear_schedule(rate, 0.0, steps),
    "exponential": lambda optax, rate, steps: optax.exponential_decay(rate, steps, 0.01),
    "warmup_cosine": lambda optax, rate, steps: optax.warmup_cosine_decay_schedule(
        0.0, rate, max(1, steps // 10), max(2, steps)
    ),
    "one_cycle": lambda optax, rate, steps: optax.cosine_onecycle_schedule(max(1, steps), rate),
}


def make_schedule(name: str, peak: float, *, steps: int) -> Callable[[int], jax.Array]:
    """One of `SCHEDULES`, from the number of the step to a rate of at most `peak`."""
    import optax

    return SCHEDULES[name](optax, peak, max(1, steps))


@functools.cache
def make_optimizer(name: str, *, schedule: str, learning_rate: float, steps: int) -> Any:
    """The `optax.GradientTransformation` of a name, with the schedule of another.

    The same one for the same arguments: optimisers compare by identity, and so a step that was
    compiled for one run serves the next.

    Args:
        name: one of `optimizer_names()`.
        schedule: one of `SCHEDULES`.
        learning_rate: the peak of the schedule.
        steps: the length of the run, over which the schedule goes down.
    """
    import optax

    rate = make_schedule(schedule, learning_rate, steps=steps)
    # some take a number and no schedule, not even a constant one
    return getattr(optax, name)(learning_rate if _failure(name, rate) else rate)
