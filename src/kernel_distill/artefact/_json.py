"""Values to JSON and to a checksum, the same way for artefacts, checkpoints and logs."""

import hashlib
import json
import math
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from kernel_distill._errors import InputError


def plain(value: Any, *, where: str = "") -> Any:
    """`value` as JSON's own types: lists for tuples, Python's numbers for NumPy's, text for paths.

    Numbers that are not finite become None, since JSON has no word for them.

    Args:
        value: of dicts with string keys, sequences, numbers, texts, None, arrays.
        where: the path to `value`, for messages.

    Raises:
        InputError: something in it has no JSON form; the message says where.
    """
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, float):
        # float(): NumPy's float64 is one too
        return float(value) if math.isfinite(value) else None
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise InputError(
                    f"keys must be text to be stored as JSON; got {key!r} in {where or 'the top'}"
                )
        return {
            str(key): plain(item, where=f"{where}.{key}" if where else key)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [plain(item, where=f"{where}[{index}]") for index, item in enumerate(value)]
    if hasattr(value, "tolist"):  # NumPy's and JAX's scalars and arrays
        return plain(value.tolist(), where=where)
    raise InputError(
        "only dicts, lists, texts, numbers, booleans and None can be stored as JSON; got "
        f"{type(value).__name__} at {where or 'the top'}. Convert it, or leave it out."
    )


def text(value: Any) -> str:
    """One line of JSON for a `plain` value."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def sha256(arrays: Mapping[str, np.ndarray], metadata: str) -> str:
    """Checksum, in hex, of everything that counts: names, types, shapes, values and `metadata`."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.asarray(arrays[name], order="C")
        digest.update(f"{name}\0{array.dtype.str}\0{array.shape}\0".encode())
        digest.update(array.tobytes())
    digest.update(metadata.encode())
    return digest.hexdigest()
