"""What `import kernel_distill` costs and touches."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import kernel_distill

# loaded when they are first used
HEAVY = {
    *("PIL", "flax", "matplotlib", "neural_tangents", "optax", "pyarrow", "ray", "rich", "scipy"),
    *("sklearn", "tensorboard", "tensorboardX", "tensorflow", "tensorflow_datasets", "torch"),
    *("tyro", "wandb", "yaml"),
}

# names load what is behind them where they are first used
ALL = "import kernel_distill; [getattr(kernel_distill, name) for name in dir(kernel_distill)]"
# those of the first lines of the package's docstring
FIRST = "from kernel_distill import data, evaluate, kernels, kip, load"


def run_in_new_process(program: str) -> Any:
    """What the program prints as JSON in its last line."""
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout.splitlines()[-1])


def test_import_loads_what_is_used() -> None:
    none, first = run_in_new_process(
        f"""
import json, sys
import kernel_distill
none = sorted(sys.modules)
{FIRST}
print(json.dumps([none, sorted(sys.modules)]))
"""
    )
    assert not [name for name in none if name.split(".")[0] in ("jax", "numpy")]
    assert not [name for name in none if name.startswith("kernel_distill.")]
    assert "kernel_distill.kip" in first
    assert not {"kernel_distill.matching", "kernel_distill.foreign"} & set(first)


def test_modules_of_the_reference_are_names_of_the_package() -> None:
    page = Path(__file__).parents[2] / "docs" / "reference" / "python.md"
    modules = re.findall(r"^\| \[`(\w+)`\]", page.read_text(), re.MULTILINE)
    assert "kip" in modules
    assert set(modules) <= set(dir(kernel_distill))


def test_no_name_loads_anything_heavy() -> None:
    loaded = run_in_new_process(
        f"""
import jax, json, sys
before = set(sys.modules)
{ALL}
print(json.dumps(sorted(set(sys.modules) - before)))
"""
    )
    assert {"kernel_distill.kernels", "kernel_distill.matching"} <= set(loaded)
    assert not HEAVY & set(loaded)


def test_import_costs_little_more_than_jax() -> None:
    def seconds(statement: str) -> float:
        return run_in_new_process(
            f"""
import time
start = time.perf_counter()
{statement}
print(time.perf_counter() - start)
"""
        )

    # other programs slow single runs down, by more than is measured here: the fastest of some
    fastest = {"import jax": float("inf"), FIRST: float("inf")}
    for _ in range(8):
        fastest = {each: min(fastest[each], seconds(each)) for each in fastest}
        if fastest[FIRST] <= 1.5 * fastest["import jax"]:
            return
    pytest.fail(f"what a distillation imports costs more than 1.5 times import jax: {fastest}")


def test_import_leaves_jax_settings_alone() -> None:
    before, after = run_in_new_process(
        f"""
import jax, json
def settings():
    return {{name: repr(value) for name, value in jax.config.values.items()}}
before = settings()
{ALL}
print(json.dumps([before, settings()]))
"""
    )
    assert "jax_enable_x64" in before
    assert after == before


@pytest.mark.kernels
def test_import_of_neural_tangents_leaves_jax_as_it_was() -> None:
    before, after, loaded = run_in_new_process(
        """
import warnings, jax, jax.core, json, sys
import jax.extend.core
from jax.interpreters import ad
import kernel_distill
warnings.simplefilter("ignore")
def state():
    return [
        dir(jax.core), dir(ad), hasattr(jax, "util"),
        {name: repr(value) for name, value in jax.config.values.items()},
        "jax.util" in sys.modules, "neural_tangents.experimental" in sys.modules,
    ]
before = state()
stax = kernel_distill.kernels.neural_tangents().stax
print(json.dumps([before, state(), sorted(sys.modules)]))
"""
    )
    assert after == before
    assert "neural_tangents.stax" in loaded
    assert "tensorflow" not in loaded
