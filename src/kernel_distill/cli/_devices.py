"""Where kernel blocks are computed: by which processes and devices, in how large tiles."""

import re
import sys
from dataclasses import dataclass
from typing import Literal

import jax
import numpy as np
from jax.sharding import Mesh

from kernel_distill import _hosts as hosts
from kernel_distill._errors import InputError
from kernel_distill.distributed import on_mesh, on_ray, tiled
from kernel_distill.kernels import ConvolutionalKernel, Kernel, mixture

_UNITS = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}


@dataclass(frozen=True)
class DeviceOptions:
    """Where kernel blocks are computed. With the same of these, a run gives the same bits (on a
    cluster, if --group is one of them)."""

    devices: Literal["all"] | int = "all"
    """How many of JAX's devices share them: GPUs, TPUs, or CPU cores. Of several processes, of
    each."""

    tile: str | None = None
    """ROWSxCOLUMNS: a device takes at most so many natural images and support images at a time."""

    memory: str | None = None
    """Instead of --tile: the memory that a tile may take on a device, such as 8GiB."""

    ray: str | None = None
    """In place of devices, the cores of a Ray cluster: auto (the one that this machine is a part
    of), HOST:PORT, or local (started here)."""

    group: int | None = None
    """With --ray: how many pairs of images a core takes at a time. Without it, as many as are
    measured to take a second as a run begins: it keeps to them, another run may not."""

    coordinator: str | None = None
    """For several processes, of one host or many, that do a run together, each started with the
    same options: HOST:PORT, where process 0 listens, or auto, which finds it and the two numbers
    below on SLURM and Cloud TPUs. The network between them must be a trusted one."""

    num_processes: int | None = None
    """With --coordinator HOST:PORT: how many there are."""

    process_id: int | None = None
    """With --coordinator HOST:PORT: which of them this is. Number 0 writes the run directory."""

    insecure: bool = False
    """Join a Ray cluster without a token: whoever reaches it can run code on it."""

    def __post_init__(self) -> None:
        if self.devices != "all" and self.devices < 1:
            raise InputError(f"devices must be all, or 1 or more; got {self.devices}")
        if self.tile is not None and self.memory is not None:
            raise InputError(
                "tile and memory say the same thing twice; "
                f"got {self.tile} and {self.memory}: give one of them"
            )
        if self.ray is not None and self.devices != "all":
            raise InputError(
                f"devices are those of this machine, and ray names a cluster; got {self.devices} "
                f"and {self.ray}: give one of them"
            )
        if self.insecure and self.ray is None:
            raise InputError("insecure is about a Ray cluster to join: give ray too")
        if self.group is not None and self.ray is None:
            raise InputError("group is about the cores of a Ray cluster: give ray too")
        self._block()
        self._bytes()
        self._check_processes()

    def _check_processes(self) -> None:
        numbers = (self.num_processes, self.process_id)
        if self.coordinator in (None, "auto"):
            if numbers != (None, None):
                raise InputError(
                    "num-processes and process-id go with a coordinator HOST:PORT (auto finds "
                    f"them); got {numbers[0]} and {numbers[1]} with {self.coordinator}"
                )
        elif not re.fullmatch(r"\S+:[1-9]\d*", self.coordinator):
            raise InputError(
                "coordinator must be HOST:PORT, such as 10.0.0.5:1234, or auto; got "
                f"{self.coordinator}"
            )
        elif self.num_processes is None or self.process_id is None:
            raise InputError(
                f"coordinator {self.coordinator} needs num-processes and process-id too; got "
                f"{numbers[0]} and {numbers[1]}: give both, or coordinator auto on SLURM and "
                "Cloud TPUs"
            )
        elif not 0 <= self.process_id < self.num_processes:
            raise InputError(
                "process-id must be 0 or more and less than num-processes; got "
                f"{self.process_id} of {self.num_processes}"
            )
        if self.coordinator is not None and self.ray is not None:
            raise InputError(
                "coordinator joins processes whose devices share the work, and ray names a "
                f"cluster that does it; got {self.coordinator} and {self.ray}: give one of them"
            )

    def join(self) -> None:
        """Joins the other processes, where there are any; before JAX computes anything.

        Raises:
            InputError: they do not come together.
        """
        if self.coordinator is not None:
            hosts.join(
                self.coordinator, num_processes=self.num_processes, process_id=self.process_id
            )
            # now, since JAX may leave no time to say so then
            print(
                f"process {jax.process_index()} of {jax.process_count()}, devices of its own: "
                f"{jax.local_device_count()}. Should one of them be lost, the others end within "
                f"{hosts.HEARTBEAT + 10} s; go on with --resume",
                file=sys.stderr,
                flush=True,
            )

    def place(self, kernel: Kernel) -> Kernel:
        """The kernel, in tiles where that is asked for, shared out over devices where it pays.

        The kernels of fully connected networks are matrix products, which XLA itself spreads over
        the cores of a CPU; neural-tangents' take gigabytes for every device.

        Raises:
            InputError: there are fewer devices; there is no such cluster, or no token for it.
            MissingExtraError: Ray is not installed.
        """
        if self.ray is not None:
            return on_ray(
                self._in_tiles(kernel), self.ray, insecure=self.insecure, group=self.group
            )
        if len(kernel.members) > 1 and jax.process_count() == 1:
            return mixture(*map(self.place, kernel.members))
        devices = self._devices(kernel)
        if len(devices) == 1:
            return self._in_tiles(kernel)
        hosts.connect(devices)
        mesh = Mesh(np.asarray(devices), ("rows",))
        # of several processes all members on the same devices: a state cannot move between meshes
        placed = [on_mesh(self._in_tiles(member), mesh) for member in kernel.members]
        return placed[0] if len(placed) == 1 else mixture(*placed)

    def _devices(self, kernel: Kernel) -> list[jax.Device]:
        """Those that share the blocks of a kernel: of every process the first ones."""
        chosen = []
        for process in range(jax.process_count()):
            own = [device for device in jax.devices() if device.process_index == process]
            count = len(own) if self.devices == "all" else self.devices
            if count > len(own):
                raise InputError(f"{count} devices were asked for; JAX has {len(own)}: {own}")
            pays = own[0].platform != "cpu" or any(
                isinstance(member, ConvolutionalKernel) for member in kernel.members
            )
            chosen += own[: count if pays else 1]
        return chosen

    def _in_tiles(self, kernel: Kernel) -> Kernel:
        if self.tile is None and self.memory is None:
            return kernel
        return tiled(kernel, block=self._block(), memory=self._bytes())

    def _block(self) -> tuple[int, int] | None:
        if self.tile is None:
            return None
        found = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)", self.tile)
        if found is None:
            raise InputError(f"tile must be ROWSxCOLUMNS, such as 50x250; got {self.tile}")
        return int(found[1]), int(found[2])

    def _bytes(self) -> int | None:
        if self.memory is None:
            return None
        found = re.fullmatch(r"(\d+(?:\.\d+)?) ?([KMGT]iB|B)", self.memory)
        if found is None or float(found[1]) <= 0:
            raise InputError(
                f"memory must be a number with its unit, such as 512MiB or 8GiB; got {self.memory}"
            )
        return int(float(found[1]) * _UNITS[found[2]])
