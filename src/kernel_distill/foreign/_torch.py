"""Files of DC, DSA and DM, and of what was built on them: tensors saved by torch."""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from kernel_distill._errors import DamagedFileError, InputError, MissingExtraError
from kernel_distill.foreign._held import Held, check_size, refuse_large

_LAYOUT = '{"data": [[images, labels], ...]}'


class _Nothing:
    """Stands in for what NumPy's numbers are made of: the accuracies in the file are not needed."""

    def __init__(self, *given: Any) -> None:
        del given

    def __setstate__(self, state: Any) -> None:
        del state


# torch takes nothing of NumPy's for safe, and so would refuse the authors' own files
_ALLOWED: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [
    (_Nothing, name)
    for name in (
        "numpy.core.multiarray.scalar",
        "numpy._core.multiarray.scalar",
        "numpy.dtype",
    )
]


def read_torch(path: Path, *, index: int) -> Held:
    """One of the sets in a file `{"data": [[images, labels], ...]}`.

    Only tensors, containers and numbers are unpickled, by torch's own restricted unpickler.

    Args:
        path: the file.
        index: which of the sets, from 0: the authors save one a repetition.

    Raises:
        MissingExtraError: torch is not installed.
        InputError: the file holds other objects, has another layout, no such set, or is larger
            than distilled sets are.
        DamagedFileError: it is truncated, altered, or no file of torch's.
    """
    check_size(path)
    try:
        import torch
    except ImportError as error:
        raise MissingExtraError(
            f"{path} needs torch to be read: pip install 'kernel-distill[torch]'"
        ) from error
    try:
        with torch.serialization.safe_globals(_ALLOWED):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        # torch's own message tells how to read it all the same, with code that it would run
        raise InputError(
            f"{path} holds objects other than tensors, lists, dicts and numbers, which could run "
            "code when read, and is refused. Save images and labels as tensors, as in "
            f"{_LAYOUT}, from where you trust it."
        ) from error
    except Exception as error:  # with damaged bytes the parsers raise almost anything
        raise DamagedFileError(
            f"{path} is no whole file of torch.save ({type(error).__name__}). Take another copy "
            "of it."
        ) from error
    sets = content.get("data") if isinstance(content, dict) else None
    if not isinstance(sets, list) or not sets:
        raise InputError(f"{path} must hold {_LAYOUT}, as DC, DSA and DM do; got {_kind(content)}.")
    if not 0 <= index < len(sets):
        raise InputError(
            f"{path} holds {len(sets)} sets, numbered from 0 to {len(sets) - 1}; got {index}."
        )
    pair = sets[index]
    if not isinstance(pair, list | tuple) or len(pair) < 2:
        raise InputError(
            f"{path} must hold {_LAYOUT}, as DC, DSA and DM do; got data[{index}], {_kind(pair)}."
        )
    images, labels = (_array(tensor, path) for tensor in pair[:2])
    return Held(images, labels, "a .pt of DC, DSA or DM", number=len(sets))


def _array(tensor: Any, path: Path) -> np.ndarray:
    import torch

    if not isinstance(tensor, torch.Tensor) or tensor.layout != torch.strided:
        raise InputError(
            f"images and labels of {path} must be dense tensors; got {type(tensor).__name__}. "
            "Save them as such."
        )
    # a view of one number may claim any shape
    refuse_large(tensor.numel() * tensor.element_size(), path)
    tensor = tensor.detach()
    return (tensor.float() if tensor.is_floating_point() else tensor).numpy()


def _kind(value: Any) -> str:
    if isinstance(value, dict):
        return f"a dict of {', '.join(map(repr, value)) or 'nothing'}"
    if isinstance(value, list | tuple):
        return f"a {type(value).__name__} of {len(value)}"
    return f"a {type(value).__name__}"
