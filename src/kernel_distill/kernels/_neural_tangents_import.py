"""neural-tangents 0.6.5, imported on a JAX that it does not know; the only place that imports it.

Its last release fails on JAX 0.6 and later: it wants names that `jax.core`, `jax.util` and
`jax.interpreters.ad` have lost, and its sub-package `experimental` pulls TensorFlow in (6 s).
The names are lent to JAX while the import runs and taken back afterwards. What runs after that
are the kernels, `batch`, and the empirical kernels but for their structured derivatives
(`NtkImplementation.STRUCTURED_DERIVATIVES`), whose own internals JAX has since rewritten.
One function of neural-tangents is replaced for good: see `_convolved_covariance`.
"""

import functools
import importlib
import sys
import types
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kernel_distill.kernels._convolved_covariance import by_windows

# once public in jax.core
_CORE_NAMES = ("Jaxpr", "JaxprEqn", "Literal", "Primitive", "Var")


@functools.cache
def neural_tangents() -> types.ModuleType:
    """The package `neural_tangents`, imported when first asked for.

    Raises:
        ImportError: neural-tangents is not installed, or this JAX has moved names further
            than is known here.
    """
    import jax
    import jax._src.core
    import jax._src.util
    import jax.extend.core
    from jax.interpreters import ad

    core = {
        name: getattr(jax.extend.core, name, None) or getattr(jax._src.core, name)
        for name in _CORE_NAMES
    }
    util = types.ModuleType("jax.util")
    util.__dict__.update(safe_map=jax._src.util.safe_map, safe_zip=jax._src.util.safe_zip)
    attributes: list[tuple[Any, str, Any]] = [(jax.core, *item) for item in core.items()]
    # no program holds this primitive any more: neural-tangents only files rules under it
    attributes.append((ad, "zeros_like_p", core["Primitive"]("zeros_like")))
    experimental = "neural_tangents.experimental"
    modules = {"jax.util": util, experimental: types.ModuleType(experimental)}
    with _lent(attributes, modules), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # invalid escape sequences in its docstrings
        package = importlib.import_module("neural_tangents")
    linear = sys.modules["neural_tangents._src.stax.linear"]
    name = "_conv_kernel_full_spatial_shared"
    setattr(linear, name, by_windows(getattr(linear, name)))
    return package


@contextmanager
def _lent(
    attributes: list[tuple[Any, str, Any]], modules: dict[str, types.ModuleType]
) -> Iterator[None]:
    """Adds what is missing, and takes it away again; what is there already is left alone."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # raised by looking some names up
        missing = [item for item in attributes if not hasattr(item[0], item[1])]
    absent = {name: module for name, module in modules.items() if name not in sys.modules}
    for owner, name, value in missing:
        setattr(owner, name, value)
    sys.modules.update(absent)
    try:
        yield
    finally:
        for owner, name, _ in missing:
            delattr(owner, name)
        for name in absent:
            sys.modules.pop(name, None)
