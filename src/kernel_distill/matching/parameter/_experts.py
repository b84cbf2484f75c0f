"""Networks trained on natural images, whose weights on the way are kept: a file an expert."""

import functools
import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray

from kernel_distill._errors import DamagedFileError, InputError, NumericalError
from kernel_distill._files import PathLike, write_atomically
from kernel_distill._memory import at_a_time
from kernel_distill._settings import Progress, Report
from kernel_distill._trees import spread_rows, stacked, unstacked
from kernel_distill.artefact import pack, unpack
from kernel_distill.data import Dataset, one_hot
from kernel_distill.matching._unroll import finite
from kernel_distill.matching.parameter._student import (
    Lesson,
    Turn,
    student,
    student_step,
    turns,
)
from kernel_distill.networks import Network
from kernel_distill.transfer import Model, State, dead

_FORMAT = 1
_LOOKED_AT = 500


@dataclass(frozen=True)
class Training:
    """How experts are trained: plain gradient descent on the cross-entropy."""

    milestones: int
    milestone_steps: int
    rate: float
    batch_size: int
    augment: tuple[str, ...]


@dataclass(frozen=True)
class Experts:
    """Trajectories of training, in files.

    Attributes:
        model: what was trained.
        paths: of each expert.
        new: how many were not there before.
    """

    model: Model
    paths: tuple[Path, ...]
    new: int = field(default=0, compare=False)

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def told(self) -> str:
        """Where they are and where they come from, for people."""
        come = f"{self.new} of them trained now" if self.new else "found there"
        return f"{len(self)} expert{'s' * (len(self) > 1)} in {self.paths[0].parent}, {come}"

    def parameters(self, expert: int, milestone: int) -> Any:
        """The weights of an expert at a milestone, 0 being the start; no others are read.

        Raises:
            InputError: the file is gone.
            DamagedFileError: it cannot be read.
        """
        path = self.paths[expert]
        if not path.exists():
            raise InputError(f"{path} is not there any more: train the experts again")
        try:
            with _opened(path) as file:
                tensors = {name: file.get_slice(name)[milestone] for name in file.keys()}  # noqa: SIM118
        except Exception as error:  # of damaged bytes the reader says almost anything
            raise _damaged(path) from error
        return unpack(_template(self.model).parameters, tensors)


def train_experts(
    network: Network,
    data: Dataset,
    folder: PathLike | None,
    *,
    experts: int,
    milestones: int,
    milestone_steps: int,
    rate: float = 0.01,
    batch_size: int = 256,
    augment: Sequence[str] = (),
    key: PRNGKeyArray,
    report: Report | None = None,
) -> Experts:
    """Trains networks on the training images, and keeps their weights at milestones on the way.

    An expert is a safetensors file in the folder, which is there whole or not at all; those that
    are there already are not trained again. On GPUs and TPUs as many as half the memory takes go
    through one compiled loop together; on CPUs one after another, as in `transfer.train`. How many
    go together may show in the last bits.

    Args:
        network: what to train.
        data: whose training images.
        folder: of the files, expert_0000.safetensors and so on: each parameter
            [milestones + 1, ...], the first as initialised. None: one in experts/ of the current
            directory that is for these experts alone.
        experts: how many.
        milestones: how often weights are kept.
        milestone_steps: steps from one milestone to the next; the paper takes an epoch.
        rate: of plain gradient descent on the cross-entropy.
        batch_size: images a step; what is left of a permutation is left out.
        augment: what is done at random to the images.
        key: the randomness of weights, batches and augmentation; of each expert it is a part.
        report: called at each milestone.

    Raises:
        InputError: the folder has experts of another network, other data, other training or
            another key; the images do not fit the network.
        NumericalError: a training diverged, or its network died.
        DamagedFileError: an expert that is there cannot be read.
        StorageError: a file could not be written.
    """
    model = Model(network, data.image_shape, data.num_classes)
    training = Training(
        milestones, milestone_steps, rate, min(batch_size, len(data.train)), tuple(augment)
    )
    identity = {
        "format": _FORMAT,
        "network": network.to_metadata(),
        "data set": {"name": data.name, "fingerprint": data.train.fingerprint},
        "training": asdict(training) | {"augment": list(training.augment)},
        "key": np.asarray(jax.random.key_data(key)).tolist(),
    }
    folder = _usual_folder(network, data, identity) if folder is None else Path(folder)
    paths = tuple(folder / f"expert_{number:04d}.safetensors" for number in range(experts))
    missing = [number for number, path in enumerate(paths) if not path.exists()]
    for number in sorted(set(range(experts)) - set(missing)):
        _require_same(paths[number], identity)
    size = _at_a_time(model, training.batch_size, len(missing))
    # the same numbers whether JAX has 64 bits switched on or not: draws of augmentation differ
    with jax.enable_x64(False):
        for first in range(0, len(missing), size):
            group = missing[first : first + size]
            keys = [jax.random.fold_in(key, number) for number in group]
            kept = []
            for milestone, states in enumerate(_trained(model, data, training, keys)):
                _require_finite(network, states, milestone * milestone_steps, rate)
                if milestone == milestones:
                    _require_alive(model, states, data, rate)
                kept.append([pack(state.parameters) for state in states])
                if report and milestone:
                    done = first * milestones + len(group) * milestone
                    report(Progress(done, len(missing) * milestones))
            for number, trajectory in zip(group, zip(*kept, strict=True), strict=True):
                write_atomically(paths[number], _encoded(trajectory, identity))
    return Experts(model, paths, len(missing))


def _usual_folder(network: Network, data: Dataset, identity: dict[str, Any]) -> Path:
    name = re.sub(r"[^\w.+-]", "_", f"{data.name}_{network.label}")
    tag = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:8]
    return Path("experts", f"{name}_{tag}")


def _require_finite(network: Network, states: list[State], step: int, rate: float) -> None:
    if not finite(states):
        raise NumericalError(
            f"the training of an expert ({network.label}) diverged by step {step}, with learning "
            f"rate {rate:g}. Take a lower one (expert_learning_rate)."
        )


def _require_alive(model: Model, states: list[State], data: Dataset, rate: float) -> None:
    """Raises NumericalError where a trained expert is dead."""
    some = spread_rows(len(data.train), _LOOKED_AT)
    images = jnp.asarray(data.train.images[some])
    wanted = jnp.asarray(one_hot(data.train.labels[some], data.num_classes))
    if dead(model, stacked(states), images, wanted).any():
        raise NumericalError(
            f"the training of an expert ({model.network.label}) ended with the same prediction for "
            f"all images, with learning rate {rate:g}. Take a lower one (expert_learning_rate)."
        )


def _at_a_time(model: Model, batch_size: int, experts: int) -> int:
    """A step is taken to hold what the layers give three times: once on the way there, and twice on
    the way back. On CPUs one: XLA's compiler makes poor programs of several networks together
    there, and of loops."""
    if jax.default_backend() == "cpu" or not experts:
        return 1
    return at_a_time(experts, 3 * batch_size * model.bytes_an_image)


def _trained(
    model: Model, data: Dataset, training: Training, keys: Sequence[PRNGKeyArray]
) -> Iterator[list[State]]:
    """The states of each expert, before the first step and at each milestone."""
    lesson = Lesson(
        images=jnp.asarray(data.train.images),
        labels=jnp.asarray(one_hot(data.train.labels, data.num_classes)),
        rate=jnp.float32(training.rate),
    )
    each_turns = [
        turns(
            len(data.train),
            steps=training.milestones * training.milestone_steps,
            batch_size=training.batch_size,
            key=jax.random.fold_in(key, 1),
        )
        for key in keys
    ]
    states = [model.init(jax.random.fold_in(key, 0)) for key in keys]
    yield states
    run = _one_by_one if len(keys) == 1 else _together
    for milestone in range(training.milestones):
        first = milestone * training.milestone_steps
        part = [turns[first : first + training.milestone_steps] for turns in each_turns]
        states = run(model, training.augment, states, lesson, part)
        yield states


def _one_by_one(
    model: Model,
    names: tuple[str, ...],
    states: list[State],
    lesson: Lesson,
    each_turns: list[list[Turn]],
) -> list[State]:
    steps = student(model, names)
    return [
        steps.forward(state, lesson, turns).final
        for state, turns in zip(states, each_turns, strict=True)
    ]


def _together(
    model: Model,
    names: tuple[str, ...],
    states: list[State],
    lesson: Lesson,
    each_turns: list[list[Turn]],
) -> list[State]:
    all_turns = stacked([stacked(turns) for turns in each_turns])
    done = _loop(model, names, stacked(states), lesson, all_turns)
    return unstacked(done, len(states))


@functools.partial(jax.jit, static_argnames=("model", "names"))
def _loop(
    model: Model, names: tuple[str, ...], states: State, lesson: Lesson, all_turns: Turn
) -> State:
    """Steps of several experts at once: turns [expert, step]."""
    step = student_step(model, names)

    def of_expert(state: State, turns: Turn) -> State:
        return jax.lax.scan(lambda state, turn: (step(state, lesson, turn), None), state, turns)[0]

    return jax.vmap(of_expert)(states, all_turns)


def _encoded(trajectory: Sequence[dict[str, np.ndarray]], identity: dict[str, Any]) -> bytes:
    """The file of an expert, from its weights at each milestone."""
    from safetensors.numpy import save

    tensors = {
        name: np.stack([parameters[name] for parameters in trajectory]) for name in trajectory[0]
    }
    return save(tensors, metadata={"expert": json.dumps(identity)})


def _require_same(path: Path, identity: dict[str, Any]) -> None:
    """Raises InputError where the file is an expert of something else."""
    try:
        with _opened(path) as file:
            header = file.metadata()
        found = json.loads(header["expert"])
    except Exception as error:
        raise _damaged(path) from error
    for what, required in identity.items():
        if found.get(what) != required:
            raise InputError(
                f"{path} is an expert made for another {what}: it must be of "
                f"{json.dumps(required)}; got {json.dumps(found.get(what))}. Give another "
                "folder for experts (expert_folder), or the settings that these were made with"
            )


def _opened(path: Path) -> Any:
    from safetensors import safe_open

    return safe_open(path, framework="numpy")


def _damaged(path: Path) -> DamagedFileError:
    return DamagedFileError(
        f"{path} is no expert that can be read; remove it, and it is trained again"
    )


@functools.cache
def _template(model: Model) -> State:
    return model.init(jax.random.key(0))
