"""Streaming least squares against numpy.linalg.lstsq."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kernel_distill.label_solve import _least_squares as least_squares

CUTOFF = 1e-10


@pytest.fixture(autouse=True)
def _float64():
    with jax.enable_x64(True):
        yield


def streamed(rows, targets, sizes):
    """Takes the rows in in blocks of these sizes, the last of which may be ragged."""
    triangle = least_squares.start(rows.shape[1], targets.shape[1])
    begin = 0
    for size in sizes:
        some = slice(begin, begin + size)
        triangle = least_squares.absorb(
            triangle, jnp.asarray(rows[some]), jnp.asarray(targets[some])
        )
        begin += size
    assert begin >= len(rows)
    return least_squares.solve(triangle, num_classes=targets.shape[1], cutoff=CUTOFF)


def problem(n, s, classes=4, seed=0):
    random = np.random.default_rng(seed)
    return random.standard_normal((n, s)), random.standard_normal((n, classes))


@pytest.mark.parametrize(
    ("n", "s", "sizes"),
    [
        (60, 7, [60]),
        (60, 7, [1000]),
        (60, 7, [20, 20, 20]),
        (61, 7, [16, 16, 16, 13]),
        (23, 7, [1] * 23),
        (7, 7, [3, 4]),
        (5, 9, [2, 2, 1]),  # fewer rows than unknowns: the minimum-norm solution
    ],
)
def test_agrees_with_lstsq(n, s, sizes):
    rows, targets = problem(n, s)
    solution, rank = streamed(rows, targets, sizes)
    expected, _, expected_rank, _ = np.linalg.lstsq(rows, targets, rcond=CUTOFF)
    assert rank == expected_rank == min(n, s)
    np.testing.assert_allclose(solution, expected, rtol=0, atol=1e-11 * np.abs(expected).max() * s)


def test_rank_deficient_gives_the_minimum_norm():
    rows, targets = problem(50, 8)
    rows[:, 3] = rows[:, 1]  # a duplicated column
    rows[:, 5] = 2 * rows[:, 0] - rows[:, 1]  # and a combination
    rows[:, 7] = 0
    solution, rank = streamed(rows, targets, [13] * 4)
    expected, _, expected_rank, _ = np.linalg.lstsq(rows, targets, rcond=CUTOFF)
    assert rank == expected_rank == 5
    np.testing.assert_allclose(solution, expected, rtol=0, atol=1e-11)
    np.testing.assert_allclose(solution[3], solution[1], rtol=0, atol=1e-11)
    np.testing.assert_array_equal(solution[7], 0)


def test_condition_is_not_squared():
    """Normal equations in float64 would lose all digits at a condition number of 1e9."""
    random = np.random.default_rng(1)
    left, _ = np.linalg.qr(random.standard_normal((200, 6)))
    right, _ = np.linalg.qr(random.standard_normal((6, 6)))
    rows = left @ np.diag(np.geomspace(1, 1e-9, 6)) @ right.T
    truth = random.standard_normal((6, 3))
    solution, rank = streamed(rows, rows @ truth, [64] * 4)
    assert rank == 6
    np.testing.assert_allclose(solution, truth, rtol=0, atol=1e-5)
    gram = np.linalg.eigvalsh(rows.T @ rows)
    assert gram[0] < 1e-15 * gram[-1]  # what they would have had to work with


def test_singular_values_below_the_cutoff_count_as_zero():
    rows = np.diag([1.0, 1e-3, 1e-6])
    triangle = least_squares.absorb(
        least_squares.start(3, 1), jnp.asarray(rows), jnp.ones((3, 1), jnp.float64)
    )
    for cutoff, rank in ((1e-7, 3), (1e-4, 2), (1e-2, 1)):
        solution, found = least_squares.solve(triangle, num_classes=1, cutoff=cutoff)
        assert found == rank
        np.testing.assert_allclose(
            solution[:, 0], [1, 1e3 * (rank > 1), 1e6 * (rank > 2)], rtol=1e-9
        )


def test_memory_does_not_depend_on_the_number_of_rows():
    triangle = least_squares.start(5, 2)
    for n in (1, 10, 1000):
        rows, targets = (jnp.asarray(each) for each in problem(n, 5, 2))
        triangle = least_squares.absorb(triangle, rows, targets)
        assert triangle.shape == (7, 7)


def test_order_and_blocks_change_only_rounding():
    rows, targets = problem(100, 6)
    one, _ = streamed(rows, targets, [100])
    other, _ = streamed(rows[::-1], targets[::-1], [37, 37, 37])
    np.testing.assert_allclose(one, other, rtol=0, atol=1e-13)
