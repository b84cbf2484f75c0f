"""The errors that a user can act on: each says what was required, what was got, what to do."""

import difflib
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager


class KernelDistillError(Exception):
    """Base of this project's own errors; the command line prints them without a traceback."""


class InputError(KernelDistillError, ValueError):
    """An argument, a file or a data set is not what the function takes."""


class UnknownNameError(InputError):
    """A name (data set, architecture, optimiser, setting) is not known."""


class DamagedFileError(KernelDistillError):
    """A checkpoint or artefact is truncated or altered."""


class StorageError(KernelDistillError, OSError):
    """A file could not be written: the disk is full, or the folder is not writable."""


class NumericalError(KernelDistillError, FloatingPointError):
    """A solve or a loss is not finite."""


class MissingExtraError(KernelDistillError, ImportError):
    """Something was asked for that needs packages which are installed on demand only."""


class PoolError(KernelDistillError, RuntimeError):
    """The workers of a pool, or the other processes of a run, are gone, or one of them failed."""


@contextmanager
def saved_in(path: os.PathLike[str] | None) -> Iterator[None]:
    """Has a PoolError of the block say where the run is that can go on; None: there is none."""
    try:
        yield
    except PoolError as error:
        if path is None:
            raise
        saved = f"The state of the run is saved in {path}: go on from there with --resume."
        raise PoolError(f"{error} {saved}") from error


def unknown_name(what: str, name: str, known: Iterable[str], *, hint: str = "") -> UnknownNameError:
    """The error for a `name` that is none of the `known`, with the nearest ones.

    Args:
        what: what the name stands for, as a person would say it ("data set", "setting of kip").
        name: what was got.
        known: every name that would have been taken.
        hint: a further way out, appended as a sentence of its own.
    """
    known = sorted(known)
    nearest = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    if nearest:
        remedy = f"did you mean {' or '.join(repr(match) for match in nearest)}?"
    else:
        remedy = f"known: {', '.join(known)}." if len(known) <= 30 else f"{len(known)} are known."
    return UnknownNameError(f"unknown {what} {name!r}: {remedy}{' ' + hint if hint else ''}")
