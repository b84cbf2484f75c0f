"""The networks that the field evaluates distilled sets with, as flax modules."""

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray

from kernel_distill._errors import InputError
from kernel_distill.networks._sequential import Sequential

Initializer = Callable[..., Float[Array, "*shape"]]


class _Stack:
    """Layers put one on another, and the shape of what comes out, without the batch.

    Convolutions and dense layers are initialised as PyTorch does by default.
    """

    def __init__(self, name: str, image_shape: tuple[int, ...], rngs: nnx.Rngs) -> None:
        self.name = name
        self.image_shape = self.shape = image_shape
        self.rngs = rngs
        self.layers: list[Callable[[Array], Array]] = []

    @property
    def module(self) -> Sequential:
        return Sequential(*self.layers)

    def branch(self) -> "_Stack":
        """An empty stack that takes what comes out of this one."""
        branch = _Stack(self.name, self.image_shape, self.rngs)
        branch.shape = self.shape
        return branch

    def convolution(
        self, channels: int, *, size: int = 3, padding: int = 1, stride: int = 1, bias: bool = True
    ) -> "_Stack":
        height, width, inputs = self.shape
        initializer = _uniform(size**2 * inputs)
        layer = nnx.Conv(
            inputs,
            channels,
            (size, size),
            strides=stride,
            padding=padding,
            use_bias=bias,
            kernel_init=initializer,
            bias_init=initializer,
            rngs=self.rngs,
        )
        height, width = ((n + 2 * padding - size) // stride + 1 for n in (height, width))
        return self._put(layer, (height, width, channels))

    def dense(self, units: int) -> "_Stack":
        (inputs,) = self.shape
        initializer = _uniform(inputs)
        layer = nnx.Linear(
            inputs, units, kernel_init=initializer, bias_init=initializer, rngs=self.rngs
        )
        return self._put(layer, (units,))

    def instance_norm(self) -> "_Stack":
        *pixels, channels = self.shape
        if pixels == [1, 1]:
            self._too_small("instance normalisation makes a constant of a single pixel")
        # three times faster than nnx.GroupNorm with groups of one channel, which is the same
        layer = nnx.InstanceNorm(channels, epsilon=1e-5, use_fast_variance=False, rngs=self.rngs)
        return self._put(layer, self.shape)

    def batch_norm(self) -> "_Stack":
        layer = nnx.BatchNorm(
            self.shape[-1], momentum=0.9, epsilon=1e-5, use_fast_variance=False, rngs=self.rngs
        )
        return self._put(layer, self.shape)

    def relu(self) -> "_Stack":
        return self._put(nnx.relu, self.shape)

    def max_pooling(self) -> "_Stack":
        return self._halve(_max_pooling)

    def average_pooling(self) -> "_Stack":
        return self._halve(_average_pooling)

    def average(self) -> "_Stack":
        return self._put(_average, self.shape[-1:])

    def flatten(self) -> "_Stack":
        return self._put(_flatten, (math.prod(self.shape),))

    def residual(self, main: "_Stack", shortcut: "_Stack | None") -> "_Stack":
        return self._put(_Residual(main.module, shortcut and shortcut.module), main.shape)

    def _halve(self, pooling: Callable[[Array], Array]) -> "_Stack":
        height, width, channels = self.shape
        return self._put(pooling, (height // 2, width // 2, channels))

    def _put(self, layer: Callable[[Array], Array], shape: tuple[int, ...]) -> "_Stack":
        if min(shape) < 1:
            self._too_small("nothing is left of them on the way")
        self.layers.append(layer)
        self.shape = shape
        return self

    def _too_small(self, reason: str) -> None:
        height, width = self.image_shape[:2]
        raise InputError(
            f"{self.name} needs larger images than {height}x{width}: {reason}. "
            "Take a network with fewer poolings, such as convnet2-in, or mlp."
        )


class _Residual(nnx.Module):
    """A block and what goes around it; None: the input goes around as it is."""

    def __init__(self, main: nnx.Module, shortcut: nnx.Module | None) -> None:
        self.main = main
        self.shortcut = shortcut

    def __call__(self, x: Float[Array, "n *shape"]) -> Float[Array, "n *out"]:
        around = x if self.shortcut is None else self.shortcut(x)
        return nnx.relu(self.main(x) + around)


def _max_pooling(x: Float[Array, "n height width channel"]) -> Float[Array, "n h w channel"]:
    # on CPUs the gradient of LeNet takes three quarters of the time that nnx.max_pool leaves it;
    # of equal largest values each has its share of the gradient, not the first alone
    n, height, width, channels = x.shape
    even = x[:, : height // 2 * 2, : width // 2 * 2]
    return even.reshape(n, height // 2, 2, width // 2, 2, channels).max(axis=(2, 4))


def _average_pooling(x: Float[Array, "n height width channel"]) -> Float[Array, "n h w channel"]:
    return nnx.avg_pool(x, (2, 2), strides=(2, 2))


def _average(x: Float[Array, "n height width channel"]) -> Float[Array, "n channel"]:
    return x.mean(axis=(1, 2))


def _flatten(x: Float[Array, "n *shape"]) -> Float[Array, "n feature"]:
    return x.reshape(len(x), -1)


@functools.cache  # modules compare by it
def _uniform(fan_in: int) -> Initializer:
    """PyTorch's default for weights and biases (Kaiming's with a = sqrt(5))."""
    bound = fan_in**-0.5

    def initialise(key: PRNGKeyArray, shape: tuple[int, ...], dtype: Any, **_: Any) -> Array:
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return initialise


def _convnet(stack: _Stack, depth: int, width: int) -> None:
    for level in range(depth):
        stack.convolution(width, padding=1 + _to_32(stack) if level == 0 else 1)
        stack.instance_norm().relu().average_pooling()
    stack.flatten()


def _mlp(stack: _Stack, width: int) -> None:
    stack.flatten()
    for _ in range(2):
        stack.dense(width).relu()


def _lenet(stack: _Stack) -> None:
    stack.convolution(6, size=5, padding=_to_32(stack)).relu().max_pooling()
    stack.convolution(16, size=5, padding=0).relu().max_pooling().flatten()
    stack.dense(120).relu().dense(84).relu()


def _alexnet(stack: _Stack) -> None:
    stack.convolution(128, size=5, padding=2 + _to_32(stack)).relu().max_pooling()
    stack.convolution(192, size=5, padding=2).relu().max_pooling()
    for channels in (256, 192, 192):
        stack.convolution(channels).relu()
    stack.max_pooling().flatten()


def _vgg11(stack: _Stack) -> None:
    padding = 1 + _to_32(stack)
    for group in ((64,), (128,), (256, 256), (512, 512), (512, 512)):
        for channels in group:
            stack.convolution(channels, padding=padding).instance_norm().relu()
            padding = 1
        stack.max_pooling()
    stack.flatten()


def _resnet18(stack: _Stack, norm: Callable[[_Stack], _Stack]) -> None:
    norm(stack.convolution(64, bias=False)).relu()
    for channels, first_stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
        for stride in (first_stride, 1):
            main = stack.branch()
            norm(main.convolution(channels, stride=stride, bias=False)).relu()
            norm(main.convolution(channels, bias=False))
            shortcut = None
            if main.shape != stack.shape:
                shortcut = norm(
                    stack.branch().convolution(
                        channels, size=1, padding=0, stride=stride, bias=False
                    )
                )
            stack.residual(main, shortcut)
    stack.average()  # a window of 4x4, which is all of the map at both of the usual sizes


def _to_32(stack: _Stack) -> int:
    """What pads images of 28x28 to 32x32; others stay as they are."""
    return 2 if stack.image_shape[:2] == (28, 28) else 0


_FIXED: dict[str, Callable[[_Stack], None]] = {
    "lenet": _lenet,
    "alexnet": _alexnet,
    "vgg11": _vgg11,
    "resnet18-in": functools.partial(_resnet18, norm=_Stack.instance_norm),
    "resnet18-bn": functools.partial(_resnet18, norm=_Stack.batch_norm),
}


def evaluation_module(
    name: str,
    image_shape: tuple[int, ...],
    *,
    width: int | None,
    num_classes: int,
    key: PRNGKeyArray,
) -> Sequential:
    """See `named`, which knows the names.

    Raises:
        InputError: the images are no images (all but an MLP need [height, width, channel]), or too
            small.
    """
    stack = _Stack(name, image_shape, nnx.Rngs(key))
    if name == "mlp":
        assert width is not None
        _mlp(stack, width)
        return stack.dense(num_classes).module
    if len(image_shape) != 3:
        raise InputError(
            f"{name} needs images [n, height, width, channel]; got rows of shape {image_shape}. "
            "Tables go with a fully connected network (mlp, fc1)."
        )
    if name in _FIXED:
        _FIXED[name](stack)
    else:
        assert width is not None
        _convnet(stack, int(name.removeprefix("convnet").removesuffix("-in")), width)
    return stack.dense(num_classes).module
