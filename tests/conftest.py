"""What all tests share: shapes checked as they run, and the data they look at."""

import io
import os
import shutil
import sys
import tempfile
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from jaxtyping import install_import_hook

# blocks shared out over devices (distributed/), of which one has a row too few
jax.config.update("jax_num_cpu_devices", 3)
# most of a test is compiling: programs are kept for as long as pytest runs, for its processes and
# for those that tests start, another pytest among them, and not in the developer's own folder
GIVEN_PROGRAMS = os.environ.get("JAX_COMPILATION_CACHE_DIR")
PROGRAMS = {
    "jax_compilation_cache_dir": GIVEN_PROGRAMS or tempfile.mkdtemp(),
    "jax_persistent_cache_min_compile_time_secs": 0.1,
}
for name, value in PROGRAMS.items():
    jax.config.update(name, value)
    os.environ[name.upper()] = str(value)

# for good, not in a `with`: what is imported inside functions is checked too
install_import_hook("kernel_distill", "beartype.beartype")

# TensorFlow's start-up lines: here, and in the processes that tests start
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")


def pytest_unconfigure(config: pytest.Config) -> None:
    if not GIVEN_PROGRAMS:
        shutil.rmtree(PROGRAMS["jax_compilation_cache_dir"], ignore_errors=True)


@dataclass(frozen=True)
class NaturalImages:
    """Some images of each class: uint8 and int32, whitened ones float32; read-only."""

    mnist_images: np.ndarray
    mnist_labels: np.ndarray
    cifar10_images: np.ndarray
    cifar10_labels: np.ndarray
    fashion_mnist_images: np.ndarray
    fashion_mnist_labels: np.ndarray
    zca_cifar10_images: np.ndarray


@pytest.fixture(scope="session")
def natural() -> NaturalImages:
    with np.load(Path(__file__).parent / "fixtures" / "natural_images.npz") as file:
        arrays = dict(file)
    for array in arrays.values():
        array.flags.writeable = False
    return NaturalImages(**arrays)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of shared data: whole data sets, which the tests of the engine do without."""
    folder = os.environ.get("KERNEL_DISTILL_SHARED")
    if not folder:
        pytest.skip("needs the shared data: set KERNEL_DISTILL_SHARED to their folder")
    return Path(folder).resolve(strict=True)


@pytest.fixture(scope="module", autouse=True)
def _programs_dropped() -> Iterator[None]:
    """A file's programs are of no use to the next, and each holds mappings of memory.

    Linux lets a process have 65,530 of them, and one that compiles beyond ends with a segmentation
    fault: the tests of the convolutional kernel alone take 40,000.
    """
    yield
    jax.clear_caches()


@pytest.fixture(autouse=True)
def _precision_restored() -> Iterator[None]:
    """The command line switches JAX to 64 bits; a test begins without, whatever ran before it.

    Before it too: a fixture of a whole module may have called the command line.
    """
    jax.config.update("jax_enable_x64", False)
    yield
    jax.config.update("jax_enable_x64", False)


@pytest.fixture
def without_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """For runs whose pictures nobody looks at: they take longer than the distilling."""
    from kernel_distill import results

    monkeypatch.setattr(results, "_draw", lambda *result, **run: None)


@dataclass(frozen=True)
class Shown:
    """What TensorBoard has of a run: values of each scalar by step, images by step, texts."""

    scalars: dict[str, dict[int, float]]
    images: dict[int, np.ndarray]
    texts: dict[str, str]

    def lines(self) -> list[tuple[int, str, float]]:
        """What metrics.jsonl should hold, by step and name."""
        return sorted(
            (step, name, value)
            for name, values in self.scalars.items()
            if not name.startswith("result/")
            for step, value in values.items()
        )


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], Shown]:
    """Reads the event file in the folder of a run, by TensorBoard's own means, without TensorFlow.

    Nothing that comes twice is passed over.
    """
    from PIL import Image

    monkeypatch.setitem(sys.modules, "tensorboard.compat.notf", types.ModuleType("notf"))
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    def by_step(events: Any) -> dict[int, Any]:
        found = {event.step: event for event in events}
        assert len(found) == len(events)
        assert list(found) == sorted(found)
        return found

    def read(folder: Path) -> Shown:
        (file,) = (folder / "tensorboard").iterdir()
        all_of_them = {"scalars": 0, "images": 0, "tensors": 0}
        events = EventAccumulator(str(file), all_of_them, purge_orphaned_data=False)
        events.Reload()
        tags = events.Tags()
        assert set(tags["images"]) <= {"support"}
        return Shown(
            scalars={
                tag: {step: each.value for step, each in by_step(events.Scalars(tag)).items()}
                for tag in tags["scalars"]
            },
            images={
                step: np.asarray(Image.open(io.BytesIO(each.encoded_image_string)))
                for tag in tags["images"]
                for step, each in by_step(events.Images(tag)).items()
            },
            texts={
                tag.split("/")[0]: each.tensor_proto.string_val[0].decode()
                for tag in tags["tensors"]
                for each in by_step(events.Tensors(tag)).values()
            },
        )

    return read


@pytest.fixture
def stop_run() -> Callable[..., None]:
    """Distils into a run, begun or gone on with, whose `report` stops it at a step by a signal."""
    import kernel_distill as kd
    from kernel_distill.artefact import Run

    def stop_run(path: Path, distil: Any, report: Any, *, number: int, step: int) -> None:
        with (
            Run.create(path, {}, resume=path.exists()) as run,
            pytest.raises(kd.Interrupted) as raised,
        ):
            distil(run=run, report=report)
        assert raised.value.signal_number == number
        assert run.checkpoints.latest().step == step
        assert not (path / "distilled.npz").exists()

    return stop_run
