"""Networks by name: what they are, counted by hand, and computed by PyTorch."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from kernel_distill import kernels, networks
from kernel_distill._errors import InputError, UnknownNameError
from kernel_distill.networks._evaluation_modules import _max_pooling

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


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow if name == "resnet18-bn" else ())
        for name in networks.EVALUATION
    ],
)
def test_outputs(name: str) -> None:
    from flax import nnx

    network = networks.named(name, width=4)

    def output(key: Any, x: Any) -> Any:
        return network.module(x.shape[1:], num_classes=7, key=key)(x)

    for shape in (MNIST, (32, 32, 1), (40, 32, 3)):
        x = jax.ShapeDtypeStruct((5, *shape), "float32")
        assert jax.eval_shape(output, KEY, x).shape == (5, 7)

    def module(key: Any) -> Any:
        return network.module(MNIST, num_classes=7, key=key)

    # whoever jits by the graph compiles once for all seeds
    one, other = (nnx.eval_shape(module, jax.random.key(seed)) for seed in range(2))
    assert nnx.graphdef(one) == nnx.graphdef(other)


def parts(module: Any) -> list[Any]:
    """Everything with weights, in the order of PyTorch's `modules`."""
    found = []
    for layer in module.layers:
        if hasattr(layer, "main"):
            found += parts(layer.main)
            found += parts(layer.shortcut) if layer.shortcut is not None else []
        elif hasattr(layer, "kernel") or hasattr(layer, "scale"):
            found.append(layer)
    return found


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
        # made with PyTorch 2.13.0, by the definitions of DC's networks.py filled likewise
        ("convnet3-in", MNIST, [-1.36045, 0.20971, 0.44757, -0.72902]),
        ("mlp", CIFAR, [0.36974, -1.01575, 2.52633, -0.95093]),
        ("lenet", MNIST, [0.64031, 0.4472, -1.72581, -0.36359]),
        ("lenet", CIFAR, [0.5354, -0.24955, -2.96892, 4.61767]),
        ("alexnet", MNIST, [-3.23072, 2.83763, 4.61819, -1.99675]),
        pytest.param("vgg11", MNIST, [-1.5842, 2.21352, -2.26413, -1.633], marks=pytest.mark.slow),
        pytest.param(
            *("resnet18-in", MNIST, [0.15006, -1.9361, -1.93757, 2.7986]), marks=pytest.mark.slow
        ),
        ("resnet18-bn", CIFAR, [2.49659, -27.74196, 7.6109, 25.92504]),
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
    outputs = jax.jit(module)(x)
    np.testing.assert_allclose(outputs[1, :4], expected, rtol=1e-3)


def test_instance_normalisation() -> None:
    norm = networks.named("convnet1-in", width=6).module(CIFAR, num_classes=10, key=KEY).layers[1]
    x = np.random.default_rng(0).normal(3, 2, size=(4, 5, 7, 6)).astype("float32")
    deviations = x - x.mean(axis=(1, 2), keepdims=True)
    expected = deviations / np.sqrt(x.var(axis=(1, 2), keepdims=True) + 1e-5)
    np.testing.assert_allclose(norm(x), expected, rtol=1e-5, atol=1e-5)


def test_batch_normalisation() -> None:
    from flax import nnx

    network = networks.named("resnet18-bn")
    module = nnx.eval_shape(lambda: network.module(CIFAR, num_classes=10, key=KEY))
    fill(module, 3)
    norm = module.layers[1]
    scale, bias, mean, var = (np.array(v) for v in (norm.scale, norm.bias, norm.mean, norm.var))
    x = np.random.default_rng(0).normal(3, 2, size=(4, 5, 7, 64)).astype("float32")
    batch_mean, batch_var = x.mean(axis=(0, 1, 2)), x.var(axis=(0, 1, 2))

    module.train()
    expected = (x - batch_mean) / np.sqrt(batch_var + 1e-5) * scale + bias
    np.testing.assert_allclose(norm(x), expected, rtol=1e-4, atol=1e-5)
    # PyTorch's momentum of 0.1 is the new batch's share
    mean, var = 0.9 * mean + 0.1 * batch_mean, 0.9 * var + 0.1 * batch_var
    np.testing.assert_allclose(norm.mean[...], mean, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(norm.var[...], var, rtol=1e-5)

    module.eval()
    expected = (x - mean) / np.sqrt(var + 1e-5) * scale + bias
    np.testing.assert_allclose(norm(x), expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(norm.mean[...], mean, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_initialised_as_in_pytorch() -> None:
    module = networks.named("mlp", width=500).module((20, 20, 1), num_classes=100, key=KEY)
    for layer, fan_in in zip(parts(module), (400, 500, 500), strict=True):
        for drawn in (layer.kernel[...], layer.bias[...]):
            bound = fan_in**-0.5  # torch.nn.Linear: U(-sqrt(k), sqrt(k)), k = 1/in_features
            assert float(jnp.abs(drawn).max()) == pytest.approx(bound, rel=0.05)
            assert float(jnp.abs(drawn).max()) <= bound
            assert float(drawn.std()) == pytest.approx(bound / 3**0.5, rel=0.15)
    convolution, norm = parts(
        networks.named("convnet1-in", width=300).module((8, 8, 11), num_classes=2, key=KEY)
    )[:2]
    assert float(jnp.abs(convolution.kernel[...]).max()) == pytest.approx(99**-0.5, rel=1e-3)
    assert float(jnp.abs(convolution.bias[...]).max()) == pytest.approx(99**-0.5, rel=0.05)
    assert (norm.scale[...] == 1).all()
    assert (norm.bias[...] == 0).all()


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("vgg11", (24, 24, 3), "vgg11 needs larger images than 24x24: instance normali"),
        ("convnet3-in", (8, 7, 3), "convnet3-in needs larger images than 8x7: nothing is left"),
        ("lenet", (12, 12, 1), "lenet needs larger images than 12x12: nothing is left"),
        ("lenet", (8, 8, 1), "lenet needs larger images than 8x8: nothing is left"),
        ("resnet18-in", (8, 8, 1), "larger images than 8x8: instance normalisation makes a const"),
        ("alexnet", (64,), r"alexnet needs images .*; got rows of shape \(64,\)"),
        ("convnet3", (7, 7, 1), "convnet3 pools the image 3 times and so needs at least 8x8"),
    ],
)
def test_images_that_do_not_fit(name: str, shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        networks.named(name).parameter_count(shape, 10)


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("resnet", {}, "unknown network 'resnet': did you mean .*resnet18"),
        ("convnet0-in", {}, "unknown network 'convnet0-in': did you mean .*layers may follow"),
        ("lenet", {"parameterization": "ntk"}, "lenet has no kernel. Take param.*standard"),
        (
            "lenet",
            {"parameterization": "ntp"},
            "unknown parameterization 'ntp': did you mean 'ntk'",
        ),
        ("fc1", {"width": 0}, "width must be 1 or more; got 0"),
    ],
)
def test_unknown_names(name: str, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as raised:
        networks.named(name, **settings)
    assert isinstance(raised.value, UnknownNameError) == ("unknown" in message)


def test_maxima_of_odd_images_and_their_gradients() -> None:
    """Against flax's pooling, after a ReLU as in the networks here: where all four are zero, their
    equal shares of the gradient go nowhere."""

    def pooled(pooling: Any, x: Any) -> Any:
        return jnp.sum(jnp.sin(pooling(jax.nn.relu(x))))

    x = jnp.asarray(np.random.default_rng(0).standard_normal((3, 7, 5, 2)), jnp.float32)
    flaxes = functools.partial(nnx.max_pool, window_shape=(2, 2), strides=(2, 2))
    np.testing.assert_array_equal(_max_pooling(x), flaxes(x))
    np.testing.assert_array_equal(
        *(jax.grad(functools.partial(pooled, pooling))(x) for pooling in (_max_pooling, flaxes))
    )
