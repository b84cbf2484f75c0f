"""All methods at an equal number of images: what networks learn from them, time and memory.

    python benchmarks/methods.py
    python benchmarks/methods.py --datasets mnist --methods kip distribution

distils each data set by each method, in a process of its own, and trains one network, the same for
all, on what comes of it, from five seeds. Images drawn at random and images near the means of their
classes stand beside the methods. Each result is a file of benchmarks/methods, and what is there
already, with the same settings, is not measured again (`--again`): it can be run in parts, several
at a time (`taskset` gives each a core). Draws docs/images/methods.png from what there is; `make
tables` puts the table into README.md and docs/methods.md. On Linux alone, which tells the most
memory that a process has held since a moment.
"""

import json
import os
import platform
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import jax
import tyro
from methods_picture import draw
from tiled_memory import resident

import kernel_distill as kd
from kernel_distill._settings import make_settings
from kernel_distill.matching import METHODS
from kernel_distill.transfer import TrainingSettings

FOLDER = Path(__file__).parent
RESULTS = FOLDER / "methods"
PICTURE = FOLDER.parent / "docs" / "images" / "methods.png"
DATASETS = ("mnist", "fashion_mnist")
IMAGES_PER_CLASS = 1

# what is distilled for, and what is trained on the result
NETWORK = kd.networks.named("convnet3-in", width=32)
SEEDS = 5
# the squared error, which takes learned labels as they are; what suits one set and not another is
# chosen on validation images
TRAINING = TrainingSettings(
    steps=400,
    factor=(0.3, 1.0),
    l2=(0.0,),
    label_scale=(1.0, 5.0),
    augment=("shift", "rotate", "scale"),
)

_AUGMENT = ("shift", "rotate", "scale")
# networks are trained on the result here, and few of them before
_FEW = {"validations": 2, "test_networks": 1}
SETTINGS: dict[str, dict[str, Any]] = {
    "random": {},
    "herding": {},
    "label-solve": {},
    "kip": {
        "start": "herding",
        "steps": 60,
        "batch_size": 100,
        "optimizer": "lars",
        "learning_rate": 8.0,
        "schedule": "cosine",
        "label_solve_rate": 0.1,
        "ridge": 1e-3,
    },
    # the form whose images serve any weights
    "unrolled": {
        "initialisation": "random",
        "initialisations": 1,
        "steps": 400,
        "batch_size": 250,
        "epochs": 5,
        "learn_labels": True,
        **_FEW,
    },
    "gradient": {
        "steps": 600,
        "batch_size": 320,
        "learning_rate": 1.0,
        "augment": _AUGMENT,
        **_FEW,
    },
    "trajectory": {
        "steps": 400,
        "learning_rate": 0.1,
        "schedule": "cosine",
        "experts": 5,
        "expert_learning_rate": 0.02,
        "expert_batch_size": 64,
        "latest_start": 2,
        "student_steps": 15,
        "student_learning_rate": 0.08,
        "rate_learning_rate": 0.02,
        "training_augment": _AUGMENT,
        **_FEW,
    },
    "distribution": {"steps": 1000, "batch_size": 320, "augment": _AUGMENT, **_FEW},
    "features": {
        "steps": 3000,
        "batch_size": 200,
        "learning_rate": 0.02,
        "label_learning_rate": 0.005,
        "pool_learning_rate": 1e-3,
        "schedule": "cosine",
        **_FEW,
    },
}
"""The methods, and what each is told."""

NATURAL = ("random", "herding")
KERNELS = {"label-solve": kd.label_solve.distill, "kip": kd.kip.distill}
KINDS = {
    "label-solve": kd.label_solve.Settings,
    "kip": kd.kip.Settings,
    **{name: method.settings_type for name, method in METHODS.items()},
}
"""The classes of their settings."""

ARCHITECTURE = "convnet3"


@dataclass(frozen=True)
class Arguments:
    """Measures all methods at an equal number of images."""

    methods: tuple[str, ...] = tuple(SETTINGS)
    """Which of them."""

    datasets: tuple[str, ...] = DATASETS
    """On which data sets."""

    again: bool = False
    """Measures what has been measured, too."""


def main() -> None:
    arguments = tyro.cli(Arguments)
    for name, known in (("methods", SETTINGS), ("datasets", DATASETS)):
        for each in getattr(arguments, name):
            if each not in known:
                raise SystemExit(f"{name} are {', '.join(known)}; got {each!r}")
    RESULTS.mkdir(exist_ok=True)
    for dataset in arguments.datasets:
        for method in arguments.methods:
            path = RESULTS / f"{method}_{dataset}.json"
            if not arguments.again and is_measured(path, method):
                continue
            found = in_a_process(method, dataset)
            accuracy = f"{100 * found['mean']:.1f} ± {100 * found['deviation']:.1f}"
            print(f"{dataset}, {method}: {accuracy}", flush=True)
            path.write_text(json.dumps(found, indent=1) + "\n")
    draw(PICTURE, [json.loads(path.read_text()) for path in RESULTS.glob("*.json")], DATASETS)


def is_measured(path: Path, method: str) -> bool:
    """Whether there is a result, of the settings that there are now."""
    return path.exists() and json.loads(path.read_text())["settings"] == told(method)


def told(method: str) -> dict[str, Any]:
    """All that a result depends on, as JSON gives it back."""
    given: dict[str, Any] = {"images_per_class": IMAGES_PER_CLASS} | SETTINGS[method]
    if method not in NATURAL:
        given = asdict(make_settings(KINDS[method], given))
    found = {
        "method": given,
        "network": NETWORK.to_metadata(),
        "kernel": ARCHITECTURE,
        "training": asdict(TRAINING),
        "seeds": SEEDS,
    }
    return dict(json.loads(json.dumps(found)))


def in_a_process(method: str, dataset: str) -> dict[str, Any]:
    """What `measure` finds in a process of its own."""
    done = subprocess.run(
        [sys.executable, __file__, "measure", method, dataset],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def measure(method: str, dataset: str) -> dict[str, Any]:
    """One method on one data set.

    Returns:
        accuracies: on the test set, of each seed.
        seconds: of distilling, with compiling, validation and, for trajectories, experts; the test
            that ends a run is left out. Null for natural images, as is the next.
        peak: the most bytes that were resident in all of it beyond what was there before, with the
            images loaded.
    """
    data = kd.data.load(dataset)
    jax.block_until_ready(jax.numpy.zeros(1))  # the device is ready
    Path("/proc/self/clear_refs").write_text("5")
    before = resident("VmRSS")
    distilled, seconds = distil(method, data)
    peak = resident("VmHWM") - before
    trained = kd.transfer.transfer(
        NETWORK, distilled, data, settings=TRAINING, seeds=SEEDS, key=jax.random.key(1)
    )
    return {
        "method": method,
        "dataset": dataset,
        "images": len(distilled.images),
        "settings": told(method),
        "accuracies": trained.accuracies.tolist(),
        "mean": trained.mean,
        "deviation": trained.deviation,
        "training": asdict(trained.settings),
        "seconds": seconds,
        "peak": None if method in NATURAL else peak,
        "machine": {
            "processor": platform.processor() or platform.machine(),
            "cores": len(os.sched_getaffinity(0)),
            "jax": jax.__version__,
        },
    }


def distil(method: str, data: kd.data.Dataset) -> tuple[kd.Distilled, float | None]:
    """The set, and the seconds that it took to distil."""
    key = jax.random.key(0)
    budget: dict[str, Any] = {"images_per_class": IMAGES_PER_CLASS}
    if method in NATURAL:
        return kd.transfer.baseline(method, data, key=key, **budget), None
    given = budget | SETTINGS[method]
    if method in KERNELS:
        kernel = kd.kernels.named(ARCHITECTURE).kernel("ntk")
        result = KERNELS[method](kernel, data, key=key, **given)
        return result.distilled, result.seconds
    with tempfile.TemporaryDirectory() as folder:
        if method == "trajectory":  # its experts are trained anew
            given["expert_folder"] = folder
        result = kd.matching.distill(NETWORK, data, method=method, key=key, **given)
        return result.distilled, result.seconds


if __name__ == "__main__":
    if sys.argv[1:2] == ["measure"]:
        print(json.dumps(measure(*sys.argv[2:])))
    else:
        main()
