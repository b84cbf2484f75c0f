"""Files of trained weights, to begin with in place of untrained ones."""

import hashlib
import io
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import PRNGKeyArray

from kernel_distill._errors import InputError
from kernel_distill._files import PathLike, write_atomically
from kernel_distill._npz import open_npz
from kernel_distill._settings import Report
from kernel_distill.artefact import pack, unpack
from kernel_distill.data import Dataset, one_hot
from kernel_distill.networks import Network
from kernel_distill.transfer import Model, State, Trained, TrainingSettings, train

_COUNT = "count"


def pretrain(
    network: Network,
    data: Dataset,
    path: PathLike,
    *,
    key: PRNGKeyArray,
    networks: int = 1,
    steps: int = 1000,
    augment: tuple[str, ...] = (),
    report: Report | None = None,
) -> Trained:
    """Trains networks on natural images, by the cross-entropy and Adam, and saves their weights.

    Args:
        network: what to train.
        data: whose training images are taken.
        path: the .npz that is written, for the setting `weights`.
        key: the randomness of weights and batches.
        networks: how many.
        steps: of each training, on batches of 100.
        augment: what is done at random to the images: flip, shift, rotate, ...
        report: as `transfer.train` calls it.

    Raises:
        InputError: the images do not fit the network, the training does not fit memory, or there
            is no such augmentation.
        NumericalError: the training diverged.
        StorageError: the file could not be written.
    """
    trained = train(
        network,
        data.train.images,
        one_hot(data.train.labels, data.num_classes),
        # gradient descent at a tenth of the largest stable rate kills LeNet on MNIST
        settings=TrainingSettings(
            loss="cross_entropy",
            optimizer="adam",
            learning_rate=1e-3,
            steps=steps,
            augment=augment,
        ),
        key=key,
        seeds=networks,
        report=report,
    )
    save_weights(path, trained.states)
    return trained


def save_weights(path: PathLike, states: tuple[State, ...]) -> None:
    """Writes the states of networks of one kind to an .npz, for `read_weights`.

    Raises:
        StorageError: it could not be written.
    """
    buffer = io.BytesIO()
    arrays: dict[str, Any] = {_COUNT: np.array(len(states)), **pack(states)}
    np.savez(buffer, **arrays)
    write_atomically(path, buffer.getvalue())


def read_weights(path: PathLike, model: Model) -> tuple[State, ...]:
    """The states that `save_weights` wrote.

    Raises:
        InputError: there is no such file, or it is none of weights, or of another network.
        DamagedFileError: the file is truncated or altered.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"there is no file of weights {path}: make one with `pretrain`")
    with open_npz(path, instead="Make another file with `pretrain`.") as file:
        tensors = {name: file[name] for name in file.files}
    count = int(tensors.pop(_COUNT, np.array(0)))
    if count < 1:
        raise InputError(f"{path} holds no weights of networks: make another file with `pretrain`")
    template = jax.eval_shape(model.init, jax.random.key(0))
    zeros = jax.tree.map(lambda leaf: jax.numpy.zeros(leaf.shape, leaf.dtype), template)
    try:
        return unpack((zeros,) * count, tensors)
    except InputError as error:
        raise InputError(
            f"the weights in {path} are not those of {model.network.name} for images "
            f"{list(model.image_shape)} of {model.num_classes} classes: take the network that they "
            f"were trained for ({error})"
        ) from error


def fingerprint(states: tuple[State, ...]) -> str:
    """What tells weights from others, whatever file they are in."""
    digest = hashlib.sha256()
    for name, tensor in sorted(pack(states).items()):
        digest.update(name.encode() + tensor.tobytes())
    return digest.hexdigest()
