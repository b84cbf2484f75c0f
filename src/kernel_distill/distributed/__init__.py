"""Kernel blocks computed tile by tile, and by several devices."""

from kernel_distill.distributed._mesh import on_mesh as on_mesh
from kernel_distill.distributed._tiled import tiled as tiled
