"""A network as a pure function of its parameters, for gradients and loops."""

import functools
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from kernel_distill._errors import InputError
from kernel_distill.networks import Network


class State(NamedTuple):
    """What a network knows.

    Attributes:
        parameters: what is trained.
        rest: running statistics of batch normalisation; mostly nothing.
    """

    parameters: Any
    rest: Any


@dataclass(frozen=True)
class Model:
    """A network for images of a shape, and so many classes.

    Raises:
        InputError: the network does not take such images.
    """

    network: Network
    image_shape: tuple[int, ...]
    num_classes: int

    def __post_init__(self) -> None:
        _graphs(self)

    @property
    def bytes_an_image(self) -> int:
        """Of all that is computed on the way to the logits of an image, none of it freed."""
        return _bytes_an_image(self)

    def init(self, key: PRNGKeyArray) -> State:
        from flax import nnx

        return State(*nnx.split(self._module(key), nnx.Param, ...)[1:])

    def apply(
        self, state: State, images: Float[Array, "n *shape"], *, training: bool
    ) -> tuple[Float[Array, "n class"], Any]:
        """The logits, and the rest of the state after it."""
        from flax import nnx

        module = self._at(state, training=training)
        logits = module(images)
        return logits, nnx.split(module, nnx.Param, ...)[2]

    def features(
        self, state: State, images: Float[Array, "n *shape"], *, training: bool
    ) -> list[Float[Array, "n feature"]]:
        """What goes into each layer with weights after the first; the last is what the readout
        takes.

        Raises:
            InputError: the network is a user's own, and does not tell them.
        """
        module = self._at(state, training=training)
        if not hasattr(module, "features"):
            raise InputError(
                "the module of a network whose features are wanted needs a method features(images "
                "[n, *shape]), which gives a list of arrays [n, feature], the last of them what "
                f"goes into the readout; that of {self.network.name} has none"
            )
        return module.features(images)

    def logits(
        self, state: State, images: Float[Array, "n *shape"] | Float[np.ndarray, "n *shape"]
    ) -> Float[Array, "n class"]:
        return self.apply(state, jnp.asarray(images), training=False)[0]

    def _at(self, state: State, *, training: bool) -> Any:
        from flax import nnx

        # flax has what it keeps, and changes in the call, belong to the present trace
        return nnx.merge(_graphs(self)[training], *jax.tree.map(lambda leaf: leaf, state))

    def _module(self, key: PRNGKeyArray) -> Any:
        return self.network.module(self.image_shape, num_classes=self.num_classes, key=key)


@functools.cache
def _graphs(model: Model) -> tuple[Any, Any]:
    """flax's description of the module, for evaluation and for training; nothing is allocated."""
    from flax import nnx

    module = nnx.eval_shape(lambda: model._module(jax.random.key(0)))
    module.eval()
    evaluating = nnx.graphdef(module)
    module.train()
    return evaluating, nnx.graphdef(module)


@functools.cache
def _bytes_an_image(model: Model) -> int:
    state = jax.eval_shape(model.init, jax.eval_shape(lambda: jax.random.key(0)))
    image = jax.ShapeDtypeStruct((1, *model.image_shape), jnp.float32)
    program = jax.make_jaxpr(lambda state, image: model.apply(state, image, training=False)[0])
    return sum(
        value.aval.size * value.aval.dtype.itemsize
        for equation in program(state, image).jaxpr.eqns
        for value in equation.outvars
        if value.aval.shape[:1] == (1,)
    )
