"""Architectures: names, what is written of them, and the errors of their settings."""

import json
import math
from typing import Any

import pytest

from kernel_distill import kernels
from kernel_distill._errors import InputError, UnknownNameError
from kernel_distill.kernels._layers import Activation, AveragePooling, Convolution, Dense

pytestmark = pytest.mark.kernels

ALL = [
    *(kernels.FullyConnected(depth=depth) for depth in (1, 2, 3, 12)),
    *(kernels.ConvNet(depth=depth, prepend=p) for depth in (1, 2, 3, 4) for p in (True, False)),
    *(kernels.Myrtle(depth=depth) for depth in (5, 7, 10)),
    *(kernels.ConvNet(prepend=p, strided=True) for p in (True, False)),
]


def test_names() -> None:
    names = [architecture.name for architecture in ALL]
    assert names[:4] == ["fc1", "fc2", "fc3", "fc12"]
    assert names[4:12] == [
        "convnet1-prepend", "convnet1", "convnet2-prepend", "convnet2",
        "convnet", "convnet3", "convnet4-prepend", "convnet4",
    ]  # fmt: skip
    assert names[12:15] == ["myrtle5", "myrtle7", "myrtle10"]
    assert names[15:] == ["convnet3-prepend-strided", "convnet3-strided"]
    assert [kernels.named(name) for name in names] == ALL
    assert kernels.named("convnet3-prepend") == kernels.named("convnet")
    assert [kernels.named(name).name for name in kernels.NAMES] == list(kernels.NAMES)


@pytest.mark.parametrize("architecture", ALL, ids=lambda architecture: architecture.name)
def test_metadata(architecture: kernels.Architecture) -> None:
    for settings in ({}, {"w_std": 1.5, "b_std": 0.0, "activation": "gelu"}):
        changed = kernels.named(architecture.name, **settings)
        written = json.loads(json.dumps(changed.to_metadata()))
        assert kernels.from_metadata(written) == changed
        assert written["name"] == architecture.name


def test_settings_of_the_papers() -> None:
    # Nguyen et al. 2021: W_std sqrt 2, b_std 0.1
    written = kernels.named("convnet").to_metadata()
    assert written == {
        "name": "convnet", "w_std": 2**0.5, "b_std": 0.1, "activation": "relu"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "convolutions", "activations", "poolings", "dense"),
    [
        ("fc3", 0, 3, 0, 4),
        ("convnet", 4, 4, 3, 1),
        ("convnet3", 3, 3, 3, 1),
        ("convnet2-prepend", 3, 3, 2, 1),
        ("convnet2-strided", 2, 2, 0, 1),
        # Shankar et al. 2020: the number counts all layers with weights
        ("myrtle5", 4, 4, 5, 1),
        ("myrtle7", 6, 6, 5, 1),
        ("myrtle10", 9, 9, 5, 1),
    ],
)
def test_layers(name: str, convolutions: int, activations: int, poolings: int, dense: int) -> None:
    layers = kernels.named(name, activation="erf").layers

    def count(kind: type) -> int:
        return sum(isinstance(layer, kind) for layer in layers)

    assert count(Convolution) == convolutions
    assert count(AveragePooling) == poolings
    assert count(Dense) == dense
    assert layers.count(Activation("erf")) == activations


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("convnt", "unknown architecture 'convnt': did you mean 'convnet'"),
        ("fc0", "unknown architecture 'fc0': did you mean .*fc1.*number of layers may follow"),
        ("fc", "unknown architecture 'fc': did you mean .*'fc1'"),
        ("myrtle6", "unknown architecture 'myrtle6': did you mean .*'myrtle5'"),
        ("convnet3-in", "unknown architecture 'convnet3-in': did you mean .*'convnet3'"),
        ("fc1\n", r"unknown architecture 'fc1\\n': did you mean 'fc1'"),
        ("resnet18", "unknown architecture 'resnet18'"),
        ("", "unknown architecture '': known: .*convnet.*fc1.*myrtle5"),
    ],
)
def test_unknown_names(name: str, message: str) -> None:
    with pytest.raises(UnknownNameError, match=message):
        kernels.named(name)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"wstd": 1.0}, "unknown setting of an architecture 'wstd': did you mean 'w_std'"),
        ({"depth": 2}, "unknown setting of an architecture 'depth': known: activation, b_std"),
        ({"activation": "relo"}, "unknown activation 'relo': did you mean 'relu'"),
        ({"activation": "tanh"}, "unknown activation 'tanh': known: erf, gelu, relu"),
        ({"w_std": 0.0}, "w_std must be positive.*got w_std=0.0, b_std=0.1"),
        ({"w_std": -1.0}, "w_std must be positive.*got w_std=-1.0"),
        ({"w_std": math.inf}, "w_std must be positive.*both finite; got w_std=inf"),
        ({"w_std": math.nan}, "w_std must be positive.*got w_std=nan"),
        ({"b_std": -0.1}, "b_std not negative.*got w_std=1.4142135623730951, b_std=-0.1"),
        ({"b_std": math.nan}, "b_std not negative.*b_std=nan"),
    ],
)
@pytest.mark.parametrize("name", ["fc1", "convnet", "myrtle5"])
def test_bad_settings(name: str, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        kernels.named(name, **settings)


@pytest.mark.usefixtures("unchecked")
def test_bad_depths() -> None:
    for depth in (0, -1):
        with pytest.raises(InputError, match=f"depth must be 1 or more; got {depth}"):
            kernels.FullyConnected(depth=depth)
        with pytest.raises(InputError, match=f"depth must be 1 or more; got {depth}"):
            kernels.ConvNet(depth=depth)
    with pytest.raises(InputError, match="a Myrtle network has depth 5, 7 or 10; got 6"):
        kernels.Myrtle(depth=6)
