"""How much fits."""

import pytest

from kernel_distill import _memory


@pytest.mark.parametrize(
    ("memory", "expected"), [(None, 1), (1, 1), (2 * 7, 1), (2 * 20, 2), (2 * 57, 5), (2**40, 10)]
)
def test_as_many_at_a_time_as_half_the_memory_takes(monkeypatch, memory, expected):
    """Each takes 7 bytes: 2 (of 10 in five groups), 8 (in two groups of five), or all."""
    monkeypatch.setattr(_memory, "available_memory", lambda: memory)
    assert _memory.at_a_time(10, 7) == expected
