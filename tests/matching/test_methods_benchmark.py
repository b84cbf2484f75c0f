"""What benchmarks/methods.py tells the methods, and the table and the picture of what it finds."""

import dataclasses
import importlib
import json
from pathlib import Path
from types import ModuleType

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def methods(monkeypatch) -> ModuleType:
    monkeypatch.syspath_prepend(FOLDER)
    return importlib.import_module("methods")


def test_every_method_takes_its_settings(methods: ModuleType, tmp_path: Path) -> None:
    assert {*methods.KINDS, *methods.NATURAL} == set(methods.SETTINGS)
    for name, settings in methods.KINDS.items():
        told = methods.told(name)["method"]  # of what is left to the defaults, too
        assert set(told) == {each.name for each in dataclasses.fields(settings)}
        assert told["images_per_class"] == methods.IMAGES_PER_CLASS
    told = {"settings": methods.told("kip")}
    (tmp_path / "kip_mnist.json").write_text(json.dumps(told))
    assert methods.is_measured(tmp_path / "kip_mnist.json", "kip")
    assert not methods.is_measured(tmp_path / "kip_mnist.json", "unrolled")
    assert not methods.is_measured(tmp_path / "random_mnist.json", "random")


def test_table_and_picture(methods: ModuleType, tmp_path: Path, monkeypatch) -> None:
    common = {"dataset": "mnist", "mean": 0.9123, "deviation": 0.004}
    results = [
        common | {"method": "kip", "seconds": 61.4, "peak": 300 * 2**20},
        common | {"method": "random", "seconds": None, "peak": None},
    ]
    monkeypatch.syspath_prepend(FOLDER.parent / "experiments")
    tables = importlib.import_module("tables")
    assert set(tables.COMPARED) == set(methods.SETTINGS)
    monkeypatch.setattr(tables, "MEASURED", tmp_path)
    assert tables.compared() == ""
    for each in results:
        (tmp_path / f"{each['method']}_mnist.json").write_text(json.dumps(each))
    header, _, natural, kip_row = tables.compared().splitlines()
    assert header == "| one image a class | MNIST | seconds | MiB |"
    assert natural == "| random natural images | 91.23 ± 0.40 |  |  |"
    assert kip_row == "| KIP | 91.23 ± 0.40 | 61 | 300 |"
    methods.draw(tmp_path / "methods.png", results, methods.DATASETS)
    near, above, after = (
        {"seconds": seconds, "mean": mean} for seconds, mean in ((60, 0.91), (60, 0.95), (99, 0.9))
    )
    is_beside = importlib.import_module("methods_picture").is_beside
    assert is_beside(near, after)
    assert not any(is_beside(*pair) for pair in ((after, near), (above, after), (near, above)))
    assert (tmp_path / "methods.png").stat().st_size > 10_000
