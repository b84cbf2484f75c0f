"""The angle and the segment against numpy's functions, and a series where those cancel."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kernel_distill.kernels._angles import angle, segment

pytestmark = pytest.mark.kernels


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 3e-7), (np.float64, 1e-15)])
def test_angle_and_segment(dtype: Any, tolerance: float) -> None:
    # 1 - cos(a) = 2 sin(a/2)^2
    angles = np.concatenate([np.logspace(-5, -1, 200), np.linspace(0.1, np.pi / 2, 500)])
    u = 2 * np.sin(angles / 2) ** 2
    series = angles**3 / 3 - angles**5 / 30 + angles**7 / 840 - angles**9 / 45360
    segments = np.where(angles < 0.1, series, np.sin(angles) - angles * np.cos(angles))
    with jax.enable_x64(True):
        x = jnp.asarray(u, dtype)
        got_angle, got_segment = np.asarray(angle(x)), np.asarray(segment(x))
    assert got_angle.dtype == got_segment.dtype == dtype
    np.testing.assert_allclose(got_angle, angles, rtol=tolerance)
    # numpy's difference cancels: a hundredth of its terms is left at 0.1
    cancelled = 300 if dtype == np.float64 else 3
    np.testing.assert_allclose(got_segment, segments, rtol=cancelled * tolerance)


def test_both_ends() -> None:
    u = jnp.array([0.0, 1.0])
    np.testing.assert_allclose(angle(u), [0, np.pi / 2], rtol=3e-7)
    np.testing.assert_allclose(segment(u), [0, 1], rtol=3e-7)
