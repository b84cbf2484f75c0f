"""Steps on a hundred distilled images, mostly one, move a trained network: to other data, or to
forget.

    python experiments/adaptation.py mnist_usps --usps usps.h5

reads experiments/adaptation/mnist_usps.yaml, trains a network on the data that it names first
(`source`, changed at random by `source_augment`) and distils those that it names second (`target`)
into images that move these very weights in a step of gradient descent (or `distilled_steps`). With
`beside`, as many training images of that data set are distilled along with the target's; with
`mislead`, images have the network take one class for another. What it knew before and knows after
goes to experiments/results/adaptation.

USPS is the usps.h5 that is passed around with the groups train and test: 16x16 pixels, which are
put as MNIST has its own, 20x20 in the middle of 28x28. It is read with h5py, which comes with
TensorFlow.
"""

import functools
import json
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
import tyro

import kernel_distill as kd
from kernel_distill.artefact import read_config
from kernel_distill.matching import performance
from kernel_distill.transfer import Model, State, accuracy

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Arguments:
    """Moves a trained network by a step or more on distilled images."""

    name: tyro.conf.Positional[str]
    """The name of its YAML file in experiments/adaptation, without the suffix."""

    usps: Path | None = None
    """The file usps.h5, where USPS takes part."""


def main() -> None:
    arguments = tyro.cli(Arguments)
    config = read_config(FOLDER / "adaptation" / f"{arguments.name}.yaml")
    source = dataset(config["source"], arguments.usps)
    target = dataset(config["target"], arguments.usps)
    if beside := config.get("beside"):
        target = along(target, dataset(beside, arguments.usps))
    network = kd.networks.named(config["network"])
    augment = tuple(config.get("source_augment", ()))
    name = "_".join((config["source"], config["network"], *augment))
    weights = FOLDER.parent / "runs" / f"{name}.npz"
    if not weights.exists():
        weights.parent.mkdir(exist_ok=True)
        steps = 4000 if augment else 3000
        performance.pretrain(
            network, source, weights, key=jax.random.key(0), steps=steps, augment=augment
        )
    begin = time.perf_counter()
    result = kd.matching.distill(
        network,
        target,
        method="unrolled",
        key=jax.random.key(1),
        weights=str(weights),
        **config["settings"],
    )
    seconds = time.perf_counter() - begin
    followed = performance.follow(result.distilled, network, key=jax.random.key(2), weights=weights)
    (before,), (after,) = followed.before, followed.states
    found = {
        "experiment": arguments.name,
        "settings": config,
        "wall_seconds": seconds,
        "before": known(followed.model, before, source, target, config),
        "after": known(followed.model, after, source, target, config),
    }
    path = FOLDER / "results" / "adaptation" / f"{arguments.name}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found, indent=1))


def known(
    model: Model,
    state: State,
    source: kd.data.Dataset,
    target: kd.data.Dataset,
    config: dict[str, Any],
) -> dict[str, float]:
    """What a network says of the test sets."""
    if mislead := config["settings"].get("mislead"):
        return performance.harm(model, state, target.test, mislead=mislead)._asdict()
    return {
        "source": accuracy(model, state, source.test),
        "target": accuracy(model, state, target.test),
    }


@functools.cache  # what is distilled beside the target may be what the network comes from
def dataset(name: str, usps: Path | None) -> kd.data.Dataset:
    if name != "usps":
        return kd.data.load(name)
    if usps is None:
        raise SystemExit("this experiment is with USPS: say where it is, with --usps usps.h5")
    import h5py

    with h5py.File(usps) as file:
        arrays = [
            array
            for part in ("train", "test")
            for array in (as_mnist(file[part]["data"][:]), file[part]["target"][:])
        ]
    return kd.data.from_arrays(*arrays, name="usps")


def along(target: kd.data.Dataset, others: kd.data.Dataset) -> kd.data.Dataset:
    """The target with as many training images of the others, each standardised as its own are; it
    is validated and tested by itself."""
    some = np.random.default_rng(0).permutation(len(others.train))[: len(target.train)]
    train = replace(
        target.train,
        images=np.concatenate([target.train.images, others.train.images[some]]),
        labels=np.concatenate([target.train.labels, others.train.labels[some]]),
    )
    return replace(target, name=f"{target.name} and {others.name}", train=train)


def as_mnist(rows: np.ndarray) -> np.ndarray:
    """USPS' 16x16 pixels, which digits fill, as 20x20 in the middle of 28x28."""
    images = rows.reshape(-1, 16, 16, 1)
    resized = np.asarray(jax.image.resize(images, (len(images), 20, 20, 1), "linear"))
    return np.pad(resized, ((0, 0), (4, 4), (4, 4), (0, 0)))


if __name__ == "__main__":
    main()
