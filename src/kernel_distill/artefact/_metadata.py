"""Where a result came from: versions and devices."""

import os
import platform
from collections import Counter

PACKAGES = (
    "kernel-distill",
    "jax",
    "jaxlib",
    "numpy",
    "scipy",
    "neural-tangents",
    "optax",
    "flax",
    "tensorflow-datasets",
    "scikit-learn",
    "safetensors",
)
"""This library and what it stands on, as pip calls them."""


def package_versions() -> dict[str, str]:
    """The versions of Python, this library and what it stands on, by import-like names.

    Nothing is imported for it; packages that are not installed are left out.
    """
    from importlib.metadata import PackageNotFoundError, version

    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package.replace("-", "_")] = version(package)
        except PackageNotFoundError:
            continue
    return versions


def device_description() -> str:
    """The devices that JAX computes on, for people: "2 x NVIDIA H200", "cpu (x86_64, 2 cores)"."""
    import jax

    kinds = Counter(device.device_kind for device in jax.devices())
    text = ", ".join(kind if count == 1 else f"{count} x {kind}" for kind, count in kinds.items())
    if jax.default_backend() == "cpu":
        # JAX's name for a processor tells nothing, and its number of devices is a setting
        text = f"cpu ({platform.machine()}, {os.cpu_count()} cores)"
    return text
