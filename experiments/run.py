"""Runs an experiment of this folder and writes down what came of it.

    python experiments/run.py mnist_fc_1 --seeds 0 1 2

reads experiments/mnist_fc_1.yaml, distils into runs/mnist_fc_1_seed0, ..., and writes
experiments/results/mnist_fc_1.json: the figures of every seed, and the validation curve. A run
that was stopped goes on. `make tables` puts the results into README.md.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro

from kernel_distill.artefact import holds_run, read_config, read_metrics

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Arguments:
    """Runs an experiment of this folder, one run a seed."""

    name: tyro.conf.Positional[str]
    """The name of its YAML file, without the suffix."""

    seeds: tuple[int, ...] = (0,)
    """One run for each."""


def main() -> None:
    arguments = tyro.cli(Arguments)
    record(arguments.name, seeds=arguments.seeds)


def record(name: str, *, seeds: Sequence[int]) -> None:
    """Runs, and writes the result of the experiment."""
    config = FOLDER / f"{name}.yaml"
    runs = [run(config, seed) for seed in seeds]
    result = {"experiment": name, "settings": read_config(config), "runs": runs}
    result_path(name).write_text(json.dumps(result, indent=1) + "\n")


def result_path(name: str) -> Path:
    return FOLDER / "results" / f"{name}.json"


def run(config: Path, seed: int) -> dict[str, Any]:
    """Distils, or goes on, and returns the run's figures."""
    out = FOLDER.parent / "runs" / f"{config.stem}_seed{seed}"
    command = read_config(config)["command"]
    options = ["--config", config, "--seed", seed, "--out", out]
    if holds_run(out):
        options.append("--resume")
    distil = [sys.executable, "-m", "kernel_distill.cli", command, *map(str, options)]
    subprocess.run(distil, check=True)
    curve = [
        [line["step"], line["validation_accuracy"]]
        for line in read_metrics(out)
        if "validation_accuracy" in line
    ]
    result = json.loads((out / "result.json").read_text())
    return {"seed": seed, **result, "validation_curve": curve}


if __name__ == "__main__":
    main()
