"""The settings of KIP, and optax's optimisers by name."""

import itertools

import jax
import jax.numpy as jnp
import optax
import pytest

from kernel_distill import kip
from kernel_distill._errors import InputError, UnknownNameError
from kernel_distill._optimizers import make_optimizer
from kernel_distill._settings import log_spaced


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"images_per_class": 0}, "images_per_class must be 1 or more; got 0"),
        ({"support_size": -1}, "support_size must be 1 or more; got -1"),
        ({"images_per_class": 1, "support_size": 10}, "give one of them"),
        ({"steps": -1}, "steps must not be negative; got -1"),
        ({"batch_size": 0}, "batch_size must be 1 or more; got 0"),
        ({"patience": 0}, "patience must be 1 or more; got 0"),
        ({"learning_rate": 0.0}, "learning_rate must be positive and finite; got 0.0"),
        ({"learning_rate": float("nan")}, "learning_rate must be positive and finite; got nan"),
        ({"learning_rate": float("inf")}, "learning_rate must be positive and finite; got inf"),
        ({"ridge": -1e-6}, "ridge must be 0 or more, and finite; got -1e-06"),
        ({"ridge": float("nan")}, "ridge must be 0 or more, and finite; got nan"),
        ({"ridge": float("inf")}, "ridge must be 0 or more, and finite; got inf"),
        ({"augment_fraction": 1.5}, "augment_fraction must lie between 0 and 1; got 1.5"),
        ({"corruption": -0.1}, "corruption must lie between 0 and 1; got -0.1"),
        ({"label_solve_rate": 1.1}, "label_solve_rate must lie between 0 and 1; got 1.1"),
        ({"label_solve_rate": 0.5, "learn_labels": False}, "leave one of them out"),
        ({"learn_images": False, "learn_labels": False}, "nothing is learned"),
        ({"augment": ("flip", "flip")}, "once"),
    ],
)
def test_values_out_of_range(settings, match):
    with pytest.raises(InputError, match=match):
        kip.Settings(**settings)


def test_list_of_augmentations():
    chosen = kip.Settings()
    object.__setattr__(chosen, "augment", ["flip"])  # as in test_unknown_names
    chosen.__post_init__()
    assert chosen == kip.Settings(augment=("flip",))


@pytest.mark.parametrize(
    ("settings", "nearest"),
    [
        ({"optimizer": "adamm"}, "adam"),
        ({"schedule": "cosin"}, "cosine"),
        ({"start": "nois"}, "noise"),
        ({"precision": "float16"}, "float64"),
        ({"augment": ("rotation",)}, "rotate"),
    ],
)
def test_unknown_names(settings, nearest):
    # set afterwards: in the tests, though not elsewhere, the annotations are checked first
    chosen = kip.Settings()
    for name, value in settings.items():
        object.__setattr__(chosen, name, value)
    with pytest.raises(UnknownNameError, match=f"did you mean .*'{nearest}'"):
        chosen.__post_init__()


def test_optimisers_that_need_more_than_a_gradient():
    with pytest.raises(InputError, match=r"'lbfgs' needs more than a gradient.*adam"):
        kip.Settings(optimizer="lbfgs")
    with pytest.raises(InputError, match=r"'polyak_sgd'.* more than a learning rate and a grad"):
        kip.Settings(optimizer="polyak_sgd")


def test_optimisers_that_take_no_schedule():
    kip.Settings(optimizer="rprop", schedule="constant")
    with pytest.raises(InputError, match=r"'rprop' takes no schedule; got 'cosine'.*constant"):
        kip.Settings(optimizer="rprop", schedule="cosine")


def test_names_are_those_of_optax():
    names = kip.optimizer_names()
    assert {"adam", "adamw", "sgd", "lion", "rmsprop", "adagrad", "lamb", "rprop"} <= set(names)
    # parts of optimisers, which climb where the whole goes down
    assert not any(name.startswith("scale_by") for name in names)


@pytest.mark.filterwarnings("ignore:Specifying a key", "ignore:`optimistic_adam`")
@pytest.mark.parametrize("name", sorted(set(kip.optimizer_names()) - {"lbfgs"}))
def test_every_optimiser_goes_down_with_every_schedule_it_takes(name):
    with jax.enable_x64(True):
        start = {"images": jnp.full((4, 3), 0.5, "float32"), "labels": jnp.full((4, 2), 0.5)}

        def loss(parameters):
            return sum((part.astype("float64") ** 2).sum() for part in parameters.values())

        def step(state, parameters):
            changes, state = optimizer.update(jax.grad(loss)(parameters), state, parameters)
            return state, optax.apply_updates(parameters, changes)

        def kinds(tree):
            return jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), tree)

        for schedule in kip.SCHEDULES:
            try:
                kip.Settings(optimizer=name, schedule=schedule)
            except InputError:
                assert schedule != "constant"
                continue
            optimizer = make_optimizer(name, schedule=schedule, learning_rate=0.01, steps=6)
            state = optimizer.init(start)
            # a checkpoint is read back into a fresh state: shapes and types must not change
            assert kinds(jax.eval_shape(step, state, start)) == (kinds(state), kinds(start))
            if schedule == "constant":
                parameters, step_once = start, jax.jit(step)
                for _ in range(6):
                    state, parameters = step_once(state, parameters)
                assert loss(parameters) < loss(start)


def test_checkpoints_are_log_spaced():
    steps = [step for step in range(3001) if log_spaced(step)]
    assert steps[:13] == [0, 1, 2, 3, 4, 6, 7, 10, 13, 18, 24, 32, 42]
    assert steps[-8:] == [422, 562, 750, 1000, 1500, 2000, 2500, 3000]
    assert all(later <= 2 * step for step, later in itertools.pairwise(steps[1:]))
