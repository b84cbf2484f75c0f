"""Networks by name: what they are, counted by hand, and computed by PyTorch."""

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kernel_distill import kernels, networks
from kernel_distill._errors import InputError, UnknownNameError

pytestmark = pytest.mark.kernels

KEY = jax.random.key(0)
MNIST, CIFAR = (28, 28, 1), (32, 32, 3)


@pytest.mark.parametrize(
    ("name", "on_mnist", "on_cifar"),
    [
        # LeNet-5 with the weights of PyTorch's tutorials, 61,706 and 62,006; ResNet18 and VGG11 of
        # github.com/kuangliu/pytorch-cifar, 11,173,962 and 9,231,114; the others layer by layer,
        # (inputs * 9 or 25 + 1) * outputs
        ("convnet3-in", 317_706, 320_010),
        ("convnet3", 307_978, 319_242),
        ("mlp", 118_282, 411_146),
        ("lenet", 61_706, 62_006),
        ("alexnet", 1_865_802, 1_872_202),
        ("vgg11", 9_229_962, 9_231_114),
        ("resnet18-in", 11_172_810, 11_173_962),
        ("resnet18-bn", 11_172_810, 11_173_962),
    ],
)
def test_parameter_counts(name: str, on_mnist: int, on_cifar: int) -> None:
    network = networks.named(name)
    assert network.parameter_count(MNIST, 10) == on_mnist
    assert network.parameter_count(CIFAR, 10) == on_cifar


def test_width_is_that_of_the_hidden_layers() -> None:
    # KIP's ConvNet at width 1024: 28 * 1024, three of 9217 * 1024, 10 * (16 * 1024 + 1)
    wide = networks.named("convnet", width=1024)
    assert wide.parameter_count(CIFAR, 10) == 28_672 + 3 * 9_438_208 + 163_850
    assert networks.named("mlp", width=5).parameter_count((3,), 2) == 20 + 30 + 12
    assert networks.named("resnet18-in", width=5) == networks.named("resnet18-in")
    assert networks.named("resnet18-in").width is None


def test_names() -> None:
    assert set(kernels.NAMES) | set(networks.EVALUATION) == set(networks.NAMES)
    assert len(networks.NAMES) == len(set(networks.NAMES))
    described = [networks.named(name, width=9) for name in networks.NAMES]
    assert [network.name for network in described] == list(networks.NAMES)
    assert len(set(described)) == len(described)
    twin = networks.twin(kernels.ConvNet(depth=2, prepend=False), width=9)
    assert twin == networks.named("convnet2", width=9)
    assert twin != networks.named("convnet2", width=9, parameterization="ntk")
    assert twin != networks.twin(kernels.ConvNet(depth=2, prepend=False, b_std=0.0), width=9)


@pytest.mark.parametrize("name", networks.EVALUATION)
def test_outputs(name: str) -> None:
    from flax import nnx

    network = networks.named(name, width=4)

    def output(key: Any, x: Any) -> Any:
        return network.module(x.shape[1:], num_classes=7, key=key)(x)

    for shape in (MNIST, CIFAR, (32, 32, 1), (28, 28, 3), (40, 32, 3)):
        x = jax.ShapeDtypeStruct((5, *shape), "float32")
        assert jax.eval_shape(output, KEY, x).shape == (5, 7)

    def module(key: Any) -> Any:
        return network.module(MNIST, num_classes=7, key=key)

    # whoever jits by the graph compiles once for all seeds
    assert nnx.graphdef(nnx.eval_shape(module, KEY)) == nnx.graphdef(nnx.eval_shape(module, KEY))


def parts(module: Any) -> Iterator[Any]:
    """Everything with weights, in the order of PyTorch's `named_parameters`."""
    for layer in module.layers:
        if hasattr(layer, "main"):
            yield from parts(layer.main)
            yield from parts(layer.shortcut) if layer.shortcut is not None else ()
        elif hasattr(layer, "kernel") or hasattr(layer, "scale"):
            yield layer


def fill(module: Any, channels: int) -> None:
    """Weights drawn in PyTorch's order and layout: OIHW, and channels before pixels."""
    random = np.random.RandomState(0)  # whose stream NumPy keeps

    def put(part: Any, name: str, values: np.ndarray) -> None:
        assert getattr(part, name).shape == values.shape
        setattr(part, name, type(getattr(part, name))(jnp.asarray(values, "float32")))

    for part in parts(module):
        if hasattr(part, "scale"):
            put(part, "scale", 1 + 0.1 * random.standard_normal(part.scale.shape))
        elif part.kernel.ndim == 4:
            height, width, inputs, channels = part.kernel.shape
            drawn = random.standard_normal((channels, inputs, height, width))
            put(part, "kernel", drawn.transpose(2, 3, 1, 0) * (2 / drawn[0].size) ** 0.5)
        else:
            inputs, outputs = part.kernel.shape
            drawn = random.standard_normal((outputs, channels, inputs // channels))
            flat = drawn.transpose(2, 1, 0).reshape(inputs, outputs)
            put(part, "kernel", flat * (2 / inputs) ** 0.5)
            channels = outputs  # no pixels from here on
        if part.bias is not None:
            put(part, "bias", 0.1 * random.standard_normal(part.bias.shape))
        if hasattr(part, "mean"):
            put(part, "mean", 0.1 * random.standard_normal(part.mean.shape))
            put(part, "var", 1 + 0.1 * random.standard_normal(part.var.shape) ** 2)


@pytest.mark.parametrize(
    ("name", "shape", "expected"),
    [
        # made with PyTorch TORCHVERSION, by the definitions of DC's networks.py filled likewise
        ("convnet3-in", MNIST, []),
        ("mlp", CIFAR, []),
        ("lenet", MNIST, []),
        ("lenet", CIFAR, []),
        ("alexnet", MNIST, []),
        ("vgg11", MNIST, []),
        ("resnet18-in", MNIST, []),
        ("resnet18-bn", CIFAR, []),
    ],
)
def test_is_the_network_of_pytorch(
    name: str, shape: tuple[int, ...], expected: list[float]
) -> None:
    from flax import nnx

    network = networks.named(name)
    module = nnx.eval_shape(lambda: network.module(shape, num_classes=10, key=KEY))
    fill(module, shape[-1])
    module.eval()
    x = np.random.RandomState(1).standard_normal((2, *shape)).astype("float32")
    outputs = jax.jit(lambda x: module(x))(x)
    np.testing.assert_allclose(outputs[1, :4], expected, rtol=1e-3)


def test_instance_normalisation() -> None:
    norm = networks.named("convnet3-in", width=6).module(CIFAR, num_classes=10, key=KEY).layers[1]
    x = np.random.default_rng(0).normal(3, 2, size=(4, 5, 7, 6)).astype("float32")
    deviations = x - x.mean(axis=(1, 2), keepdims=True)
    expected = deviations / np.sqrt(x.var(axis=(1, 2), keepdims=True) + 1e-5)
    np.testing.assert_allclose(norm(x), expected, rtol=1e-5, atol=1e-5)


def test_batch_normalisation() -> None:
    from flax import nnx

    module = jax.jit(
        lambda key: nnx.split(networks.named("resnet18-bn").module(MNIST, num_classes=2, key=key))
    )
    del module


@pytest.mark.parametrize(
    "name", [name for name in networks.EVALUATION if name not in kernels.NAMES]
)
def test_initialised_as_in_pytorch(name: str) -> None:
    network = networks.named(name, width=64)
    module = network.module((32, 32, 3), num_classes=100, key=KEY)
    del module
