"""Convolutional kernels against their recursion, written down in numpy, pixel pair by pixel pair.

Apart from neural-tangents, which computes the kernels under test.
"""

import itertools
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
import pytest

from kernel_distill import kernels

pytestmark = pytest.mark.kernels


@dataclass
class Covariances:
    """nngp and ntk of two images: of each pixel of one with each of the other, [h, w, h, w]."""

    nngp: np.ndarray
    ntk: np.ndarray


@dataclass
class Recursion:
    """A network's layers, acting on the covariances of an image pair and of each with itself."""

    w_std: float
    b_std: float

    def kernel(self, x1: np.ndarray, x2: np.ndarray, architecture: kernels.ConvNet) -> Covariances:
        pairs = [self.of_input(*pair) for pair in ((x1, x2), (x1, x1), (x2, x2))]
        for _ in range(architecture.prepend):
            pairs = self.relu([self.convolution(pair) for pair in pairs])
        for _ in range(architecture.depth):
            pairs = self.relu([self.convolution(pair) for pair in pairs])
            pairs = [self.pooling(pair) for pair in pairs]
        return self.readout(pairs[0])

    def of_input(self, x1: np.ndarray, x2: np.ndarray) -> Covariances:
        nngp = np.einsum("ijc,klc->ijkl", x1, x2) / x1.shape[-1]
        return Covariances(nngp, np.zeros_like(nngp))

    def convolution(self, before: Covariances) -> Covariances:
        nngp = self.w_std**2 * self.box(before.nngp) + self.b_std**2
        return Covariances(nngp, self.w_std**2 * self.box(before.ntk) + nngp)

    @staticmethod
    def box(covariance: np.ndarray) -> np.ndarray:
        """Means over 3x3, both pixels shifted together; outside the images there are zeros."""
        height, width = covariance.shape[:2]
        result = np.zeros_like(covariance)
        for i, j, k, m in np.ndindex(*covariance.shape):
            for a, b in itertools.product((-1, 0, 1), repeat=2):
                inside = 0 <= i + a < height and 0 <= j + b < width
                if inside and 0 <= k + a < height and 0 <= m + b < width:
                    result[i, j, k, m] += covariance[i + a, j + b, k + a, m + b] / 9
        return result

    @staticmethod
    def relu(pairs: list[Covariances]) -> list[Covariances]:
        variances = [np.einsum("ijij->ij", pairs[image].nngp) for image in (1, 2)]
        results = []
        for pair, (first, second) in zip(pairs, ((0, 1), (0, 0), (1, 1)), strict=True):
            result = Covariances(np.zeros_like(pair.nngp), np.zeros_like(pair.ntk))
            for i, j, k, m in np.ndindex(*pair.nngp.shape):
                stds = np.sqrt(variances[first][i, j] * variances[second][k, m])
                if first == second and (i, j) == (k, m):
                    angle = 0.0
                else:
                    angle = np.arccos(np.clip(pair.nngp[i, j, k, m] / stds, -1, 1))
                k0 = (np.pi - angle) / (2 * np.pi)
                k1 = (np.sin(angle) + (np.pi - angle) * np.cos(angle)) / (2 * np.pi)
                result.nngp[i, j, k, m] = stds * k1
                result.ntk[i, j, k, m] = pair.ntk[i, j, k, m] * k0
            results.append(result)
        return results

    @staticmethod
    def pooling(before: Covariances) -> Covariances:
        height, width = (size // 2 for size in before.nngp.shape[:2])  # a rest of one is left out

        def pooled(covariance: np.ndarray) -> np.ndarray:
            result = np.zeros((height, width, height, width))
            for i, j, k, m in np.ndindex(*result.shape):
                result[i, j, k, m] = covariance[
                    2 * i : 2 * i + 2, 2 * j : 2 * j + 2, 2 * k : 2 * k + 2, 2 * m : 2 * m + 2
                ].mean()
            return result

        return Covariances(pooled(before.nngp), pooled(before.ntk))

    def readout(self, before: Covariances) -> Covariances:
        """Flattened, hence only equal positions, and dense."""
        nngp = self.w_std**2 * np.einsum("ijij->ij", before.nngp).mean() + self.b_std**2
        ntk = self.w_std**2 * np.einsum("ijij->ij", before.ntk).mean() + nngp
        return Covariances(nngp, ntk)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize(
    ("architecture", "shape"),
    [
        (kernels.ConvNet(depth=1, prepend=False), (4, 4, 2)),
        pytest.param(  # odd sizes
            *(kernels.ConvNet(depth=1, prepend=True, w_std=1.1, b_std=0.0), (5, 3, 1)),
            marks=pytest.mark.slow,
        ),
        pytest.param(
            *(kernels.ConvNet(depth=2, prepend=False, w_std=0.9, b_std=0.7), (4, 5, 3)),
            marks=pytest.mark.slow,
        ),
    ],
)
def test_convnet_is_the_recursion(architecture: kernels.ConvNet, shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    x1, x2 = rng.normal(size=(2, *shape)), rng.normal(size=(3, *shape))
    recursion = Recursion(architecture.w_std, architecture.b_std)
    cross = [[recursion.kernel(a, b, architecture) for b in x2] for a in x1]
    of_self = [[recursion.kernel(a, b, architecture) for b in x1] for a in x1]

    @jax.jit
    def compute(x1: jax.Array, x2: jax.Array) -> dict[str, Any]:
        built = {kind: architecture.kernel(kind) for kind in ("ntk", "nngp")}
        return {kind: (kernel(x1, x2), kernel(x1)) for kind, kernel in built.items()}

    for kind, (block, self_block) in compute(x1, x2).items():
        expected = [[getattr(pair, kind) for pair in row] for row in cross]
        np.testing.assert_allclose(block, expected, rtol=1e-12)
        # on the diagonal neural-tangents' angle is the square root of rounding
        expected = [[getattr(pair, kind) for pair in row] for row in of_self]
        np.testing.assert_allclose(self_block, expected, rtol=1e-7)
