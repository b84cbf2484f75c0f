"""The digits, on which the methods are tried."""

import pytest

import kernel_distill as kd


@pytest.fixture(scope="session")
def digits() -> kd.data.Dataset:
    return kd.data.load("digits")
