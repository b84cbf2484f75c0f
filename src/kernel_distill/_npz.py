"""Opening an .npz that anybody may have made."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from kernel_distill._errors import DamagedFileError, InputError


@contextlib.contextmanager
def open_npz(path: Path, *, instead: str) -> Iterator[Any]:
    """What NumPy makes of the file, open within the block; nothing in it is unpickled.

    Args:
        path: the file.
        instead: what to do with a file that holds pickled objects.

    Raises:
        InputError: it holds pickled objects, or the block raises one.
        DamagedFileError: it is truncated, altered, or no .npz, as it is opened or as the block
            reads from it.
    """
    try:
        # opened here: NumPy leaves a damaged file open
        with path.open("rb") as file:
            # allow_pickle=False also where the file as a whole is a pickle
            yield np.load(file, allow_pickle=False)
    except InputError:
        raise
    except Exception as error:  # with damaged bytes the parsers raise almost anything
        if "pickle" in str(error):
            raise InputError(
                f"{path} holds pickled objects, which could run code when read, and is refused. "
                f"{instead}"
            ) from error
        raise DamagedFileError(
            f"{path} is no whole .npz file ({error}). Take another copy of it."
        ) from error
