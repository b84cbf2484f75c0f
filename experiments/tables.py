"""Writes the tables of figures in README.md and docs/methods.md from what was measured
(`make tables`)."""

import json
import statistics
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from kernel_distill.artefact import read_config

FOLDER = Path(__file__).parent
RESULTS = FOLDER / "results"
MEASURED = FOLDER.parent / "benchmarks" / "methods"
README = FOLDER.parent / "README.md"
METHODS = FOLDER.parent / "docs" / "methods.md"
BEGIN, END = "<!-- {}: made by `make tables` -->\n", "<!-- {} end -->\n"

# experiment, what a person reads, the published figure (Nguyen et al. 2021, or their notebook)
ROWS = (
    ("cifar10_fc1_notebook", "KIP, CIFAR-10, 10 a class, labels fixed, 300 steps", "46.74"),
    ("cifar10_fc1_label_solve", "Label Solve, CIFAR-10, 50 a class", "46.99"),
    ("mnist_fc_1", "KIP, MNIST, 1 a class", "85.5"),
    ("mnist_fc_10", "KIP, MNIST, 10 a class", "97.2"),
    ("mnist_fc_50", "KIP, MNIST, 50 a class", "98.4"),
    ("cifar10_fc_1", "KIP, CIFAR-10, 1 a class", "40.5"),
    ("cifar10_fc_10", "KIP, CIFAR-10, 10 a class", "53.1"),
    ("cifar10_fc_50", "KIP, CIFAR-10, 50 a class", "58.6"),
    ("mnist_convnet_1", "KIP, ConvNet, MNIST, 1 a class", "97.3"),
    ("mnist_convnet_herded_1", "KIP, ConvNet, herded, 120 steps, MNIST, 1 a class", "97.3"),
    ("mnist_convnet_herded_10", "KIP, ConvNet3, herded, 16 steps, MNIST, 10 a class", "99.1"),
    ("mnist_convnet_label_solve_10", "Label Solve, ConvNet, MNIST, 1 a class", "73.4"),
    ("cifar10_convnet_label_solve_10", "Label Solve, ConvNet, CIFAR-10, 1 a class", "26.1"),
    ("cifar10_convnet_label_solve_100", "Label Solve, ConvNet, CIFAR-10, 10 a class", "53.6"),
)

# experiment, what is distilled, what it is compared with, the published figure of width 1024
TRANSFERS = (
    ("mnist_10", "KIP, ConvNet, herded start, MNIST, 1 a class", "random", "90.1"),
    ("mnist_100", "KIP, ConvNet3, herded start, MNIST, 10 a class", "random", "97.5"),
    ("cifar10_label_solve_500", "Label Solve, CIFAR-10, 50 a class", "one-hot", ""),
)

# experiment, what a person reads, the published figure (Wang et al. 2018; Sucholutsky & Schonlau
# for learned labels; DC, DSA, DM and FRePo by their authors)
MATCHED = (
    ("mnist_unrolled_fixed", "unrolled, fixed initialisation, one step of 10", "93.8"),
    ("mnist_unrolled_fixed_100", "the same, 10 steps of 10, 3 epochs", "96.6"),
    ("mnist_unrolled_random_100", "the same, random initialisation", "79.5 ± 8.1"),
    ("mnist_unrolled_soft", "fixed initialisation, learned labels, 10 images", "96.1"),
    ("mnist_dc_1", "DC, 1 a class", "91.7"),
    ("mnist_dc_10", "DC, 10 a class", "97.4"),
    ("mnist_dsa_1", "DSA, 1 a class", "88.7"),
    ("mnist_dsa_10", "DSA, 10 a class", "97.8"),
    ("mnist_dm_10", "DM, 10 a class", "97.3"),
    ("mnist_trajectory_1", "trajectories, 1 a class", ""),
    ("mnist_trajectory_10", "trajectories, 10 a class", ""),
    ("mnist_features_1", "feature regression, 1 a class", "93.0"),
    ("mnist_features_10", "feature regression, 10 a class", "98.6"),
)


# experiment, what a person reads, the published figure (Wang et al. 2018)
ADAPTED = (
    ("mnist_usps", "MNIST to USPS", "97.9"),
    ("mnist_usps_steps", "the same, ten steps of ten images, three epochs", ""),
    ("mnist_usps_both", "one step, distilled from as many of MNIST too", ""),
    ("mnist_usps_augmented", "one step, augmented at home too", ""),
    ("usps_mnist", "USPS to MNIST", ""),
)


# method of benchmarks/methods.py, what a person reads
COMPARED = {
    "random": "random natural images",
    "herding": "herded natural images",
    "label-solve": "Label Solve",
    "kip": "KIP",
    "unrolled": "unrolled training",
    "gradient": "gradient matching (DSA)",
    "trajectory": "trajectory matching",
    "distribution": "distribution matching (DM)",
    "features": "feature regression",
}


def main() -> None:
    for path, text in pages().items():
        path.write_text(text)


def pages() -> dict[Path, str]:
    """The files with tables, and what is to stand in each."""
    readme = {"figures": table(), "transfers": transfers(), "matched": matched()}
    methods = {"adapted": adapted(), "moons": moons()}
    return {
        README: filled(README.read_text(), readme | {"compared": compared()}),
        METHODS: filled(METHODS.read_text(), methods | {"compared": compared()}),
    }


def filled(text: str, tables: dict[str, str]) -> str:
    """The text with tables between the lines with their names."""
    for name, made in tables.items():
        begin, end = BEGIN.format(name), END.format(name)
        before, rest = text.split(begin)
        _, after = rest.split(end)
        text = before + begin + made + end + after
    return text


def transfers() -> str:
    """That of networks trained on distilled sets: a row for each set and network with a result."""
    rows = []
    for name, title, beside, published, told in results(TRANSFERS, RESULTS / "transfer"):
        found = told["trained"]
        for label in dict.fromkeys(each["label"] for each in found):
            of = {each["set"]: each for each in found if each["label"] == label}
            cells = (
                title,
                label,
                network_accuracy(of["distilled"]),
                f"{network_accuracy(of[beside])} ({beside})",
                published,
                f"`{name}`",
            )
            rows.append(cells)
    header = ("distilled", "network", "trained on it", "beside", "published", "experiment")
    return markdown(header, rows)


def matched() -> str:
    """That of methods with networks: a row for each experiment that has a result."""
    rows = []
    for name, title, published, found in results(MATCHED):
        runs, settings = found["runs"], found["settings"]
        cells = (
            title,
            " ".join(map(str, (*settings["network"], settings.get("width", "")))).strip(),
            accuracy(runs, "initial_test_accuracy"),
            accuracy(runs, "test_accuracy"),
            published,
            duration(statistics.mean(run["wall_seconds"] for run in runs)),
            f"`{name}`",
        )
        rows.append(cells)
    header = ("MNIST", "network", "before", "distilled", "published", "time", "experiment")
    return markdown(header, rows)


def compared() -> str:
    """All methods at an equal number of images; a group of columns a data set."""
    measured = [json.loads(path.read_text()) for path in MEASURED.glob("*.json")]
    if not measured:
        return ""
    found = {(each["method"], each["dataset"]): each for each in measured}
    known = {"mnist": "MNIST", "fashion_mnist": "Fashion-MNIST"}
    datasets = {name: title for name, title in known.items() if name in {of for _, of in found}}
    rows = [
        (title, *(cell for dataset in datasets for cell in measurement(found.get((name, dataset)))))
        for name, title in COMPARED.items()
        if name in {method for method, _ in found}
    ]
    header = (part for title in datasets.values() for part in (title, "seconds", "MiB"))
    return markdown(("one image a class", *header), rows)


def measurement(result: dict[str, Any] | None) -> tuple[str, str, str]:
    """Accuracy, seconds and memory of a method; natural images take neither."""
    if result is None:
        return "", "", ""
    if result["seconds"] is None:
        return network_accuracy(result), "", ""
    return (
        network_accuracy(result),
        f"{result['seconds']:.0f}",
        f"{result['peak'] / 2**20:.0f}",
    )


def adapted() -> str:
    """Networks that a step or more move to other data."""
    rows = []
    for name, title, published, found in results(ADAPTED, RESULTS / "adaptation"):
        before, after = found["before"], found["after"]
        cells = (
            title,
            *(
                f"{100 * known[part]:.2f}"
                for part in ("target", "source")
                for known in (before, after)
            ),
            published,
            duration(found["wall_seconds"]),
            f"`{name}`",
        )
        rows.append(cells)
    header = (
        "LeNet",
        "there, before",
        "there, after",
        "at home, before",
        "at home, after",
        "published",
        "time",
        "experiment",
    )
    return markdown(header, rows)


def moons() -> str:
    """Perceptrons on each other's sets."""
    path = RESULTS / "two_moons.json"
    if not path.exists():
        return ""
    rows = []
    for found in json.loads(path.read_text())["sets"]:
        learned = found["accuracies"]
        cells = ("diverges" if each is None else f"{100 * each:.1f}" for each in learned.values())
        rows.append((f"distilled for {found['set']}", *cells, duration(found["wall_seconds"])))
    return markdown(("two moons", *learned, "time"), rows)


def network_accuracy(result: dict[str, Any]) -> str:
    return f"{100 * result['mean']:.2f} ± {100 * result['deviation']:.2f}"


def table() -> str:
    """The table in markdown: a row for each experiment that has a result."""
    rows = []
    for name, title, published, found in results(ROWS):
        runs = found["runs"]
        cells = (
            title,
            accuracy(runs, "initial_test_accuracy"),
            accuracy(runs, "test_accuracy"),
            published,
            duration(statistics.mean(run["wall_seconds"] for run in runs)),
            f"`{name}`",
        )
        rows.append(cells)
    return markdown(("run", "before", "distilled", "published", "time", "experiment"), rows)


def results(
    experiments: Iterable[tuple[str, ...]], folder: Path = RESULTS
) -> Iterator[tuple[Any, ...]]:
    """Experiments that have a result in a folder, each with what was written down of it at the
    end."""
    for experiment in experiments:
        path = folder / f"{experiment[0]}.json"
        if path.exists():
            found = json.loads(path.read_text())
            settings = FOLDER / path.relative_to(RESULTS).with_suffix(".yaml")
            if found["settings"] != read_config(settings):
                raise SystemExit(f"{path} was measured with other settings than {settings}: again")
            yield *experiment, found


def markdown(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table."""
    lines = [f"| {' | '.join(header)} |", f"|{'---|' * len(header)}"]
    lines += [f"| {' | '.join(cells)} |" for cells in rows]
    return "\n".join(lines) + "\n"


def accuracy(runs: list[dict[str, Any]], figure: str) -> str:
    """Per cent; mean and standard deviation where there are several seeds, or the networks' of one.
    Networks learned nothing where the figure is null."""
    if any(run[figure] is None for run in runs):
        return "diverged"
    values = [100 * run[figure] for run in runs]
    if len(values) == 1:
        deviation = runs[0].get("test_deviation") if figure == "test_accuracy" else None
        return f"{values[0]:.2f}" + (f" ± {100 * deviation:.2f}" if deviation is not None else "")
    return f"{statistics.mean(values):.2f} ± {statistics.stdev(values):.2f} ({len(values)} seeds)"


def duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


if __name__ == "__main__":
    main()
