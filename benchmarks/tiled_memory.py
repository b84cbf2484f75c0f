"""What a block of the ConvNet kernel with its gradient takes in memory, tile by tile and whole.

    python benchmarks/tiled_memory.py COLUMNS tiled|whole

measures one block, in this process, and prints it as JSON. On Linux alone, which tells the most
that a process has held since a moment.
"""

import ctypes
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import kernel_distill as kd
from kernel_distill.distributed import tile_memory, tiled

ROWS, SHAPE, TILE = 50, (16, 16, 3), (50, 250)
# memory that is freed goes back to the system at once: what is resident is what is in use
ENVIRONMENT = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "0"}


def block_memory(columns: int, form: str) -> dict[str, Any]:
    """What `measure` finds in a process of its own."""
    done = subprocess.run(
        [sys.executable, __file__, str(columns), form],
        env=os.environ | ENVIRONMENT,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return json.loads(done.stdout)


def measure(columns: int, form: str) -> dict[str, Any]:
    """Bytes of a block of `ROWS` x `columns` images with its gradient in both.

    Returns:
        tile: what a tile with its gradient takes, by the compiler.
        results: the block, its cotangent and the gradient.
        peak: the most that was resident beyond what was there before: libraries, the compiled
            program, the images.
        excess: of these what are no results.
        planned: the same by the compiler, of the whole program.
    """
    plain = kd.kernels.named("convnet").kernel("ntk")
    kernel = tiled(plain, block=TILE) if form == "tiled" else plain
    x1, x2 = (jnp.asarray(_images(n)) for n in (ROWS, columns))

    def with_vjp(x1: jax.Array, x2: jax.Array) -> Any:
        block, pull = jax.vjp(kernel.cross, x1, x2)
        return block, pull(jnp.cos(block))

    compiled = jax.jit(with_vjp).lower(x1, x2).compile()
    tile = tile_memory(plain, TILE, SHAPE, "float32")
    ctypes.CDLL("libc.so.6").malloc_trim(0)  # of what compiling took
    Path("/proc/self/clear_refs").write_text("5")
    before = resident("VmRSS")
    jax.block_until_ready(compiled(x1, x2))
    peak = resident("VmHWM") - before
    results = 2 * 4 * ROWS * columns + x1.nbytes + x2.nbytes
    plan = compiled.memory_analysis()
    planned = plan.temp_size_in_bytes + plan.output_size_in_bytes - results
    return {
        "columns": columns,
        "form": form,
        "tile": tile,
        "results": results,
        "peak": peak,
        "excess": peak - results,
        "planned": planned,
    }


def _images(n: int) -> np.ndarray:
    return np.random.default_rng(n).normal(size=(n, *SHAPE)).astype(np.float32)


def resident(which: str) -> int:
    """Bytes; VmRSS: now, VmHWM: the most since it was forgotten."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(which)) * 1024


if __name__ == "__main__":
    print(json.dumps(measure(int(sys.argv[1]), sys.argv[2])))
