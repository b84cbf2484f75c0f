"""One of two processes: what it finds on a mesh of both goes into a file."""

import sys

import jax
import jax.numpy as jnp
import numpy as np

from kernel_distill import _hosts as hosts
from kernel_distill import distributed, kernels
from kernel_distill._errors import InputError, PoolError


def main(coordinator: str, process: int, file: str) -> None:
    hosts.join(coordinator, num_processes=2, process_id=process)
    devices = jax.devices()
    hosts.connect(devices)
    found = {"devices": np.asarray([device.process_index for device in devices])}
    found["agreed"] = np.asarray([hosts.agreed(15 * process or None), hosts.agreed(None) is None])
    sent = np.arange(1000) * (1 - process)
    found["sent"] = np.frombuffer(hosts.from_first(sent.tobytes()), sent.dtype)
    found["nothing"] = np.frombuffer(hosts.from_first(b""), np.uint8)
    assert (hosts.by_first(lambda: "made") == "made") == (process == 0)
    with np.testing.assert_raises_regex(PoolError if process else InputError, "no such folder"):
        hosts.by_first(no_such_folder)
    hosts.check_same({"steps": 3})
    with np.testing.assert_raises_regex(
        InputError, "seed=0 there, 1 here" if process else "not in another process"
    ):
        hosts.check_same({"steps": 3, "seed": process})
    for name, kernel in (
        ("fc", kernels.FullyConnected(depth=1).kernel()),
        ("convnet", kernels.ConvNet(depth=1, prepend=False).kernel()),
    ):
        shared = distributed.on_mesh(kernel)
        for sizes in ((5, 3), (2, 7)):
            results = jax.jit(value_and_gradients)(shared, *map(images, sizes))
            for part, result in zip(("block", "own", "bar1", "bar2"), results, strict=True):
                found[f"{name} {sizes} {part}"] = np.asarray(result)
    np.savez(file, **found)


def no_such_folder() -> None:
    raise InputError("no such folder")


def images(n: int) -> jax.Array:
    return jnp.asarray(np.random.default_rng(n).normal(size=(n, 4, 4, 2)), jnp.float32)


def value_and_gradients(kernel: kernels.Kernel, x1: jax.Array, x2: jax.Array) -> tuple:
    """The block of two sets, the kernel of the second, and a gradient through both."""

    def weighted(x1: jax.Array, x2: jax.Array) -> tuple:
        block, own = kernel(x1, x2), kernel(x2)
        return jnp.sin(block).sum() + jnp.cos(own).sum(), (block, own)

    gradient = jax.grad(weighted, argnums=(0, 1), has_aux=True)
    bars, blocks = gradient(x1, x2)
    return kernel.whole((*blocks, *bars))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
