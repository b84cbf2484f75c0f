"""How blocks are divided into groups, and how their parts are added."""

import itertools

import numpy as np
import pytest

from kernel_distill._errors import DamagedFileError
from kernel_distill.artefact import Run
from kernel_distill.distributed._groups import SECONDS, Groups, group_shape, measured_pairs
from kernel_distill.distributed._sums import TreeSum


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 7])
def test_a_sum_does_not_depend_on_the_order(count: int) -> None:
    terms = np.random.default_rng(0).normal(size=(count, 3)).astype(np.float32)
    found = set()
    for order in itertools.islice(itertools.permutations(range(count)), 300):
        total = TreeSum(count)
        for number in order:
            total.add(number, terms[number])
        found.add(total.total.tobytes())
        np.testing.assert_allclose(total.total, terms.sum(axis=0), rtol=1e-5, atol=1e-6)
    assert len(found) == 1


def test_a_sum_keeps_few_terms_where_they_come_in_order() -> None:
    total = TreeSum(100)
    kept = []
    for number in range(100):
        total.add(number, np.ones(1))
        kept.append(len(total._kept))
    assert max(kept) <= 7
    assert total.total == 100


@pytest.mark.parametrize("pairs", [1, 7, 64, 1000, 10**7])
@pytest.mark.parametrize(("n1", "n2"), [(1, 1), (5000, 10), (10, 5000), (13, 7), (5000, 500)])
def test_shape_of_a_group(pairs: int, n1: int, n2: int) -> None:
    rows, columns = group_shape(pairs, n1, n2)
    assert 1 <= rows <= n1
    assert 1 <= columns <= n2
    assert rows * columns <= pairs
    # as many as there may be, but for what whole rows and columns leave
    assert min(pairs, n1 * n2) < (rows + 1) * (columns + 1)


@pytest.mark.parametrize("of_pair", [1e-8, 1e-4, 4e-3, 2.0])
def test_measured_groups_take_the_time_they_should(of_pair: float) -> None:
    measured = []

    def seconds(rows: int, columns: int) -> float:
        measured.append((rows, columns))
        return 1e-5 + of_pair * rows * columns

    pairs = measured_pairs(seconds, 5000, 500)
    assert pairs == pytest.approx(max(1, SECONDS / of_pair), rel=0.05)
    assert measured[0] == (8, 8)
    assert max(rows for rows, _ in measured) <= 5000
    assert max(columns for _, columns in measured) <= 500


def test_groups_are_measured_once_in_a_run(tmp_path) -> None:
    with Run.create(tmp_path / "run", {}) as run:
        groups = Groups(None).kept_in(run.settled)
        assert groups.pairs("a", lambda: 17) == 17
        assert groups.pairs("b", lambda: 23) == 23
        assert groups.pairs("a", lambda: pytest.fail("measured again")) == 17
    with Run.create(tmp_path / "run", {}, resume=True) as run:
        groups = Groups(None).kept_in(run.settled)
        assert groups.pairs("a", lambda: pytest.fail("measured again")) == 17
        assert groups.pairs("c", lambda: 5) == 5
    with Run.create(tmp_path / "run", {}, overwrite=True) as run:
        assert Groups(None).kept_in(run.settled).pairs("a", lambda: 3) == 3
    assert Groups(4).kept_in(run.settled).pairs("a", lambda: pytest.fail("measured")) == 4


@pytest.mark.parametrize("text", ["[]", '"x"', "0", "{", "\x80"])
def test_what_was_kept_is_damaged(tmp_path, text: str) -> None:
    with Run.create(tmp_path / "run", {}) as run:
        (run.path / "settled.json").write_bytes(text.encode("latin-1"))
        with pytest.raises(DamagedFileError, match=r"settled\.json is not the JSON.*or remove it"):
            Groups(None, run.settled).pairs("a", lambda: 17)


@pytest.mark.parametrize("value", ["0", "-3", "2.5", "true", '"17"', "null", "[17]"])
def test_what_was_kept_is_no_number(tmp_path, value: str) -> None:
    with Run.create(tmp_path / "run", {}) as run:
        (run.path / "settled.json").write_text(f'{{"a": {value}, "b": 3}}')
        groups = Groups(None, run.settled)
        with pytest.raises(DamagedFileError, match=r"for 'a' \(settled\.json\), which is no"):
            groups.pairs("a", lambda: 17)
        assert groups.pairs("b", lambda: 17) == 3


def test_what_was_kept_cannot_be_read(tmp_path) -> None:
    with Run.create(tmp_path / "run", {}) as run:
        (run.path / "settled.json").mkdir()
        with pytest.raises(DamagedFileError, match="Is a directory"):
            run.settled("a", lambda: 17)
