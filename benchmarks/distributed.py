"""Kernel blocks tile by tile, by two workers beside one, and by hundreds of simulated ones.

    python benchmarks/distributed.py

measures the memory of blocks with their gradient under `distributed.tiled`, each in a process of
its own; starts Ray nodes of a core each on loopback addresses, and measures the throughput of two
workers against one, what a pool adds to the time of its workers, and what its parts take; and
simulates pools of 1 to 512 workers from that. Wants an idle machine of two cores, about an hour.
Writes benchmarks/distributed.json and benchmarks/distributed.md, and pictures to docs/images.
"""

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import jax
import tyro
from distributed_pictures import draw_growth, draw_memory
from pool_growth import BATCH, CORES_A_NODE, SUPPORTS, Growth, growth, losses, reason
from ray_costs import measure_costs
from ray_nodes import Measured, block_step, ray_nodes, throughput
from simulated_pool import Costs, simulate
from tiled_memory import ROWS, TILE, block_memory

import kernel_distill as kd
from kernel_distill.distributed import on_ray

FOLDER = Path(__file__).parent
IMAGES = FOLDER.parent / "docs" / "images"
COLUMNS = {"tiled": (1000, 2000, 4000, 8000), "whole": (1000, 2000)}  # a block in one piece grows


@dataclass(frozen=True)
class Arguments:
    """Measures kernel blocks shared out over workers."""

    rows: int = 192
    """Natural images of the block."""

    columns: int = 64
    """Support images of the block."""

    repeats: int = 3
    """Of each measurement; the median counts."""

    network: float = 1.0
    """Gigabytes a second between the machines of the simulated pools: assumed, not measured."""


def main() -> None:
    arguments = tyro.cli(Arguments)
    memory = [block_memory(columns, form) for form in COLUMNS for columns in COLUMNS[form]]
    measured, costs = measure(arguments)
    one, two = measured
    check = {each.workers: expected(costs, each.workers, arguments) for each in measured}
    bandwidth = min(costs.bandwidth, 1e9 * arguments.network)
    kernel = kd.kernels.named("convnet").kernel()
    growths = [growth(kernel, replace(costs, bandwidth=bandwidth), support) for support in SUPPORTS]
    report: dict[str, Any] = {
        "machine": {
            "processor": platform.processor() or platform.machine(),
            "cores": len(os.sched_getaffinity(0)),
            "jax": jax.__version__,
        },
        "memory": memory,
        "block": [arguments.rows, arguments.columns],
        "ray": [asdict(each) for each in measured],
        "ratio": two.pairs_per_second / one.pairs_per_second,
        "simulated_pairs_per_second": check,
        "costs": asdict(costs),
        "simulated_bandwidth": bandwidth,
        "growth": [
            {"support": each.support, "steps": [asdict(step) for step in each.steps]}
            for each in growths
        ],
    }
    text = "\n".join(
        [
            f"{report['machine']['processor']}, {report['machine']['cores']} cores, "
            f"JAX {report['machine']['jax']}.",
            *memory_section(memory),
            *throughput_section(measured, check, arguments),
            *costs_section(costs, bandwidth),
            *growth_section(growths),
            "",
        ]
    )
    draw_memory(
        IMAGES / "tiled_memory.png",
        memory,
        f"Memory of a {ROWS} x n2 ConvNet kernel (16x16x3) with its gradient",
    )
    draw_growth(
        IMAGES / "pool_growth.png",
        growths,
        f"ConvNet, 32x32x3, {BATCH:,} natural images a step: a simulated pool",
    )
    (FOLDER / "distributed.json").write_text(json.dumps(report, indent=1) + "\n")
    (FOLDER / "distributed.md").write_text(text)
    print(text)


def measure(arguments: Arguments) -> tuple[list[Measured], Costs]:
    """One worker, what the parts of its pool take, and two."""
    size = {"rows": arguments.rows, "columns": arguments.columns, "repeats": arguments.repeats}
    convnet = kd.kernels.named("convnet").kernel()
    with ray_nodes() as add:
        add()
        kernel = on_ray(convnet)
        one = throughput(kernel, 1, **size)
        costs = measure_costs(convnet, repeats=arguments.repeats)
        add()
        return [one, throughput(kernel, 2, **size)], costs


def expected(costs: Costs, workers: int, arguments: Arguments) -> float:
    """Pairs a second of the block that is measured, as simulated."""
    kernel = kd.kernels.named("convnet").kernel()
    rows, columns = arguments.rows, arguments.columns
    step = simulate(lambda kernel: block_step(kernel, rows, columns), kernel, workers, costs)
    return rows * columns / step.seconds


def memory_section(memory: Sequence[dict[str, Any]]) -> list[str]:
    tile = memory[0]["tile"] / 2**20
    lines = [
        "",
        "## Memory",
        "",
        f"A block of {ROWS} x n2 images of 16x16x3 with its gradient in both, tiles of "
        f"{TILE[0]} x {TILE[1]}: MiB at its peak, beyond libraries, the compiled program and the "
        "images. The results are the block, its cotangent and the gradient. A tile with its "
        f"gradient takes {tile:.1f} MiB, by the compiler.",
        "",
        "| n2 | form | peak | results | excess | excess, in tiles | excess by the compiler |",
        "|---|---|---|---|---|---|---|",
    ]
    for each in memory:
        names = "peak", "results", "excess", "planned"
        peak, results, excess, planned = (each[name] / 2**20 for name in names)
        lines.append(
            f"| {each['columns']} | {each['form']} | {peak:.1f} | {results:.1f} | {excess:.1f} | "
            f"{excess / tile:.2f} | {planned:.1f} |"
        )
    return [*lines, "", "![Memory of blocks](../docs/images/tiled_memory.png)"]


def throughput_section(
    measured: Sequence[Measured], check: dict[int, float], arguments: Arguments
) -> list[str]:
    one, two = measured
    ratio = two.pairs_per_second / one.pairs_per_second
    return [
        "",
        "## Two workers",
        "",
        f"Of one core each. ConvNet, {arguments.rows} natural images of 32x32x3 with "
        f"{arguments.columns} support images, and the gradient in these.",
        "",
        "| Ray workers | seconds | pairs a second | as simulated | not spent computing |",
        "|---|---|---|---|---|",
        *(
            f"| {each.workers} | {each.seconds:.1f} | {each.pairs_per_second:.0f} | "
            f"{check[each.workers]:.0f} | {100 * each.overhead:.1f} % |"
            for each in measured
        ),
        "",
        f"Two workers against one: {ratio:.2f} times the throughput.",
    ]


def costs_section(costs: Costs, bandwidth: float) -> list[str]:
    milliseconds = {
        **{f"a worker: {name}, a pair of images": each for name, each in costs.pair.items()},
        "a worker, from one group to the next": costs.turnaround,
        "the driver, to start a group": costs.submit,
        "the driver, to take its result in": costs.collect,
        "the driver, to see which groups are done": costs.look,
        "and for each that is out": costs.look_each,
        "the driver, to list a node (once a second)": costs.list_node,
        "to a worker and back, besides": costs.latency,
    }
    return [
        "",
        "## What the parts of a pool take",
        "",
        "Measured with one worker, over loopback; what else the driver does (cutting cotangents, "
        "adding partial gradients, the solve) runs as it is in the simulation, and is timed there.",
        "",
        "| what | ms |",
        "|---|---|",
        *(f"| {what} | {1e3 * seconds:.4f} |" for what, seconds in milliseconds.items()),
        "",
        f"The object store takes {costs.put / 1e9:.1f} GB/s in, and gives "
        f"{costs.bandwidth / 1e9:.1f} GB/s from a worker to the driver. Simulated pools have "
        f"{bandwidth / 1e9:.1f} GB/s, each way, at the driver: no more than a network is assumed "
        "to have (`--network`).",
    ]


def growth_section(growths: Sequence[Growth]) -> list[str]:
    lines = [
        "",
        "## More workers",
        "",
        f"Simulated: a step of KIP with {BATCH:,} natural images of 32x32x3 and a ConvNet, "
        f"{CORES_A_NODE} workers a machine, all alike and none failing. Groups stay as large as a "
        "second's work.",
        "",
        "![Steps an hour against workers](../docs/images/pool_growth.png)",
        "",
        "| support images | workers | groups a step | steps an hour | of the ideal | driver busy |",
        "|---|---|---|---|---|---|",
    ]
    for each in growths:
        for step in each.steps:
            busy = (step.ledger.python + step.ledger.ray) / step.seconds
            lines.append(
                f"| {each.support} | {step.workers} | {step.ledger.jobs} | "
                f"{3600 / step.seconds:.4g} | {100 * step.ideal / step.seconds:.0f} % | "
                f"{100 * busy:.0f} % |"
            )
    lines += ["", "Where it saturates, and why:", ""]
    for each in growths:
        last, half = each.steps[-1], each.half
        begins = (
            f"half of the ideal is lost from {half.workers} workers on"
            if half
            else f"{100 * last.ideal / last.seconds:.0f} % of the ideal at {last.workers} workers"
        )
        seen = half or last
        lost = "; ".join(
            f"{why}: {seconds:.2f} s" for why, seconds in losses(seen).items() if seconds > 0.005
        )
        lines.append(
            f"- {each.support} support images: {begins}. There a step takes {seen.seconds:.2f} s "
            f"where its work is {seen.ideal:.2f} s. Most of what is lost: {reason(seen)}. All of "
            f"it: {lost}."
        )
    return lines


if __name__ == "__main__":
    main()
