"""Trains networks on the set of an experiment and writes down what came of it.

    python experiments/transfer.py mnist_10

reads experiments/transfer/mnist_10.yaml, distils the experiment it names (see run.py) where that
has not been done, and trains its networks on the distilled images and on those beside them. The
accuracies go to experiments/results/transfer, and `make tables` puts them into README.md.
"""

import json
import statistics
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
import run
import tyro

import kernel_distill as kd
from kernel_distill.artefact import read_config
from kernel_distill.transfer import TrainingSettings

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Arguments:
    """Trains networks on the set of an experiment, and on those beside it."""

    name: tyro.conf.Positional[str]
    """The name of its YAML file in experiments/transfer, without the suffix."""


def main() -> None:
    name = tyro.cli(Arguments).name
    config = read_config(FOLDER / "transfer" / f"{name}.yaml")
    if run.result_path(config["experiment"]).exists():
        run.run(FOLDER / f"{config['experiment']}.yaml", seed=0)
    else:
        run.record(config["experiment"], seeds=(0,))
    distilled = kd.load(FOLDER.parent / "runs" / f"{config['experiment']}_seed0")
    data = kd.data.load_again(distilled.metadata)
    settings = TrainingSettings(**config["training"])
    sets = {"distilled": [distilled]} | {
        beside: BESIDE[beside](distilled, data, config["seeds"]) for beside in config["beside"]
    }
    found = [
        {"set": label, **trained(network, each, data, settings, config)}
        for network in config["networks"]
        for label, each in sets.items()
    ]
    path = FOLDER / "results" / "transfer" / f"{name}.json"
    path.parent.mkdir(exist_ok=True)
    result = {"experiment": name, "settings": config, "trained": found}
    path.write_text(json.dumps(result, indent=1) + "\n")


def trained(
    network: str,
    sets: list[kd.Distilled],
    data: kd.data.Dataset,
    settings: TrainingSettings,
    config: dict[str, Any],
) -> dict[str, Any]:
    """Of the network trained once a seed: on the only set, or on one set each."""
    named = kd.networks.named(network, width=config["width"])
    trainings = [
        kd.transfer.transfer(
            named,
            each,
            data,
            settings=settings,
            seeds=config["seeds"] // len(sets),
            key=jax.random.fold_in(jax.random.key(0), number),
        )
        for number, each in enumerate(sets)
    ]
    accuracies = [float(each) for training in trainings for each in training.accuracies]
    mean, deviation = statistics.mean(accuracies), statistics.stdev(accuracies)
    print(network, f"{100 * mean:.2f} ± {100 * deviation:.2f}", flush=True)
    return {
        "label": named.label,
        "accuracies": accuracies,
        "mean": mean,
        "deviation": deviation,
        "trainings": [training.to_json() for training in trainings],
    }


def random(distilled: kd.Distilled, data: kd.data.Dataset, seeds: int) -> list[kd.Distilled]:
    """As many training images of each class, with their one-hot labels, drawn once a seed."""
    per_class = len(distilled) // data.num_classes
    return [
        kd.transfer.baseline("random", data, images_per_class=per_class, key=key)
        for key in jax.random.split(jax.random.key(1), seeds)
    ]


def one_hot(distilled: kd.Distilled, data: kd.data.Dataset, seeds: int) -> list[kd.Distilled]:
    """The same images, which Label Solve left as they were, with the labels that they came with."""
    label_of = {
        image.tobytes(): label
        for image, label in zip(data.train.images, data.train.labels, strict=True)
    }
    labels = np.array([label_of[image.tobytes()] for image in distilled.images])
    return [replace(distilled, labels=kd.data.one_hot(labels, data.num_classes))]


BESIDE = {"random": random, "one-hot": one_hot}

if __name__ == "__main__":
    main()
