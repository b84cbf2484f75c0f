"""From natural images to the model's and back."""

import hashlib
import io
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial, reduce
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Float32, Num

from kernel_distill._errors import DamagedFileError, InputError
from kernel_distill._files import write_atomically
from kernel_distill.data._settings import WHITENINGS
from kernel_distill.data._steps import Blocks, Standardise, Step, UnitNorm, Whiten

_BLOCK_BYTES = 2**26  # of float64: what apply and fit need besides their input and output


@dataclass(frozen=True, eq=False)
class Preprocessing:
    """How natural images become the model's; made by `data.load`, or from an artefact's metadata.

    Attributes:
        recipe: what the preprocessing follows from: the data set, its version and classes, the
            split, the settings. Two preprocessings are the same if their recipes are.
        image_shape: (height, width, channel), or (feature,) for tables.
        steps: applied in turn.
    """

    recipe: Mapping[str, Any]
    image_shape: tuple[int, ...]
    steps: tuple[Step, ...]

    @classmethod
    def fit(
        cls,
        images: Num[np.ndarray, "n *shape"],
        *,
        recipe: Mapping[str, Any],
        whitening: str | Path | None = None,
    ) -> "Preprocessing":
        """Fit on training images what `recipe["preprocessing"]` asks for, in float64.

        Args:
            images: natural ones: uint8, or floats taken as they are.
            recipe: with `preprocessing` ("standardise", "zca", "whiten" or "none") and, where it
                whitens, `zca_regularisation`.
            whitening: a file of `save_whitening` to take the matrix from, in place of fitting it.

        Raises:
            InputError, DamagedFileError: as `with_whitening`.
        """
        fitted = cls(dict(recipe), images.shape[1:], ())
        kinds: list[Callable[[Blocks], Step]] = []
        if recipe["preprocessing"] != "none":
            kinds += [Standardise.fit]
        if recipe["preprocessing"] == "zca":
            kinds += [UnitNorm.fit]
        if recipe["preprocessing"] in WHITENINGS:
            if whitening is None:
                kinds += [partial(Whiten.fit, regularisation=recipe["zca_regularisation"])]
            else:  # read first: a file that does not belong here is refused before the work
                known = replace(fitted, steps=(Whiten(None),)).with_whitening(whitening).steps[-1]
                kinds += [lambda blocks: known]
        for fit in kinds:
            step = fit(partial(fitted._blocks, images))
            fitted = replace(fitted, steps=(*fitted.steps, step))
        return fitted

    @property
    def name(self) -> str:
        """ "standardise", "zca", "whiten" or "none"."""
        return self.recipe["preprocessing"]

    @property
    def fingerprint(self) -> str:
        """The recipe's hash: 16 hexadecimal digits, the same on every machine."""
        return _fingerprint(self.recipe)

    @property
    def whitening(self) -> Float32[np.ndarray, "d d"] | None:
        """The whitening matrix, where there is one and it is known."""
        return next((step.matrix for step in self.steps if isinstance(step, Whiten)), None)

    @property
    def invertible(self) -> bool:
        """Whether `invert` can be called: nothing is whitened, or the matrix is known."""
        return self.name not in WHITENINGS or self.whitening is not None

    def apply(self, images: Num[np.ndarray, "n *shape"]) -> Float32[np.ndarray, "n *shape"]:
        """Natural images as the model takes them.

        Args:
            images: [n, *image_shape]; uint8, or floats on the scale of the training images ([0, 1]
                where those were uint8).

        Raises:
            InputError: another shape or dtype, or the whitening matrix is not known.
        """
        self._check_shape(images)
        if images.dtype != np.uint8 and images.dtype.kind != "f":
            raise InputError(
                f"images must be uint8 or floating point; got {images.dtype}. Divide by the "
                "largest value possible, as floats."
            )
        result = np.empty(images.shape, np.float32)
        start = 0
        for block in self._blocks(images):
            result[start : start + len(block)] = block
            start += len(block)
        return result

    def invert_for_viewing(
        self, images: Float[np.ndarray, "n *shape"]
    ) -> Float32[np.ndarray, "n *shape"]:
        """The model's images as a person wants to see them, clipped to [0, 1]; tables in full.

        Raises:
            InputError: as `invert`.
        """
        undone = self.invert(images)
        is_table = len(self.image_shape) == 1
        return undone if is_table else np.clip(undone, 0, 1)

    def invert(self, images: Float[np.ndarray, "n *shape"]) -> Float32[np.ndarray, "n *shape"]:
        """The model's images on the scale of natural ones, some pixels of which may lie outside it.

        Whitening is undone and every image gets the training set's average mean and norm; its own
        are lost. Standardisation is undone exactly.

        Raises:
            InputError: another shape, or the whitening matrix is not known.
        """
        self._check_shape(images)
        undone = reduce(
            lambda block, step: step.undo(block), reversed(self.steps), images.astype(np.float64)
        )
        return undone.astype(np.float32)

    def to_metadata(self) -> dict[str, Any]:
        """All but the whitening matrix, for JSON; `from_metadata` reads it."""
        metadata: dict[str, Any] = {
            "name": self.name,
            "fingerprint": self.fingerprint,
            "recipe": dict(self.recipe),
            "image_shape": list(self.image_shape),
        }
        for step in self.steps:
            if isinstance(step, Standardise):
                metadata |= {"mean": step.mean.tolist(), "std": step.std.tolist()}
            elif isinstance(step, UnitNorm):
                metadata |= {"average_mean": step.average_mean, "average_norm": step.average_norm}
        return metadata

    @classmethod
    def from_metadata(
        cls, metadata: Mapping[str, Any], *, whitening: str | Path | None = None
    ) -> "Preprocessing":
        """The preprocessing of an artefact.

        Args:
            metadata: from `to_metadata`.
            whitening: the run's preprocessing.npz; without it one that whitens is known by its
                fingerprint only, and `apply` and `invert_for_viewing` raise.

        Raises:
            DamagedFileError: the metadata are not whole, or the recipe is not that of the
                fingerprint; the whitening file is damaged.
            InputError: the whitening file belongs to another recipe.
        """
        try:
            recipe = metadata["recipe"]
            name = recipe["preprocessing"]
            steps: list[Step] = []
            if name != "none":
                steps += [Standardise(np.array(metadata["mean"]), np.array(metadata["std"]))]
            if name == "zca":
                steps += [UnitNorm(metadata["average_mean"], metadata["average_norm"])]
            if name in WHITENINGS:
                steps += [Whiten(None)]
            restored = cls(dict(recipe), tuple(metadata["image_shape"]), tuple(steps))
            known = metadata["fingerprint"]
        except (KeyError, TypeError) as error:
            raise DamagedFileError(
                f"the metadata of a preprocessing lack or spoil {error}. Take another copy of the "
                "file that they come from."
            ) from error
        if known != restored.fingerprint:
            raise DamagedFileError(
                f"the fingerprint of a preprocessing must be that of its recipe; got {known!r}, "
                f"recipe {restored.fingerprint!r}: one of them was altered. Take another copy of "
                "the file that they come from."
            )
        return restored if whitening is None else restored.with_whitening(whitening)

    def save_whitening(self, path: str | Path) -> None:
        """Write the whitening matrix as an .npz (preprocessing.npz of a run), whole or not at all.

        Raises:
            InputError: there is no whitening matrix.
            StorageError: the disk is full, or the folder is not writable.
        """
        if self.whitening is None:
            raise InputError(
                f"preprocessing {self.name!r} has no whitening matrix to save; only a fitted "
                "'zca' or 'whiten' has one."
            )
        buffer = io.BytesIO()
        np.savez(buffer, whitening=self.whitening, fingerprint=np.array(self.fingerprint))
        write_atomically(path, buffer.getvalue())

    def with_whitening(self, path: str | Path) -> "Preprocessing":
        """The same preprocessing with the whitening matrix from an .npz of `save_whitening`.

        Raises:
            DamagedFileError: the file is truncated or altered, or no such file.
            InputError: it does not exist, or belongs to another recipe.
        """
        path = Path(path)
        if not path.is_file():
            raise InputError(f"no such file: {path}. Give the preprocessing.npz of a run.")
        try:
            # opened here: NumPy leaves a damaged file open
            with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                matrix, fingerprint = arrays["whitening"], str(arrays["fingerprint"])
        except Exception as error:  # with damaged bytes the parsers raise almost anything
            raise DamagedFileError(
                f"{path} is no whole preprocessing.npz ({error}). Take another copy, or leave it "
                "out: loading the data set fits the whitening again."
            ) from error
        if fingerprint != self.fingerprint or self.name not in WHITENINGS:
            raise InputError(
                f"the whitening must be of the recipe with fingerprint {self.fingerprint}; {path} "
                f"has {fingerprint}: another data set, split or setting. Give the "
                "preprocessing.npz of the same run."
            )
        size = int(np.prod(self.image_shape))
        if matrix.shape != (size, size) or not np.isfinite(matrix).all():
            raise DamagedFileError(
                f"{path} must hold a finite whitening matrix [{size}, {size}]; got "
                f"{list(matrix.shape)}. Take another copy."
            )
        return replace(self, steps=(*self.steps[:-1], Whiten(matrix.astype(np.float32))))

    def _blocks(self, images: Num[np.ndarray, "n *shape"]) -> Iterable[np.ndarray]:
        rows = max(1, _BLOCK_BYTES // (8 * int(np.prod(images.shape[1:]))))
        for start in range(0, len(images), rows):
            block = natural(images[start : start + rows])
            yield reduce(lambda block, step: step.apply(block), self.steps, block)

    def _check_shape(self, images: Num[np.ndarray, "..."]) -> None:
        if images.shape[1:] != self.image_shape:
            raise InputError(
                f"images must be [n, {', '.join(map(str, self.image_shape))}]; got "
                f"{list(images.shape)}. Take images of the data set that this preprocessing is of."
            )


def natural(images: Num[np.ndarray, "n *shape"]) -> Float[np.ndarray, "n *shape"]:
    """float64; uint8 scaled to [0, 1], floats as they are."""
    return images / 255.0 if images.dtype == np.uint8 else images.astype(np.float64)


def _fingerprint(recipe: Mapping[str, Any]) -> str:
    canonical = json.dumps(dict(recipe), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]
