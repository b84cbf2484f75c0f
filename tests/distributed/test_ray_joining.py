"""What is said before any cluster is joined; nothing here starts Ray."""

import sys
from pathlib import Path

import jax
import pytest

from kernel_distill import distributed, kernels, networks
from kernel_distill._errors import InputError, MissingExtraError

FC = kernels.FullyConnected().kernel()


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "RAY_ADDRESS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setitem(sys.modules, "ray", None)  # to import it fails: as if it were not there


def test_ray_is_not_installed() -> None:
    with pytest.raises(MissingExtraError, match=r"pip install 'kernel-distill\[ray\]'"):
        distributed.on_ray(FC)


@pytest.mark.parametrize("address", ["auto", "10.0.0.5:6379"])
@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"RAY_AUTH_MODE": "token"},
        {"RAY_AUTH_TOKEN": "secret", "RAY_AUTH_MODE": "disabled"},
        {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": "/nowhere"},
    ],
)
def test_no_token(
    monkeypatch: pytest.MonkeyPatch, address: str, environment: dict[str, str]
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match=f"to join '{address}', set RAY_AUTH_MODE=token and"):
        distributed.on_ray(FC, address)
    # the next that is looked for is Ray
    with pytest.raises(MissingExtraError):
        distributed.on_ray(FC, address, insecure=True)


def test_auto_is_what_the_variable_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.5:6379")
    with pytest.raises(InputError, match=r"to join '10\.0\.0\.5:6379', set RAY_AUTH_MODE=token"):
        distributed.on_ray(FC, "auto")
    monkeypatch.setenv("RAY_ADDRESS", "ray://10.0.0.5:10001")
    with pytest.raises(InputError, match=r"by host:port; got 'ray://10\.0\.0\.5:10001'"):
        distributed.on_ray(FC, "auto")


@pytest.mark.parametrize("where", ["variable", "file", "default"])
def test_a_token(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, where: str) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    file = tmp_path / ("token" if where == "file" else ".ray/auth_token")
    file.parent.mkdir(exist_ok=True)
    if where == "variable":
        monkeypatch.setenv("RAY_AUTH_TOKEN", "secret")
    else:
        file.write_text("secret")
    if where == "file":
        monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(file))
    with pytest.raises(MissingExtraError):
        distributed.on_ray(FC, "10.0.0.5:6379")


def test_bad_arguments() -> None:
    with pytest.raises(InputError, match="a pair of images at least; got group=0"):
        distributed.on_ray(FC, group=0)
    with pytest.raises(InputError, match=r"by host:port; got 'ray://10\.0\.0\.5:10001'"):
        distributed.on_ray(FC, "ray://10.0.0.5:10001")
    random = networks.random_features(FC.architecture, width=4, key=jax.random.key(0))
    with pytest.raises(InputError, match="depend on no random key"):
        distributed.on_ray(random)
