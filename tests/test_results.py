"""What a distillation gives back and writes down."""

import base64
import copy
import json
import shutil
from dataclasses import replace

import jax
import numpy as np
import pytest
import yaml
from safetensors.numpy import load_file

import kernel_distill as kd
from kernel_distill import results
from kernel_distill.artefact import Run
from kernel_distill.report import read_page
from kernel_distill.watchers import TensorBoard

KERNEL = kd.kernels.FullyConnected(depth=1, w_std=1.5).kernel("nngp")
METHODS = {
    "kip": (kd.kip.distill, {"steps": 7, "images_per_class": 2}),
    "label-solve": (kd.label_solve.distill, {"images_per_class": 2}),
}
PICTURES = {}  # what images.png was made of, in natural colours


@pytest.fixture(scope="module", params=METHODS)
def written(request, tmp_path_factory):
    distill, settings = METHODS[request.param]
    path = tmp_path_factory.mktemp("run")
    dataset = kd.data.load("digits", preprocessing="zca", validation_size=97)
    drawn = {}
    draw = results.save_pictures

    def save_pictures(run, **given):
        drawn.update(given)
        draw(run, **given)

    with (
        pytest.MonkeyPatch.context() as patch,
        Run.create(path, {"anything": 1}, watchers=[TensorBoard()]) as run,
    ):
        patch.setattr(results, "save_pictures", save_pictures)
        result = distill(KERNEL, dataset, key=jax.random.key(11), run=run, **settings)
    PICTURES[path] = drawn
    return request.param, path, result, dataset


def steps_of_page(path):
    return [frame.step for frame in read_page(path).stories[0].sprites.frames]


def test_files(written):
    method, path, _, _ = written
    files = {each.name for each in path.iterdir()}
    expected = {"config.yaml", "distilled.npz", "preprocessing.npz", "metrics.jsonl"}
    expected |= {"result.json", "images.png", "labels.png", "report.html", "checkpoints", ".lock"}
    expected |= {"tensorboard"}
    assert files == expected | ({"curves.png"} if method == "kip" else set())
    assert yaml.safe_load((path / "config.yaml").read_text()) == {"anything": 1}
    for line in (path / "metrics.jsonl").read_text().splitlines():
        assert "step" in json.loads(line)


def test_finished_run_that_goes_on_is_not_tested_again(written, monkeypatch):
    method, path, result, dataset = written
    distill, settings = METHODS[method]
    before = json.loads((path / "result.json").read_text())

    def measured(*arguments, **options):
        raise AssertionError("measured again")

    monkeypatch.setattr(results, "measure_labels", measured)
    for name in (
        "result.json",
        "images.png",
        "report.html",
    ):  # as if it had been killed before the end
        (path / name).unlink()
    with Run.create(path, {"anything": 1}, resume=True) as run:
        again = distill(KERNEL, dataset, key=jax.random.key(11), run=run, **settings)
    after = json.loads((path / "result.json").read_text())
    assert after == before | {"wall_seconds": after["wall_seconds"]}
    assert (path / "images.png").exists()
    assert read_page(path).stories[0].accuracy == result.test_accuracy
    for name in ("test_accuracy", "initial_test_accuracy", "validation_accuracy"):
        assert getattr(again, name) == getattr(result, name)


@pytest.mark.parametrize("damaged", [False, True])
def test_other_or_damaged_result_is_tested(written, tmp_path, damaged):
    method, path, result, dataset = written
    distill, settings = METHODS[method]
    folder = shutil.copytree(path, tmp_path / "run")
    file = folder / "distilled.npz"
    checkpoint = folder / "checkpoints" / "step_00000003.safetensors"
    if damaged:
        file.write_bytes(file.read_bytes()[:1000])
        if method == "kip":
            checkpoint.write_bytes(b"")
    else:
        metadata = copy.deepcopy(result.distilled.metadata)
        metadata["metrics"]["test_accuracy"] = 2.0
        labels = result.distilled.labels + 1
        other = replace(result.distilled, labels=labels, metadata=metadata)
        other.save(file)
    with Run.create(folder, {"anything": 1}, resume=True) as run:
        again = distill(KERNEL, dataset, key=jax.random.key(11), run=run, **settings)
    assert again.test_accuracy == result.test_accuracy
    assert kd.load(file).metadata["metrics"]["test_accuracy"] == result.test_accuracy
    if method == "kip":  # a step that cannot be read is one less on the page
        assert (3 in steps_of_page(folder)) == (not damaged)


def test_a_page_that_cannot_be_made_loses_nothing(written, tmp_path, monkeypatch):
    method, path, result, dataset = written
    distill, settings = METHODS[method]
    folder = shutil.copytree(path, tmp_path / "run")
    (folder / "result.json").unlink()

    def fails(*story, **options):
        assert (folder / "result.json").exists()
        raise RuntimeError("no page")

    monkeypatch.setattr(results, "tell", fails)
    monkeypatch.setattr(results, "save_pictures", lambda run, **given: None)  # they take a second
    with (
        Run.create(folder, {"anything": 1}, resume=True) as run,
        pytest.warns(UserWarning, match=r"report\.html could not be made .*no page"),
    ):
        again = distill(KERNEL, dataset, key=jax.random.key(11), run=run, **settings)
    assert again.test_accuracy == result.test_accuracy
    assert kd.load(folder).metadata["metrics"]["test_accuracy"] == result.test_accuracy


def test_the_page_has_the_steps_that_are_kept(written):
    method, path, result, _ = written
    (story,) = read_page(path).stories
    frames = story.sprites.frames
    assert frames[story.result].step == result.distilled.metadata["step"]
    order = list(story.sprites.rows)
    supports = {0: result.initial.labels, frames[story.result].step: result.distilled.labels}
    for file in path.glob("checkpoints/*.safetensors"):
        tensors = load_file(file)
        if method == "kip":
            supports[int(file.stem[5:])] = tensors["['support']['labels']"]
    assert [frame.step for frame in frames] == sorted(supports)
    for frame in frames:
        whole = np.frombuffer(base64.b64decode(frame.labels), "<i2").reshape(20, 10)
        expected = supports[frame.step][order]
        np.testing.assert_allclose(
            frame.scale * whole, expected, rtol=0, atol=np.abs(expected).max() / 2**15
        )
    pictures = {frame.picture for frame in frames}
    assert len(pictures) == (len(frames) if method == "kip" else 1)  # Label Solve keeps its images
    assert set(story.series) == (
        {"validation_accuracy", "validation_loss", "batch_accuracy", "loss"}
        if method == "kip"
        else set()
    )


def test_what_tensorboard_shows(written, shown):
    method, path, result, _ = written
    found = shown(path)
    logged = [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]
    assert found.lines() == sorted(
        (line["step"], name, np.float32(value))
        for line in logged
        for name, value in line.items()
        if name != "step"
    )
    last = result.steps
    assert found.scalars["result/test_accuracy"] == {last: np.float32(result.test_accuracy)}
    assert yaml.safe_load(found.texts["config"]) == {"anything": 1}
    # the steps of the kept checkpoints, and of Label Solve's images, which stay, one
    kept = [int(file.stem[5:]) for file in sorted(path.glob("checkpoints/*.safetensors"))]
    assert list(found.images) == (kept if method == "kip" else [0])
    # as images.png has them: by class, two images in a row, each pixel 8x8 dots, 4 between images
    order = np.argsort(result.initial.labels.argmax(axis=1), kind="stable")
    states = {0: "before", result.distilled.metadata["step"]: "after"}
    for step in states if method == "kip" else [0]:
        dots = found.images[step]
        assert dots.shape == (10 * 68 + 4, 2 * 68 + 4, 3)
        for place, row in enumerate(order):
            top, left = 4 + 68 * (place // 2), 4 + 68 * (place % 2)
            cell = dots[top : top + 64, left : left + 64].reshape(8, 8, 8, 8, 3)
            pixels = 255 * PICTURES[path][states[step]][row]
            assert np.abs(cell - pixels[:, None, :, None]).max() <= 0.501  # rounded


def test_result_json(written):
    method, path, result, _ = written
    found = json.loads((path / "result.json").read_text())
    assert list(found) == [
        "test_accuracy",
        "initial_test_accuracy",
        "validation_accuracy",
        "support_size",
        "steps",
        "wall_seconds",
        "device",
    ]
    for name in ("test_accuracy", "initial_test_accuracy", "validation_accuracy"):
        assert 0.3 < found[name] < 1  # fractions
        assert found[name] == getattr(result, name)
    assert found["support_size"] == 20
    assert found["steps"] == result.steps == {"kip": 7, "label-solve": 1}[method]
    assert found["wall_seconds"] > 0
    assert "cpu" in found["device"]


def test_artefact(written):
    method, path, result, dataset = written
    loaded = kd.load(path)
    assert np.array_equal(loaded.images, result.distilled.images)
    assert np.array_equal(loaded.labels, result.distilled.labels)
    metadata = loaded.metadata
    assert metadata["format_version"] == 1
    assert metadata["method"] == method
    assert metadata["dataset"]["name"] == "digits"
    assert metadata["dataset"]["class_names"] == list("0123456789")
    assert metadata["dataset"]["train_size"] == len(dataset.train)
    assert metadata["dataset"]["validation_size"] == 97
    assert metadata["architecture"] == {
        "name": "fc1",
        "w_std": 1.5,
        "b_std": 0.1,
        "activation": "relu",
    }
    assert metadata["kernel"] == "nngp"
    assert metadata["ridge"] == 1e-6
    assert metadata["label_convention"] == "one-hot minus 1/C"
    assert metadata["preprocessing"]["fingerprint"] == dataset.test.fingerprint
    assert metadata["seed"] == [0, 11]
    assert metadata["settings"]["images_per_class"] == 2
    assert metadata["metrics"]["test_accuracy"] == result.test_accuracy
    assert metadata["packages"]["jax"] == jax.__version__
    assert {"kernel_distill", "numpy", "python"} <= set(metadata["packages"])
    assert metadata["created"].endswith("+00:00")


def test_loaded_artefact_knows_its_kernel_and_its_data(written):
    _, path, result, _ = written
    loaded = kd.load(path)
    again = kd.data.load_again(loaded.metadata)
    assert kd.evaluate(loaded, again.test).accuracy == result.test_accuracy


def test_initial_support_is_an_artefact_too(written):
    _, _, result, dataset = written
    assert result.initial.metadata["state"] == "initial"
    assert kd.evaluate(result.initial, dataset.test).accuracy == result.initial_test_accuracy


def test_nothing_is_written_without_a_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    kd.label_solve.distill(KERNEL, kd.data.load("digits"), key=jax.random.key(0))
    assert not list(tmp_path.iterdir())
