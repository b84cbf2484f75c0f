"""Files that are there whole or not at all."""

import contextlib
import errno
import os
import secrets
from pathlib import Path

from kernel_distill._errors import StorageError

PathLike = str | os.PathLike[str]

_SUFFIX = ".writing"

_CAUSES = {
    errno.ENOSPC: "the disk is full; free some space there and try again",
    errno.EDQUOT: "the disk quota is used up; free some space there and try again",
    errno.EFBIG: "the file would be larger than is allowed here (`ulimit -f`, or the file system)",
    errno.EROFS: "the file system is read-only; choose another folder",
    errno.EACCES: "permission denied; choose a folder that you may write to",
    errno.EPERM: "permission denied; choose a folder that you may write to",
    errno.ENOTDIR: "a part of this path is a file, not a folder",
    errno.EISDIR: "this is a folder, not a file",
}


def storage_error(path: PathLike, error: OSError) -> StorageError:
    """The error a person reads when `path` could not be written because of `error`."""
    cause = _CAUSES.get(error.errno or 0, error.strerror or str(error))
    return StorageError(f"could not write {os.fspath(path)}: {cause}. Earlier files are whole.")


def write_atomically(path: PathLike, data: bytes) -> None:
    """Write `data` to `path` so that, whatever happens, it holds the old bytes or the new ones.

    The bytes go to a temporary file beside it, are forced to the disk, and take the name in one
    step; a process killed on the way leaves at most that temporary file, which
    `remove_unfinished` knows.

    Args:
        path: the file; folders above it are made.
        data: all of its content.

    Raises:
        StorageError: the disk is full, the folder cannot be written to, ...; an earlier file of
            that name is as it was, and no temporary file is left.
    """
    path = Path(path)
    # not tempfile.mkstemp: its files can be read by nobody else, and would stay so
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}{_SUFFIX}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise storage_error(path, error) from error
        raise
    _sync_folder(path.parent)


def remove_unfinished(folder: Path) -> None:
    """Remove the temporary files that killed processes left in `folder`.

    Only for the one process that writes there: it would take the files of another from under it.
    """
    for path in folder.glob(f".*{_SUFFIX}"):
        path.unlink(missing_ok=True)


def is_unfinished(path: Path) -> bool:
    """Whether `path` is named as the temporary files here are."""
    return path.name.startswith(".") and path.name.endswith(_SUFFIX)


def _sync_folder(folder: Path) -> None:
    # the new name itself survives a power cut; file systems that have no such call (some network
    # ones) are none the worse for it
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
