"""The distilled data set, in memory and as a file."""

import io
import json
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from kernel_distill._archive import check_archive
from kernel_distill._errors import DamagedFileError, InputError
from kernel_distill._files import PathLike, write_atomically
from kernel_distill.artefact import _json
from kernel_distill.artefact._form import misformed

FORMAT_VERSION = 1
FILE_NAME = "distilled.npz"


@dataclass(frozen=True, eq=False)
class Distilled:
    """A distilled data set with all that is needed to use it.

    Attributes:
        images: float32 [s, height, width, channel] (tables: [s, feature]), as the model takes
            them, that is preprocessed.
        labels: float32 [s, class]. Learned, or one-hot minus 1/C.
        metadata: what JSON can hold: data set, architecture, kernel, ridge, label convention,
            preprocessing, seed, step, metrics, package versions. Kept as JSON would give it
            back: tuples become lists, numbers that are not finite None. `format_version` is
            set where it is missing.

    Raises:
        InputError: the arrays are not float32, hold NaN or infinity, are empty, or differ in
            their number of rows; the metadata have no JSON form, or what is relied on in them has
            another type than it should.
    """

    images: Float[np.ndarray, "s *shape"]
    labels: Float[np.ndarray, "s class"]
    metadata: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_array("images", self.images, "[s, height, width, channel] or [s, feature]", (2, 4))
        _check_array("labels", self.labels, "[s, class]", (2,))
        if len(self.images) != len(self.labels):
            raise InputError(
                "images and labels must have the same number of rows; got "
                f"images.shape={self.images.shape}, labels.shape={self.labels.shape}"
            )
        if not isinstance(self.metadata, dict):
            raise InputError(f"metadata must be a dict; got {type(self.metadata).__name__}")
        metadata = {"format_version": FORMAT_VERSION, **self.metadata}
        object.__setattr__(self, "metadata", _json.plain(metadata))
        if wrong := misformed(self.metadata):
            raise InputError(f"{wrong}. Correct it, or leave it out.")

    def __len__(self) -> int:
        return len(self.images)

    def __repr__(self) -> str:
        return (
            f"Distilled(images: float32 {list(self.images.shape)}, "
            f"labels: float32 {list(self.labels.shape)}, metadata: {', '.join(self.metadata)})"
        )

    def save(self, path: PathLike) -> None:
        """Write it to `path`, an `.npz`, whole or not at all; equal content gives equal bytes.

        The file holds `images`, `labels`, `metadata` (one JSON string) and `sha256`, a checksum
        of the three; `numpy.load(path)` reads it, without pickles.

        Raises:
            StorageError: it could not be written; an earlier file of that name is whole.
        """
        write_atomically(path, self.to_bytes())

    @property
    def sha256(self) -> str:
        """Of all that is in it, metadata included; in hexadecimal digits."""
        arrays = {"images": self.images, "labels": self.labels}
        return _json.sha256(arrays, _json.text(self.metadata))

    def to_bytes(self) -> bytes:
        """The bytes of the file that `save` writes."""
        metadata = _json.text(self.metadata)
        buffer = io.BytesIO()
        # NumPy gives the members zip's oldest date, not the present one: the bytes are the same
        # whenever they are written
        np.savez(
            buffer,
            images=self.images,
            labels=self.labels,
            metadata=np.array(metadata),
            sha256=np.array(self.sha256),
        )
        return buffer.getvalue()


def load(path: PathLike) -> Distilled:
    """The distilled data set of a file that `Distilled.save` wrote, or of a run's folder.

    Nothing is ever unpickled.

    Args:
        path: the `.npz`, or the folder of a run (its `distilled.npz` is taken).

    Raises:
        InputError: there is no such file; it holds pickled objects; it is no distilled data set;
            it was written by a later version of this library; its arrays are packed, and larger
            than a distilled set is.
        DamagedFileError: the file is truncated or was altered.
    """
    path = Path(path)
    if path.is_dir():
        if not (path / FILE_NAME).is_file():
            raise InputError(
                f"{path} holds no {FILE_NAME}: it is not the folder of a run, or the run has not "
                "come to its first result yet (go on with --resume)"
            )
        path = path / FILE_NAME
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(
            f"cannot read {path}: {error.strerror}; give an .npz or a run's folder"
        ) from error
    check_archive(path, own=True)
    arrays = _read_arrays(path, data)
    missing = [name for name in ("images", "labels", "metadata") if name not in arrays]
    if missing:
        raise InputError(
            "a distilled data set is an .npz with the arrays images, labels and metadata (JSON); "
            f"{path} lacks {', '.join(missing)} and holds {', '.join(sorted(arrays)) or 'nothing'}."
            " To make one from plain arrays: Distilled(images, labels, metadata).save(path)"
        )
    metadata_text, metadata = _read_metadata(path, arrays["metadata"])
    version = metadata.get("format_version")
    if not isinstance(version, int) or version < 1:
        raise InputError(
            f"the metadata of {path} must have a format_version of 1 or more; got {version!r}: "
            "not a file of kernel-distill"
        )
    if version > FORMAT_VERSION:
        raise InputError(
            f"{path} has format version {version}; this kernel-distill reads up to "
            f"{FORMAT_VERSION}. Upgrade it: pip install --upgrade kernel-distill"
        )
    images, labels = arrays["images"], arrays["labels"]
    found = str(arrays.get("sha256", "none"))
    expected = _json.sha256({"images": images, "labels": labels}, metadata_text)
    if found != expected:
        raise DamagedFileError(
            f"{path} is damaged or was altered: its checksum is {found[:12]}, that of its content "
            f"{expected[:12]}. Restore it from a copy, or distil again."
        )
    return Distilled(images, labels, metadata)


def _read_arrays(path: Path, data: bytes) -> dict[str, np.ndarray]:
    if data[:1] == b"\x80":  # how a bare pickle begins
        raise _pickled(path)
    if data[:6] == b"\x93NUMPY":
        raise InputError(f"{path} is a single array (.npy); a distilled data set is an .npz")
    try:
        if not data.startswith(
            (b"PK\x03\x04", b"PK\x05\x06")
        ):  # for NumPy, whatever else it does not know is a pickle
            raise zipfile.BadZipFile("no zip file")
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except Exception as error:
        # with damaged bytes zipfile, zlib and NumPy's parser raise almost anything
        if "allow_pickle" in str(error):
            raise _pickled(path) from error
        raise DamagedFileError(
            f"{path} is truncated or damaged, or not an .npz ({len(data)} bytes; "
            f"{type(error).__name__}: {error}). Restore it from a copy, or distil again."
        ) from error


def _pickled(path: Path) -> InputError:
    return InputError(
        f"{path} holds pickled Python objects, which could run any code when loaded, and is "
        "refused. Save it again from where you trust it, with numeric arrays only."
    )


def _read_metadata(path: Path, array: np.ndarray) -> tuple[str, dict[str, Any]]:
    try:
        text = array.tobytes().decode() if array.dtype == np.uint8 else str(array.item())
        metadata = json.loads(text)
        if not isinstance(metadata, dict):
            raise TypeError(f"a JSON {type(metadata).__name__}")
    except (ValueError, TypeError) as error:
        raise InputError(
            f"metadata of {path} must be one JSON object in one string; got an array of "
            f"{array.dtype}, shape {array.shape} ({error})"
        ) from error
    return text, metadata


def _check_array(name: str, array: Any, shape: str, ranks: tuple[int, ...]) -> None:
    if not isinstance(array, np.ndarray) or array.dtype != np.float32:
        got = getattr(array, "dtype", type(array).__name__)
        kind = "an array" if isinstance(array, np.ndarray) else f"a {type(array).__name__}"
        raise InputError(
            f"{name} must be a float32 NumPy array; got {kind} of {got}. "
            f"Convert it: numpy.asarray({name}, dtype=numpy.float32)"
        )
    if array.ndim not in ranks or 0 in array.shape:
        raise InputError(f"{name} must be {shape}, not empty; got shape {array.shape}")
    if not np.isfinite(array).all():
        index = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
        raise InputError(
            f"{name} must be finite; got {array[index]} at index {index}: the distillation "
            "diverged there; take an earlier state, a lower learning rate or a larger ridge"
        )
