"""Files and folders that are there whole or not at all."""

import contextlib
import errno
import io
import os
import secrets
import shutil
from collections.abc import Iterator
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
    temporary = _beside(path)
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
    _sync(path.parent)


def append(path: PathLike, data: bytes) -> None:
    """Add `data` at the end of the file `path`, all of it or nothing.

    Args:
        path: the file; it and the folders above it are made.
        data: the bytes.

    Raises:
        StorageError: the disk is full, the folder cannot be written to, ...; the file is as it was.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "ab", buffering=0) as file:
            size = file.seek(0, io.SEEK_END)
            try:
                written = 0
                while written < len(data):  # a full disk takes a part first, then says so
                    written += file.write(data[written:])
            except OSError:
                file.truncate(size)
                raise
    except OSError as error:
        raise storage_error(path, error) from error


@contextlib.contextmanager
def folder_atomically(path: PathLike) -> Iterator[Path]:
    """A new folder to write to, which takes the name `path` when the block ends well.

    Where the block raises, nothing of it is left. What `path` was before is replaced as a whole,
    and is whole until then.

    Args:
        path: the folder; those above it are made. Of a link, where that leads.

    Yields:
        An empty folder beside it.

    Raises:
        StorageError: the disk is full, the folder cannot be written to, ...
    """
    path = Path(path).resolve()  # ".", too, has then a name, and another beside it
    temporary, before = _beside(path), _beside(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.mkdir()
        yield temporary
        for file in temporary.rglob("*"):
            _sync(file)
        if path.exists():  # a folder does not take the place of one with files in it
            os.rename(path, before)
        os.rename(temporary, path)
    except BaseException as error:
        if before.exists() and not path.exists():
            os.rename(before, path)
        shutil.rmtree(temporary, ignore_errors=True)
        if isinstance(error, OSError) and not isinstance(error, StorageError):
            raise storage_error(path, error) from error
        raise
    shutil.rmtree(before, ignore_errors=True)
    _sync(path.parent)


def remove_unfinished(folder: Path) -> None:
    """Remove the temporary files and folders that killed processes left in `folder`.

    Only for the one process that writes there: it would take the files of another from under it.
    """
    for path in folder.glob(f".*{_SUFFIX}"):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def is_unfinished(path: Path) -> bool:
    """Whether `path` is named as the temporary files here are."""
    return path.name.startswith(".") and path.name.endswith(_SUFFIX)


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}{_SUFFIX}")


def _sync(path: Path) -> None:
    # of a folder: a new name in it survives a power cut; file systems that have no such call (some
    # network ones) are none the worse for it
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
