"""Kernel blocks of this project beside the same blocks of neural-tangents.

    python benchmarks/kernels.py

measures, in one process and one run, the time of a pair of images, forward and forward with vjp in
both arguments, with the best of the block sizes that each side is tried on; in a process of its own
the peak memory of a block with gradient; and the error that float32 kernels leave in a ridge
prediction. Writes benchmarks/kernels.json and benchmarks/kernels.md. Takes about half an hour on
two cores, nearly all of it neural-tangents' and float64's.
"""

import contextlib
import dataclasses
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
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
OURS, RELEASED, MENDED = "ours", "neural-tangents", "neural-tangents, sums mended"
BLOCKS = {OURS: ((8, 32), (16, 64)), RELEASED: ((4, 4), (8, 8)), MENDED: ((4, 4), (8, 8))}
IMPLEMENTATIONS = {OURS: "exact", RELEASED: "neural_tangents", MENDED: "neural_tangents"}


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Measures kernels."""

    repeats: int = 3
    """Of each measurement, two where they take long; the median counts."""


def main() -> None:
    arguments = tyro.cli(Arguments)
    jax.config.update("jax_num_cpu_devices", len(os.sched_getaffinity(0)))
    jax.config.update("jax_enable_x64", True)
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
        "ridge_error": {name: ridge_error(name) for name in ("mnist", "cifar10")},
    }
    (FOLDER / "kernels.json").write_text(json.dumps(report, indent=1) + "\n")
    (FOLDER / "kernels.md").write_text(markdown(report))
    print(markdown(report))


def seconds(compute: Callable[[], Any], repeats: int) -> float:
    """Median time of a computation that has run before; of two repeats where they take long."""
    jax.block_until_ready(compute())
    times: list[float] = []
    while len(times) < min(repeats, 2) or (len(times) < repeats and sum(times) < 10):
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
    result: dict[str, Any] = {"name": name, "megaflop": megaflop(architecture, shape)}
    for side, blocks in BLOCKS.items():
        kernel = kd.kernels.named(architecture).kernel("ntk", implementation=IMPLEMENTATIONS[side])
        for shared in (False, True):
            for direction, program in programs(on_mesh(kernel) if shared else kernel).items():
                tried = result.setdefault(f"{side}, {direction}", {})
                # shared out, neural-tangents takes long, and is tried on the first size alone
                for n1, n2 in blocks if side == OURS or not shared else blocks[:1]:
                    x1, x2 = images(n1, shape, 0), images(n2, shape, 1)
                    with as_released() if side == RELEASED else contextlib.nullcontext():
                        begin = time.perf_counter()
                        compiled = program.lower(x1, x2).compile()
                        compiling = time.perf_counter() - begin
                    each = seconds(lambda c=compiled, a=x1, b=x2: c(a, b), repeats) / (n1 * n2)
                    block = f"{n1}x{n2}" + " on a mesh" * shared
                    tried[block] = {"ms_a_pair": 1e3 * each, "compile_s": compiling}
                    print(f"{name}, {side}, {direction}, {block}: {1e3 * each:.2f} ms", flush=True)
    return result


@contextlib.contextmanager
def as_released() -> Iterator[None]:
    """neural-tangents with its own sums over windows, in place of this project's."""
    kd.kernels.neural_tangents()
    linear = sys.modules["neural_tangents._src.stax.linear"]
    name = "_conv_kernel_full_spatial_shared"
    mended = getattr(linear, name)
    setattr(linear, name, mended.__wrapped__)
    jax.clear_caches()  # of what was traced with the others: equal kernels are not traced again
    try:
        yield
    finally:
        setattr(linear, name, mended)
        jax.clear_caches()


def best(tried: dict[str, dict[str, float]]) -> float:
    return min(block["ms_a_pair"] for block in tried.values())


# Operations on a pair of pixels: additions, products, divisions, roots and minima as `_arc_cosine`
# has them, those that it has twice counted once.
#
# A convolution with its activation: box of M 4 (sums of rows, then of columns), u 9 with the scale,
# M 24 (12 of them a polynomial), k0 17 (14 of them one), N and its product with k0 3. Where T of
# what is convolved is not zero, as it is at the first of all: its box, scaled and added.
CONVOLUTION, TANGENT = 4 + 9 + 24 + 17 + 3, 4 + 2
# Its adjoint: sine 3, T's part through the angle 4, M's cotangent 3, scaled, and its box 4, T's 1,
# those of both standard deviations 16, each summed. Where T is not zero: scaled, and its box.
ADJOINT, TANGENT_ADJOINT = 3 + 4 + 3 + 1 + 4 + 1 + 16 + 2, 1 + 4
# Pooling: a sum of M and one of T. What enters a later level: M less `within` of both sides, and
# back a sum for each. What enters the first, a channel: difference, square and sum, and back a
# product and two sums.
POOLING, ENTRY, CHANNEL = 2, 2, 3


def megaflop(architecture: str, shape: tuple[int, ...]) -> dict[str, float]:
    """What a pair of images takes at the least: by the pairs of pixels that are inside both.

    With vjp that is the value, and once more all that it is computed of, and the adjoint. What an
    image takes by itself is shared by all its pairs, and left out.
    """
    forward = adjoint = 0
    for number, level in enumerate(make_levels(kd.kernels.named(architecture).layers, shape[:2])):
        inside = [
            sum(size - abs(d) for d in range(-r, r + 1))
            for size, r in zip(level.size, level.radius, strict=True)
        ]
        pairs = inside[0] * inside[1]
        tangents = level.convolutions - (number == 0)
        entry = CHANNEL * shape[2] if number == 0 else ENTRY
        forward += pairs * (level.convolutions * CONVOLUTION + tangents * TANGENT + POOLING + entry)
        adjoint += pairs * (level.convolutions * ADJOINT + tangents * TANGENT_ADJOINT + entry)
    return {"forward": forward / 1e6, "forward and vjp": (2 * forward + adjoint) / 1e6}


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
from pathlib import Path
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
def resident(which):  # VmRSS: now; VmHWM: the most since it was forgotten
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(which)) / 1024
Path("/proc/self/clear_refs").write_text("5")
before = resident("VmRSS")
jax.block_until_ready(compiled(x1, x2))
print(resident("VmHWM") - before)
"""


def memory() -> float:
    """MiB that a 10 x 256 block with gradient takes at its peak beyond what was there before.

    The second process counts: it finds the program compiled. On Linux alone, which tells the peak
    since a moment.
    """
    with tempfile.TemporaryDirectory() as cache:
        settings = {
            "JAX_COMPILATION_CACHE_DIR": cache,
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        }
        for _ in range(2):
            done = subprocess.run(
                [sys.executable, "-c", _MEMORY],
                env=os.environ | settings,
                check=True,
                capture_output=True,
                text=True,
            )
    return float(done.stdout)


def ridge_error(dataset: str) -> dict[str, float] | str:
    """What float32 kernels leave in the prediction on 64 images from 500, ridge 1e-6 tr/n.

    The solve is in float64 with both; the error is relative, in norm, to float64 kernels.
    """
    try:
        data = kd.data.load(dataset)
    except kd.KernelDistillError as error:
        return f"{dataset} is not here: {error}"
    kernel = on_mesh(kd.kernels.named("convnet").kernel("ntk"))
    support, labels = data.train.images[:500], data.train.labels[:500]
    centred = np.eye(10)[labels] - 0.1
    predictions = []
    for dtype in (jnp.float32, jnp.float64):
        x_s, x_t = jnp.asarray(support, dtype), jnp.asarray(data.test.images[:64], dtype)
        block = np.asarray(kernel(x_s), np.float64)
        ridge = kd.kernels.ridge_regression(block, centred, ridge=1e-6)
        predictions.append(np.asarray(ridge.predict(kernel(x_t, x_s))))
    error = np.linalg.norm(predictions[0] - predictions[1]) / np.linalg.norm(predictions[1])
    return {"relative_error": float(error), "condition": float(np.linalg.cond(block))}


def markdown(report: dict[str, Any]) -> str:
    machine = report["machine"]
    lines = [
        f"{machine['device']} ({machine['processor']}), JAX {machine['jax']}, "
        f"{machine['peak_gflops']:.0f} GFLOP/s in a product of matrices.",
        "",
        "| kernel | | neural-tangents as released, ms a pair | the same with its sums over "
        "windows mended, as here | ours | ratios | of the peak | compiling |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for case in report["convolutional"]:
        for direction in ("forward", "forward and vjp"):
            released, mended, ours = (
                best(case[f"{side}, {direction}"]) for side in (RELEASED, MENDED, OURS)
            )
            compiling = max(b["compile_s"] for b in case[f"{OURS}, {direction}"].values())
            share = case["megaflop"][direction] / ours / machine["peak_gflops"]
            lines.append(
                f"| {case['name']} | {direction} | {released:.0f} | {mended:.1f} | {ours:.2f} "
                f"| {released / ours:.0f}, {mended / ours:.0f} "
                f"| {share:.0%} | {compiling:.1f} s |"
            )
    dense = report["fully_connected"]
    lines += [
        "",
        f"Fully connected, one hidden layer, 500 x 5000 rows of 3072, forward and vjp: "
        f"{1e3 * dense['seconds']:.0f} ms, {dense['over_products']:.2f} times its three matrix "
        "products alone.",
        "",
        f"ConvNet, 10 x 256 images of 32x32x3 with gradient: {report['memory_mib']:.0f} MiB beyond "
        "the process before.",
        "",
        "Error of the ridge prediction on 64 images from 500, with float32 kernels in place of "
        "float64 ones (ridge 1e-6 tr/n, relative, in norm):",
        "",
    ]
    for name, error in report["ridge_error"].items():
        if isinstance(error, dict):
            figures = f"{error['relative_error']:.1e} (condition {error['condition']:.1e})"
            lines.append(f"- {name}: {figures}")
        else:
            lines.append(f"- {error}")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
