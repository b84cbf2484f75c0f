"""Kernel blocks computed tile by tile, and by several devices."""

from kernel_distill.distributed._budget import tile_memory as tile_memory
from kernel_distill.distributed._mesh import on_mesh as on_mesh
from kernel_distill.distributed._tiled import tiled as tiled
from kernel_distill.distributed._timing import seconds as seconds
from kernel_distill.distributed._timing import time_pairs as time_pairs
