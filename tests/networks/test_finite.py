"""Finite twins: the same function as neural-tangents' network, and in the limit our kernel."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kernel_distill import kernels, networks
from kernel_distill._errors import InputError, UnknownNameError
from kernel_distill.kernels._stax import stax_network

KEY = jax.random.key(0)
ARCHITECTURES = [
    kernels.ConvNet(depth=2, prepend=True),
    kernels.ConvNet(depth=2, prepend=False, strided=True),
    kernels.ConvNet(depth=1, prepend=False, activation="gelu", w_std=1.1, b_std=0.5),
    kernels.FullyConnected(depth=2, activation="erf"),
]


def images(n: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(n).normal(size=(n, *shape)).astype(np.float32)


def weights_of(module: Any) -> list[tuple[Any, ...]]:
    """Weights and biases layer by layer, as `stax` has them."""
    return [
        (layer.kernel[...], layer.bias[...]) if hasattr(layer, "kernel") else ()
        for layer in module.layers
    ]


@pytest.mark.parametrize(
    "architecture",
    [pytest.param(ARCHITECTURES[0], marks=pytest.mark.slow), *ARCHITECTURES[1:]],
    ids=str,
)
def test_is_the_network_of_neural_tangents(architecture: kernels.Architecture) -> None:
    module, x = twin(architecture, "ntk"), images(3, 5, 6, 2)
    apply_fn = stax_network(architecture)[1]
    np.testing.assert_allclose(module(x), apply_fn(weights_of(module), x), rtol=1e-4, atol=1e-5)
    assert module(x.astype(np.float64)).shape == (3, 4)


def twin(architecture: kernels.Architecture, parameterization: str) -> Any:
    return networks.finite(
        architecture,
        width=7,
        num_classes=4,
        image_shape=(5, 6, 2),
        parameterization=parameterization,
        key=KEY,
    )


@pytest.mark.parametrize("architecture", ARCHITECTURES, ids=str)
def test_parameterizations_are_one_function_of_the_key(architecture: kernels.Architecture) -> None:
    standard, ntk, x = twin(architecture, "standard"), twin(architecture, "ntk"), images(3, 5, 6, 2)
    np.testing.assert_allclose(standard(x), ntk(x), rtol=1e-5, atol=1e-6)
    for parameters, normal in zip(weights_of(standard), weights_of(ntk), strict=True):
        if parameters:
            fan_in = np.prod(normal[0].shape[:-1])
            scaled = architecture.w_std * normal[0] / np.sqrt(fan_in)
            np.testing.assert_allclose(parameters[0], scaled, rtol=1e-6)
            np.testing.assert_allclose(parameters[1], architecture.b_std * normal[1], rtol=1e-6)


@pytest.mark.slow
def test_weights_are_standard_normal() -> None:
    module = networks.finite(
        kernels.FullyConnected(), width=400, num_classes=10, image_shape=(500,),
        parameterization="ntk", key=KEY,
    )  # fmt: skip
    (_, (kernel, bias), _, _) = weights_of(module)
    assert (kernel.shape, kernel.dtype, bias.shape) == ((500, 400), jnp.float32, (400,))
    assert np.mean(kernel) == pytest.approx(0, abs=0.01)
    assert np.std(kernel) == pytest.approx(1, rel=0.01)
    assert np.std(bias) == pytest.approx(1, rel=0.15)


def ntk(module: Any, x: Any) -> Any:
    return networks.empirical_ntk(module, x)


def nngp(module: Any, x: Any) -> Any:
    outputs = module(x)
    return outputs @ outputs.T / outputs.shape[1]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("architecture", "kind", "widths"),
    [
        (kernels.FullyConnected(depth=2), "ntk", (64, 256, 1024)),
        (kernels.FullyConnected(depth=2), "nngp", (64, 256, 1024)),
        (kernels.ConvNet(depth=2, prepend=False), "ntk", (32, 96, 256)),
    ],
    ids=str,
)
def test_tends_to_the_exact_kernel_as_one_over_the_root_of_the_width(
    architecture: kernels.Architecture, kind: Any, widths: tuple[int, ...]
) -> None:
    x = images(4, 8, 8, 2)
    exact = np.asarray(architecture.kernel(kind)(x))
    estimate: Callable[..., Any] = {"ntk": ntk, "nngp": nngp}[kind]

    def deviation(width: int) -> float:
        def of_network(key: Any) -> Any:
            module = networks.finite(
                architecture,
                width=width,
                num_classes=1 if kind == "ntk" else width,
                image_shape=(8, 8, 2),
                parameterization="ntk",
                key=key,
            )
            return estimate(module, x)

        # networks one after another: many at a time are no faster on a CPU
        estimates = jax.jit(lambda keys: jax.lax.map(of_network, keys))(jax.random.split(KEY, 64))
        return float(np.sqrt(np.mean((np.asarray(estimates) - exact) ** 2) / np.mean(exact**2)))

    deviations = [deviation(width) for width in widths]
    slope, _ = np.polyfit(np.log(widths), np.log(deviations), 1)
    assert slope == pytest.approx(-0.5, abs=0.1), deviations
    assert deviations[-1] < 0.12


@pytest.mark.slow
def test_empirical_ntk_is_that_of_neural_tangents() -> None:
    from flax import nnx

    module = twin(kernels.ConvNet(depth=1), "standard")
    graphdef, parameters, rest = nnx.split(module, nnx.Param, ...)
    x1, x2 = images(2, 5, 6, 2), images(3, 5, 6, 2)
    reference = kernels.neural_tangents().empirical_ntk_fn(
        lambda parameters, x: nnx.merge(graphdef, nnx.State(parameters), rest)(x),
        trace_axes=(-1,),
        implementation=1,  # products of whole Jacobians
    )
    pure = nnx.to_pure_dict(parameters)
    for second in (x2, None):
        estimate = networks.empirical_ntk(module, x1, second)
        np.testing.assert_allclose(estimate, reference(x1, second, pure), rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["fc1", "convnet1-in"])
def test_many_networks_at_a_time(name: str) -> None:
    from flax import nnx

    network, x, keys = networks.named(name, width=6), images(3, 8, 8, 2), jax.random.split(KEY, 3)

    def split(key: Any) -> Any:
        return nnx.split(network.module((8, 8, 2), num_classes=4, key=key), nnx.Param, ...)

    stacked = jax.jit(jax.vmap(lambda key: split(key)[1:]))(keys)
    graphdef, *_ = split(KEY)
    outputs = jax.jit(jax.vmap(lambda state: nnx.merge(graphdef, *state)(x)))(stacked)
    for key, output in zip(keys, outputs, strict=True):
        module = network.module((8, 8, 2), num_classes=4, key=key)
        np.testing.assert_allclose(module(x), output, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("architecture", "settings", "message"),
    [
        (kernels.ConvNet(depth=3), {"image_shape": (7, 8, 1)}, "needs at least 8x8 pixels; got 7x"),
        (
            kernels.ConvNet(),
            {"image_shape": (64,)},
            "needs images .n, height, width, channel.; got",
        ),
        (kernels.FullyConnected(), {"width": 0}, "width must be 1 or more; got 0"),
        (kernels.FullyConnected(), {"num_classes": 0}, "num_classes must be 1 or more; got 0"),
    ],
)
def test_what_does_not_fit(
    architecture: kernels.Architecture, settings: dict[str, Any], message: str
) -> None:
    fitting = {"width": 4, "num_classes": 3, "image_shape": (8, 8, 1), "key": KEY}
    with pytest.raises(InputError, match=message):
        networks.finite(architecture, **fitting | settings)


def test_unknown_parameterization() -> None:
    with pytest.raises(UnknownNameError, match="'standart': did you mean 'standard'"):
        twin(kernels.FullyConnected(), "standart")
