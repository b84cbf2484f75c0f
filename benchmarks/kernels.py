"""Kernel blocks of this project beside the same blocks of neural-tangents.

    python benchmarks/kernels.py

measures, in one process on the same devices, the time of a pair of images, forward and forward
with vjp in both arguments, each side with the best of the block sizes it is tried on; and in
processes of their own the peak memory of a block with gradient. Writes benchmarks/kernels.json and
benchmarks/kernels.md.
"""

import dataclasses
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import tyro

import kernel_distill as kd
from kernel_distill.distributed import on_mesh
from kernel_distill.kernels import Kernel
from kernel_distill.kernels._levels import make_levels

FOLDER = Path(__file__).parent
CONVOLUTIONAL = {
    "ConvNet, 32x32x3": ("convnet", (32, 32, 3)),
    "ConvNet, 28x28x1": ("convnet", (28, 28, 1)),
    "ConvNet3, 32x32x3": ("convnet3", (32, 32, 3)),
}
BLOCKS = {"exact": ((8, 32), (16, 64)), "neural_tangents": ((2, 2), (4, 4), (8, 8))}


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Measures kernels."""

    repeats: int = 3
    """Of each measurement; the median counts."""


def main() -> None:
    arguments = tyro.cli(Arguments)
    jax.config.update("jax_num_cpu_devices", len(os.sched_getaffinity(0)))
    report: dict[str, Any] = {
        "machine": {
            "device": f"{jax.devices()[0].device_kind} x {jax.device_count()}",
            "processor": platform.processor() or platform.machine(),
            "jax": jax.__version__,
            "peak_gflops": peak_gflops(),
        },
        "convolutional": [
            convolutional(name, *case, repeats=arguments.repeats)
            for name, case in CONVOLUTIONAL.items()
        ],
        "fully_connected": fully_connected(repeats=arguments.repeats),
        "memory_mib": memory(),
    }
    (FOLDER / "kernels.json").write_text(json.dumps(report, indent=1) + "\n")
    (FOLDER / "kernels.md").write_text(markdown(report))
    print(markdown(report))


def seconds(compute: Callable[[], Any], repeats: int) -> float:
    """Median time of a computation that has run before."""
    jax.block_until_ready(compute())
    times = []
    for _ in range(repeats):
        begin = time.perf_counter()
        jax.block_until_ready(compute())
        times.append(time.perf_counter() - begin)
    return statistics.median(times)


def peak_gflops() -> float:
    """What a product of large matrices reaches in float32, on all cores."""
    x = jnp.ones((4096, 4096), jnp.float32)
    return 2 * 4096**3 / seconds(lambda: multiply(x, x), 5) / 1e9


multiply = jax.jit(jnp.matmul)


def images(n: int, shape: tuple[int, ...], seed: int) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).normal(size=(n, *shape)), jnp.float32)


def programs(kernel: Kernel) -> dict[str, Callable[..., Any]]:
    def forward(x1: jax.Array, x2: jax.Array) -> Any:
        return kernel.cross(x1, x2)

    def with_vjp(x1: jax.Array, x2: jax.Array) -> Any:
        block, pull = jax.vjp(kernel.cross, x1, x2)
        return block, pull(jnp.cos(block))

    return {"forward": jax.jit(forward), "forward and vjp": jax.jit(with_vjp)}


def convolutional(
    name: str, architecture: str, shape: tuple[int, ...], *, repeats: int
) -> dict[str, Any]:
    result: dict[str, Any] = {"name": name, "megaflop_forward": megaflop(architecture, shape)}
    for implementation, blocks in BLOCKS.items():
        kernel = kd.kernels.named(architecture).kernel("ntk", implementation=implementation)
        for direction, program in programs(on_mesh(kernel)).items():
            tried = {}
            for n1, n2 in blocks:
                x1, x2 = images(n1, shape, 0), images(n2, shape, 1)
                begin = time.perf_counter()
                compiled = program.lower(x1, x2).compile()
                compiling = time.perf_counter() - begin
                each = seconds(lambda c=compiled, a=x1, b=x2: c(a, b), repeats) / (n1 * n2)
                tried[f"{n1}x{n2}"] = {"ms_a_pair": 1e3 * each, "compile_s": compiling}
                print(
                    name, implementation, direction, f"{n1}x{n2}", tried[f"{n1}x{n2}"], flush=True
                )
            result[f"{implementation}, {direction}"] = tried
    return result


def best(tried: dict[str, dict[str, float]]) -> float:
    return min(block["ms_a_pair"] for block in tried.values())


def megaflop(architecture: str, shape: tuple[int, ...]) -> float:
    """What a pair takes at the least: pairs of pixels inside both images, additions and products.

    A layer takes 4 additions a box (sums of rows, then of columns), of M and of T, and 45 for the
    arc-cosine kernels; the input takes 3 a channel.
    """
    total = 0
    for number, level in enumerate(make_levels(kd.kernels.named(architecture).layers, shape[:2])):
        inside = [
            sum(size - abs(d) for d in range(-r, r + 1))
            for size, r in zip(level.size, level.radius, strict=True)
        ]
        pairs = inside[0] * inside[1]
        total += pairs * (level.convolutions * (2 * 4 + 45) + 2 + (number == 0) * 3 * shape[2])
    return total / 1e6


def fully_connected(*, repeats: int) -> dict[str, float]:
    """500 x 5000 rows of 3072: the kernel with its vjp, beside its three matrix products alone."""
    kernel = kd.kernels.named("fc1").kernel("ntk")
    x1, x2 = images(500, (3072,), 0), images(5000, (3072,), 1)
    with_vjp = programs(kernel)["forward and vjp"]

    @jax.jit
    def products(x1: jax.Array, x2: jax.Array, bar: jax.Array) -> Any:
        return x1 @ x2.T, bar @ x2, bar.T @ x1

    bar = images(500, (5000,), 2)
    ratios, times = [], []
    for _ in range(max(repeats, 7)):  # side by side: the machine's speed wanders
        alone = seconds(lambda: products(x1, x2, bar), 1)
        times.append(seconds(lambda: with_vjp(x1, x2), 1))
        ratios.append(times[-1] / alone)
    return {"seconds": statistics.median(times), "over_products": statistics.median(ratios)}


_MEMORY = """
import resource, sys
import jax, jax.numpy as jnp, numpy as np
import kernel_distill as kd
def images(n):
    return jnp.asarray(np.random.default_rng(n).normal(size=(n, 32, 32, 3)), jnp.float32)
x1, x2 = images(10), images(256)
kernel = kd.kernels.named("convnet").kernel("ntk")
def with_vjp(x1, x2):
    block, pull = jax.vjp(kernel.cross, x1, x2)
    return block, pull(jnp.cos(block))
compiled = jax.jit(with_vjp).lower(x1, x2).compile()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
jax.block_until_ready(compiled(x1, x2))
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""


def memory() -> float:
    """MiB that a 10 x 256 block with gradient adds to the peak of its process, once compiled."""
    done = subprocess.run(
        [sys.executable, "-c", _MEMORY], check=True, capture_output=True, text=True
    )
    return float(done.stdout)


def markdown(report: dict[str, Any]) -> str:
    machine = report["machine"]
    lines = [
        f"{machine['device']} ({machine['processor']}), JAX {machine['jax']}, "
        f"{machine['peak_gflops']:.0f} GFLOP/s in a product of matrices.",
        "",
        "| kernel | | neural-tangents, ms | ours, ms a pair | ratio | of the peak | compiling |",
        "|---|---|---|---|---|---|---|",
    ]
    for case in report["convolutional"]:
        for direction in ("forward", "forward and vjp"):
            theirs = best(case[f"neural_tangents, {direction}"])
            ours = best(case[f"exact, {direction}"])
            compiling = max(b["compile_s"] for b in case[f"exact, {direction}"].values())
            share = f"{case['megaflop_forward'] / ours / machine['peak_gflops']:.0%}"
            lines.append(
                f"| {case['name']} | {direction} | {theirs:.1f} | {ours:.2f} | {theirs / ours:.0f} "
                f"| {share if direction == 'forward' else ''} | {compiling:.1f} s |"
            )
    dense = report["fully_connected"]
    lines += [
        "",
        f"Fully connected, one hidden layer, 500 x 5000 rows of 3072, forward and vjp: "
        f"{1e3 * dense['seconds']:.0f} ms, {dense['over_products']:.2f} times its three matrix "
        "products alone.",
        "",
        f"ConvNet, 10 x 256 images of 32x32x3 with gradient: {report['memory_mib']:.0f} MiB.",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
