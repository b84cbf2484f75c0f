"""Kernel blocks computed by several devices."""

from kernel_distill.distributed._mesh import on_mesh as on_mesh
