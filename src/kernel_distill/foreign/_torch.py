"""Tensors as torch saves them: read without running what a file may hold, and written."""

import io
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Shaped

from kernel_distill._archive import check_archive, refuse_large
from kernel_distill._errors import DamagedFileError, InputError, MissingExtraError

SUFFIXES = (".pt", ".pth")
PICKLE = "data.pkl"  # the member of its archives, by which they are known under any name


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


def import_torch(purpose: str) -> Any:
    """The module torch.

    Args:
        purpose: what needs it, the beginning of a message.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        import torch
    except ImportError as error:
        raise MissingExtraError(
            f"{purpose} torch, which is not installed: pip install 'kernel-distill[torch]'"
        ) from error
    return torch


def unpickled(path: Path, *, layout: str) -> Any:
    """What a file of torch.save holds: tensors, containers, texts and numbers.

    Nothing else is unpickled, by torch's own restricted unpickler.

    Args:
        path: the file.
        layout: how it should look, for messages.

    Raises:
        MissingExtraError: torch is not installed.
        InputError: the file holds other objects, or is larger than distilled sets are.
        DamagedFileError: it is truncated, altered, or no file of torch's.
    """
    check_archive(path)
    torch = import_torch(f"to be read, {path} needs")
    try:
        with torch.serialization.safe_globals(_ALLOWED):
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        # torch's own message tells how to read it all the same, with code that it would run
        raise InputError(
            f"{path} holds objects other than tensors, lists, dicts and numbers, which could run "
            f"code when read, and is refused. Save images and labels as tensors, as in {layout}, "
            "from where you trust it."
        ) from error
    except Exception as error:  # with damaged bytes the parsers raise almost anything
        raise DamagedFileError(
            f"{path} is no whole file of torch.save ({type(error).__name__}). Take another copy "
            "of it."
        ) from error


def pickled(value: Any) -> bytes:
    """The bytes of a file of torch.save; arrays in `value`, at any depth, become tensors.

    Args:
        value: arrays, texts, lists and dicts of such.
    """
    import torch

    def tensors(value: Any) -> Any:
        if isinstance(value, np.ndarray):
            return torch.from_numpy(value)
        if isinstance(value, dict):
            return {key: tensors(item) for key, item in value.items()}
        return [tensors(item) for item in value] if isinstance(value, list) else value

    buffer = io.BytesIO()
    torch.save(tensors(value), buffer)
    return buffer.getvalue()


def array_of(tensor: Any, path: Path) -> Shaped[np.ndarray, "..."]:
    """A tensor that a file held, as an array; floats as float32.

    Raises:
        InputError: it is none, or claims to be larger than distilled sets are.
    """
    import torch

    if (
        not isinstance(tensor, torch.Tensor)
        or tensor.layout != torch.strided
        or tensor.device.type != "cpu"  # "meta": numbers that are not there
        or tensor.is_nested
        or tensor.is_quantized
        or tensor.is_complex()
    ):
        got = type(tensor).__name__
        if isinstance(tensor, torch.Tensor):
            got += f" of {tensor.dtype}, {tensor.layout}, on {tensor.device}"
        raise InputError(
            f"images and labels of {path} must be dense tensors of real numbers; got {got}. Save "
            "them as such."
        )
    # a view of one number may claim any shape
    refuse_large(tensor.numel() * tensor.element_size(), path)
    tensor = tensor.detach()
    return (tensor.float() if tensor.is_floating_point() else tensor).numpy()
