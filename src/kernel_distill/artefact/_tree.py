"""A tree of arrays (an optimiser's state, random keys) as named arrays, and back."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from kernel_distill._errors import InputError


def pack(tree: Any) -> dict[str, np.ndarray]:
    """The leaves of `tree` as NumPy arrays, by their paths in it.

    A path is what `jax.tree_util.keystr` gives, such as `[0].mu['images']`. A typed random key is
    stored as its data, and the name ends in its implementation: `['key']!threefry2x32`.

    Args:
        tree: any pytree of arrays, typed random keys and Python numbers.
    """
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {_name(path, leaf): _to_numpy(leaf) for path, leaf in leaves}


def unpack(template: Any, tensors: Mapping[str, np.ndarray]) -> Any:
    """The tree whose `pack` gave `tensors`, built like `template`, with every bit as it was.

    Args:
        template: a tree of the same structure, shapes and types, such as a freshly made
            optimiser state; its values do not matter. Leaves come back as what they are there:
            JAX arrays (float64 ones too, whether x64 is switched on or not), NumPy arrays, Python
            numbers or random keys.
        tensors: what `pack` gave.

    Raises:
        InputError: names, shapes or types differ from the template's, which means that the
            settings are not those of the run that wrote them.
    """
    leaves, structure = jax.tree_util.tree_flatten_with_path(template)
    names = [_name(path, leaf) for path, leaf in leaves]
    missing = sorted(set(names) - set(tensors))
    unexpected = sorted(set(tensors) - set(names))
    if missing or unexpected:
        raise InputError(
            "the stored state is not that of these settings: it must hold the same arrays; "
            f"missing: {', '.join(missing) or 'none'}; unexpected: "
            f"{', '.join(unexpected) or 'none'}. Go on with the settings that it was written with."
        )
    restored = [
        _restore(name, leaf, tensors[name]) for name, (_, leaf) in zip(names, leaves, strict=True)
    ]
    return jax.tree_util.tree_unflatten(structure, restored)


def _is_key(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _name(path: Any, leaf: Any) -> str:
    name = jax.tree_util.keystr(path)
    return f"{name}!{jax.random.key_impl(leaf)}" if _is_key(leaf) else name


def _to_numpy(leaf: Any) -> np.ndarray:
    return np.asarray(jax.random.key_data(leaf) if _is_key(leaf) else leaf)


def _restore(name: str, leaf: Any, value: np.ndarray) -> Any:
    expected = jax.random.key_data(leaf) if _is_key(leaf) else leaf
    if not hasattr(expected, "dtype"):
        expected = np.asarray(expected)
    if value.shape != expected.shape or value.dtype != expected.dtype:
        raise InputError(
            f"the stored state is not that of these settings: {name} must be {expected.dtype} "
            f"{list(expected.shape)}; got {value.dtype} {list(value.shape)}. Go on with the "
            "settings that it was written with."
        )
    if isinstance(leaf, bool | int | float | complex):
        return value.item()
    if isinstance(leaf, np.ndarray | np.generic):
        return value
    with jax.enable_x64(True):  # for 64 bits to arrive as they are; others are not touched by it
        array = jnp.asarray(value)
    if _is_key(leaf):
        return jax.random.wrap_key_data(array, impl=str(jax.random.key_impl(leaf)))
    return array
