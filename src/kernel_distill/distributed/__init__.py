"""Kernel blocks computed tile by tile, by several devices, and by the workers of a cluster."""

from kernel_distill.distributed._budget import tile_memory as tile_memory
from kernel_distill.distributed._mesh import on_mesh as on_mesh
from kernel_distill.distributed._ray import on_ray as on_ray
from kernel_distill.distributed._tiled import tiled as tiled
from kernel_distill.distributed._timing import seconds as seconds
from kernel_distill.distributed._timing import time_pairs as time_pairs
from kernel_distill.kernels import Rows as Rows
