"""Checkpoints: whole or not at all, checked when read, few of them kept."""

import contextlib
import json
import os
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kernel_distill._errors import DamagedFileError, InputError
from kernel_distill._files import PathLike, remove_unfinished, write_atomically
from kernel_distill.artefact import _json

FORMAT_VERSION = 1
_NAME = re.compile(r"step_(\d{8,})\.safetensors")
# what safetensors writes and reads back through NumPy
_TYPES = "bool int8 uint8 int16 uint16 int32 uint32 int64 uint64 float16 float32 float64 complex64"


class DamagedCheckpointWarning(UserWarning):
    """A checkpoint is truncated or altered, and was set aside."""


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """The state of a run after `step` steps: arrays by name, and what JSON can hold."""

    step: int
    tensors: dict[str, np.ndarray]
    metadata: dict[str, Any]

    def to_bytes(self) -> bytes:
        """What `from_bytes` takes."""
        return _encode(self.step, self.tensors, self.metadata, keep=False)

    @classmethod
    def from_bytes(cls, data: bytes) -> "Checkpoint":
        """The checkpoint whose `to_bytes` gave `data`, with every bit as it was.

        Raises:
            DamagedFileError: `data` is not that.
        """
        found = _decode(data)
        if found is None:
            raise DamagedFileError(f"these are not the bytes of a checkpoint ({len(data)} of them)")
        return found[0]


class Checkpoints:
    """The checkpoints of one run, files `step_00000800.safetensors` in `folder`.

    One process writes, others may read.
    """

    def __init__(self, folder: PathLike) -> None:
        self.folder = Path(folder)
        self._written = False

    def save(
        self,
        step: int,
        tensors: Mapping[str, np.ndarray],
        metadata: Mapping[str, Any],
        *,
        keep: bool,
    ) -> None:
        """Write the state after `step` steps, safely on the disk when this returns.

        Once it is there, older checkpoints that were saved with `keep=False` go, all but the one
        before this one, which stands in should this one be damaged.

        Args:
            step: number of steps done, 0 or more.
            tensors: arrays of numbers or booleans (`pack` makes them from a tree).
            metadata: what JSON can hold; infinities and NaN come back as they are.
            keep: for good (the log-spaced ones), or only until later ones are there.

        Raises:
            InputError: the step is negative, an array has a type that cannot be stored, or
                something in the metadata has no JSON form.
            StorageError: it could not be written; the earlier checkpoints are whole.
        """
        if step < 0:
            raise InputError(f"step must be 0 or more; got {step}")
        if not self._written:
            remove_unfinished(self.folder)
            self._written = True
        path = self._path(step)
        # the same step may come by both ways: what was to be kept stays
        keep = keep or self._is_kept(path)
        write_atomically(path, _encode(step, tensors, metadata, keep=keep))
        for old in self.steps()[:-2]:
            if not self._is_kept(self._path(old)):
                with contextlib.suppress(OSError):  # one too many does no harm
                    self._path(old).unlink(missing_ok=True)

    def steps(self) -> list[int]:
        """The steps of the checkpoints that are there, ascending; none of them is read."""
        if not self.folder.is_dir():
            return []
        matches = (_NAME.fullmatch(path.name) for path in self.folder.iterdir())
        return sorted(int(match[1]) for match in matches if match)

    def latest(self) -> Checkpoint | None:
        """The last whole checkpoint, None where there is none.

        A damaged one is renamed to `...safetensors.damaged`, with a `DamagedCheckpointWarning`
        that says which one and what is used in its place.

        Raises:
            InputError: the last one was written by a later version of this library.
        """
        for step in reversed(self.steps()):
            path = self._path(step)
            try:
                return self.read(step)
            except FileNotFoundError:
                continue  # the process that writes has just removed it
            except DamagedFileError as error:
                earlier = [other for other in self.steps() if other < step]
                instead = f"that of step {earlier[-1]}" if earlier else "none: there is no earlier"
                aside = path.with_name(path.name + ".damaged")
                with contextlib.suppress(OSError):
                    os.replace(path, aside)
                warnings.warn(
                    f"{error} It was set aside as {aside.name}; used in its place: {instead}.",
                    DamagedCheckpointWarning,
                    stacklevel=2,
                )
        return None

    def read(self, step: int) -> Checkpoint:
        """The checkpoint of `step`, checked.

        Raises:
            FileNotFoundError: there is none.
            DamagedFileError: it is truncated or altered.
            InputError: it was written by a later version of this library.
        """
        path = self._path(step)
        data = path.read_bytes()
        found = _decode(data)
        if found is None or found[0].step != step:  # of another step: it was renamed
            raise DamagedFileError(
                f"the checkpoint {path} is truncated or was altered ({len(data)} bytes; its "
                "checksum does not hold)."
            )
        checkpoint, version = found
        if version > FORMAT_VERSION:
            raise InputError(
                f"{path} has format version {version}; this kernel-distill reads up to "
                f"{FORMAT_VERSION}. Upgrade it: pip install --upgrade kernel-distill"
            )
        return checkpoint

    def _path(self, step: int) -> Path:
        return self.folder / f"step_{step:08d}.safetensors"

    def _is_kept(self, path: Path) -> bool:
        """Whether the file says so itself; only its header is read."""
        try:
            with open(path, "rb") as file:
                size = int.from_bytes(file.read(8), "little")
                header = file.read(min(size, os.fstat(file.fileno()).st_size))
        except OSError:
            return False
        try:
            return bool(json.loads(_header(size.to_bytes(8, "little") + header)["state"])["keep"])
        except (ValueError, KeyError, TypeError):
            return False


def _encode(
    step: int, tensors: Mapping[str, np.ndarray], metadata: Mapping[str, Any], *, keep: bool
) -> bytes:
    from safetensors.numpy import save

    arrays = {}
    for name, tensor in tensors.items():
        array = np.asarray(tensor)
        if array.dtype.name not in _TYPES.split():
            raise InputError(
                f"checkpoints hold arrays of {_TYPES.replace(' ', ', ')}; got {array.dtype} for "
                f"{name!r}"
            )
        arrays[name] = np.asarray(array, dtype=array.dtype.newbyteorder("<"), order="C")
    try:
        # unlike in artefacts, infinities go through: a state comes back as it was
        state = json.dumps(
            {
                "format_version": FORMAT_VERSION,
                "step": step,
                "keep": keep,
                "metadata": dict(metadata),
            },
            default=_json.plain,
        )
    except (TypeError, ValueError) as error:
        raise InputError(f"checkpoint metadata must have a JSON form: {error}") from error
    header = {
        "format": "kernel-distill checkpoint",
        "state": state,
        "sha256": _json.sha256(arrays, state),
    }
    return save(arrays, metadata=header)


def _decode(data: bytes) -> tuple[Checkpoint, int] | None:
    """What `_encode` made `data` of, and the version of its format; None: it did not."""
    header = _header(data)
    try:
        from safetensors.numpy import load

        # copies, which unlike views of the file's bytes can be written to
        tensors = {name: array.copy() for name, array in load(data).items()}
        if header["sha256"] != _json.sha256(tensors, header["state"]):
            return None
        state = json.loads(header["state"])
        return Checkpoint(state["step"], tensors, state.get("metadata", {})), state[
            "format_version"
        ]
    except Exception:
        # with damaged bytes the parsers raise almost anything
        return None


def _header(data: bytes) -> dict[str, str]:
    """The texts in the header of a safetensors file; none where there is no header to be read."""
    try:
        size = int.from_bytes(data[:8], "little")
        header = json.loads(data[8 : 8 + size])["__metadata__"]
        return {str(name): str(value) for name, value in header.items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}
