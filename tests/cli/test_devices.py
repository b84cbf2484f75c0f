"""`--devices`, `--tile`, `--memory`: where kernel blocks are computed."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kernel_distill import kernels
from kernel_distill._errors import InputError
from kernel_distill.artefact import read_config
from kernel_distill.cli._devices import DeviceOptions

FC = kernels.FullyConnected(depth=1).kernel()
CONVNET = kernels.ConvNet(depth=1, prepend=False).kernel()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"devices": 0}, "devices must be all, or 1 or more; got 0"),
        ({"tile": "50"}, "tile must be ROWSxCOLUMNS, such as 50x250; got 50"),
        ({"tile": "0x5"}, "tile must be ROWSxCOLUMNS"),
        ({"memory": "8"}, "memory must be a number with its unit, such as 512MiB or 8GiB; got 8"),
        ({"memory": "0GiB"}, "memory must be a number with its unit"),
        ({"memory": "8GiB", "tile": "5x5"}, "say the same thing twice; got 5x5 and 8GiB"),
    ],
)
def test_bad_values(options, message):
    with pytest.raises(InputError, match=message):
        DeviceOptions(**options)


def test_more_devices_than_there_are():
    with pytest.raises(InputError, match="4 devices were asked for; JAX has 3"):
        DeviceOptions(devices=4).place(CONVNET)


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        {"tile": "3x2"},
        {"devices": 2},
        {},
        {"devices": 1},
        {"memory": "0.5GiB"},
    ],
)
def test_same_values_anywhere(options):
    x1, x2 = (jnp.asarray(np.random.default_rng(n).normal(size=(n, 4, 4, 2))) for n in (5, 3))
    for kernel in (FC, CONVNET):
        placed = DeviceOptions(**options).place(kernel)
        np.testing.assert_allclose(placed(x1, x2), kernel(x1, x2), rtol=1e-5)
        np.testing.assert_allclose(placed(x1), kernel(x1), rtol=1e-5)


def test_what_is_shared_out():
    assert DeviceOptions().place(FC) is FC
    assert DeviceOptions(devices=1).place(CONVNET) is CONVNET
    x = jnp.ones((6, 4, 4, 2))
    for count in (2, 3):
        kernel = DeviceOptions(devices=count).place(CONVNET)
        assert len(jax.jit(kernel.cross)(x, x).sharding.device_set) == count


def test_members_of_a_mixture_are_placed_each():
    placed = DeviceOptions(tile="2x2").place(kernels.mixture(FC, CONVNET))
    assert [type(member).__name__ for member in placed.members] == ["TiledKernel", "MeshKernel"]


@pytest.mark.slow
@pytest.mark.usefixtures("without_pictures")
def test_a_run_goes_on_elsewhere(cli, own, tmp_path):
    out = tmp_path / "run"
    options = ("--dataset", own, "--steps", 3, "--validation-size", 9)
    assert cli("kip", *options, "--tile", "20x2", "--out", out).status == 0
    assert read_config(out / "config.yaml")["tile"] == "20x2"
    outcome = cli("kip", "--out", out, "--resume", "--tile", "8x3", "--devices", 1)
    assert outcome.status == 0
    assert "elsewhere than it began (devices: all then, 1 now; tile: 20x2 then, 8x3" in outcome.err
