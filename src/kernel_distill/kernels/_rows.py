"""Rows of a large set of images, by their numbers."""

from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from kernel_distill._errors import InputError

Images = Float[np.ndarray, "n *shape"] | Float[Array, "n *shape"]


@runtime_checkable
class Change(Protocol):
    """What is done to some of the rows once they are taken, each on its own.

    It travels to other processes: an object that can be pickled and holds no arrays of JAX.
    """

    def __call__(
        self, images: Float[Array, "n *shape"], *, first: int, total: int
    ) -> Float[Array, "n *shape"]:
        """The changed images: rows `first`, `first + 1`, ... of `total`."""


@dataclass(frozen=True, eq=False)
class Rows:
    """The rows `images[indices]`, in place of a block's first argument.

    A kernel of this process takes them out. A pool of workers (`distributed.on_ray`) keeps the
    images, which it was sent once, and is sent the indices.

    Attributes:
        images: the whole set, as NumPy's array or JAX's; not to be changed afterwards.
        indices: which of them.
        change: what is done to them then, such as augmentation.
        precision: "float32" or "float64": what they are converted to at last; None leaves them.
        place: number of the first row, and of all rows, where these are a part of more.
    """

    images: Any  # Images; of a worker's task nothing, until they are out of its object store
    indices: Int[np.ndarray, "t"]
    change: Change | None = None
    precision: str | None = None
    place: tuple[int, int] | None = None

    def __len__(self) -> int:
        return len(self.indices)

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self), *self.images.shape[1:])

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def dtype(self) -> np.dtype:
        return np.dtype(self.precision or self.images.dtype)

    def check(self) -> None:
        """Raises InputError unless the images have all of these rows."""
        wrong = self.indices[(self.indices < 0) | (self.indices >= len(self.images))]
        if wrong.size:
            raise InputError(
                f"rows of images are numbered from 0 to {len(self.images) - 1}; got {wrong[0]}"
            )

    def astype(self, dtype: Any) -> "Rows":
        """The same rows in another precision."""
        return replace(self, precision=np.dtype(dtype).name)

    def part(self, start: int, stop: int) -> "Rows":
        """Some of these rows: the same ones, changed in the same way."""
        first, total = self.place or (0, len(self))
        return replace(self, indices=self.indices[start:stop], place=(first + start, total))

    def materialise(self) -> Float[Array, "t *shape"]:
        """The rows themselves."""
        taken = self.images[self.indices]
        if self.change is not None:
            first, total = self.place or (0, len(self))
            taken = self.change(jnp.asarray(taken), first=first, total=total)
        return jnp.asarray(taken, self.precision)
