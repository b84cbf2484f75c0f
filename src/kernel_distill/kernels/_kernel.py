"""The contract of a kernel: what every implementation and every wrapper offers."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from kernel_distill._errors import InputError, unknown_name
from kernel_distill.kernels._rows import Rows

KernelKind = Literal["ntk", "nngp"]
Results = TypeVar("Results")
Settled = Callable[[str, Callable[[], Any]], Any]
"""Given a name and a way to find its value: the value, found once in a run and kept from then."""


@dataclass(frozen=True)
class Kernel(ABC):
    """A kernel function on images (or rows of a table), differentiable in every argument.

    Call it as `kernel(x1, x2)` for the block [n1, n2], or as `kernel(x)` for the kernel [n, n]
    of a set with itself: a path of its own, exact on the diagonal and symmetric, because
    under tracing nothing tells that two arguments are the same set.

    Kernels compare and hash by value, and JAX takes them as arguments of traced functions, as
    constants of the trace. The fields that a class names in `arrays` are traced instead, and such a
    kernel cannot be hashed.

    Attributes:
        architecture: the network whose kernel this is (`kernels.Architecture`).
        kind: "ntk" or "nngp".
    """

    architecture: Any
    kind: KernelKind

    def __init_subclass__(cls, *, arrays: tuple[str, ...] = (), **more: Any) -> None:
        super().__init_subclass__(**more)
        if not arrays:
            jax.tree_util.register_static(cls)
            return

        def flatten(kernel: Kernel) -> tuple[tuple[Any, ...], tuple[tuple[str, Any], ...]]:
            values = dict(kernel.__dict__)
            return tuple(values.pop(name) for name in arrays), tuple(values.items())

        def unflatten(constants: tuple[tuple[str, Any], ...], leaves: tuple[Any, ...]) -> Kernel:
            kernel = object.__new__(cls)
            kernel.__dict__.update(constants, **dict(zip(arrays, leaves, strict=True)))
            return kernel

        jax.tree_util.register_pytree_node(cls, flatten, unflatten)

    @property
    def traceable(self) -> bool:
        """Whether `jax.jit` may trace a call; not so where blocks are computed elsewhere."""
        return True

    @property
    def progress(self) -> str:
        """How far a block is that takes long, in words; nothing where that is not known."""
        return ""

    @property
    def members(self) -> tuple["Kernel", ...]:
        """The kernels that `at` draws from: this one alone, unless it is a mixture."""
        return (self,)

    def at(self, key: PRNGKeyArray) -> "Kernel":
        """The kernel to use for one step: itself, unless it depends on a random key."""
        del key
        return self

    def for_run(self, settled: Settled) -> "Kernel":
        """The kernel for a run: itself, unless something about it is settled when a run starts.

        Args:
            settled: `artefact.Run.settled`.
        """
        del settled
        return self

    def whole(self, results: Results) -> Results:
        """The results of a traced function that calls this kernel, for the host to read.

        Where its blocks lie in parts on the devices of several processes, and with them what is
        computed of them, each device gets all of the results.

        Args:
            results: a tree of arrays.
        """
        return results

    def __call__(
        self,
        x1: Float[Array, "n1 *shape"] | Float[np.ndarray, "n1 *shape"] | Rows,
        x2: Float[Array, "n2 *shape"] | Float[np.ndarray, "n2 *shape"] | None = None,
    ) -> Float[Array, "n1 n2"]:
        """The kernel block of `x1` with `x2`, or of `x1` with itself.

        Args:
            x1: images [n1, height, width, channel], or rows [n1, feature]; or the numbers of some
                (`Rows`), which spares a pool of workers the images.
            x2: the same for n2; None: `x1` with itself.

        Returns:
            [n1, n2], in the dtype of the arguments, the wider one where they differ (float64 only
            where JAX has it switched on).

        Raises:
            InputError: the arguments are neither float32 nor float64, not finite (where they are
                known, not traced), of different shapes but for the number of rows, or do not fit
                the architecture; `Rows` are asked for that are not there.
        """
        if isinstance(x1, Rows):
            x1.check()
            x1 = x1.materialise() if self.traceable or x2 is None else x1
        self._check(x1)
        if x2 is None:
            of_self = _jitted_self if self.traceable else _self
            return of_self(self, jnp.asarray(x1))
        self._check(x2)
        if x1.shape[1:] != x2.shape[1:]:
            raise InputError(
                "both arguments of a kernel must have rows of one shape; "
                f"got {x1.shape[1:]} and {x2.shape[1:]}"
            )
        dtype = jnp.result_type(x1.dtype, x2.dtype)  # what computes a block looks at one of them
        x1 = x1.astype(dtype) if isinstance(x1, Rows) else jnp.asarray(x1, dtype)
        cross = _jitted_cross if self.traceable else _cross
        return cross(self, x1, jnp.asarray(x2, dtype))

    def _check(self, x: Float[Array, "n *shape"] | Float[np.ndarray, "n *shape"] | Rows) -> None:
        if x.dtype not in ("float32", "float64"):
            raise InputError(
                f"a kernel takes floating point images, float32 or float64; got {x.dtype}. "
                "Preprocess them (kernel_distill.data), or convert with astype('float32')."
            )
        if x.ndim < 2 or 0 in x.shape:
            raise InputError(
                "a kernel takes images [n, height, width, channel] or rows [n, feature], "
                f"none of them empty; got shape {x.shape}"
            )
        self.architecture.check_images(x.shape[1:])
        # inside a traced function nobody knows yet; rows of images are looked at when they are sent
        if not isinstance(x, jax.core.Tracer | Rows):
            check_finite(np.asarray(x))

    @abstractmethod
    def cross(
        self, x1: Float[Array, "n1 *shape"], x2: Float[Array, "n2 *shape"]
    ) -> Float[Array, "n1 n2"]:
        """The block of two sets; arguments are checked already."""

    @abstractmethod
    def of_self(self, x: Float[Array, "n *shape"]) -> Float[Array, "n n"]:
        """The kernel of a set with itself; arguments are checked already."""


def _cross(
    kernel: Kernel, x1: Float[Array, "n1 *shape"] | Rows, x2: Float[Array, "n2 *shape"]
) -> Float[Array, "n1 n2"]:
    return kernel.cross(x1, x2)  # type: ignore[arg-type]  # rows only to a pool, which takes them


def _self(kernel: Kernel, x: Float[Array, "n *shape"]) -> Float[Array, "n n"]:
    return kernel.of_self(x)


# jitted here, once for all: step by step, neural-tangents takes many times as long, and the
# closed forms want their elementwise parts fused
_jitted_cross = jax.jit(_cross)
_jitted_self = jax.jit(_self)


def check_finite(x: Float[np.ndarray, "n *shape"]) -> None:
    """Raises InputError where a number is none, or infinite."""
    finite = np.isfinite(x)
    if not finite.all():
        position = np.argwhere(~finite)[0].tolist()
        raise InputError(
            f"a kernel takes finite numbers; got {x[tuple(position)]} at {position}. "
            "Replace or leave out such rows."
        )


def check_kind(kind: str) -> None:
    """Raises UnknownNameError unless `kind` is "ntk" or "nngp"."""
    if kind not in ("ntk", "nngp"):
        raise unknown_name("kernel", kind, ("ntk", "nngp"))
