"""Bad input: a line on standard error that helps, exit status 1, and nothing left behind."""

import pickle
import shutil
import sys
import zipfile

import jax
import numpy as np
import pytest

QUICK = ("--steps", 2)


def assert_refused(outcome, *parts):
    assert outcome.status == 1
    assert outcome.out == ""
    assert "Traceback" not in outcome.err
    text = " ".join(outcome.err.replace("│", " ").split())
    for part in parts:
        assert part in text


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (("kpi",), ["error: unknown command 'kpi': did you mean 'kip'"]),
        (("labelsolve", "--out", "x"), ["did you mean 'label-solve'"]),
        ((), ["{kip,", "label-solve", "completion}"]),
        (("kip",), ["--out"]),
        (("kip", "--out"), ["--out"]),
        (("kip", "--stps", "3"), ["--stps", "--steps"]),
        (("kip", "--dataset", "mnst"), ["unknown data set 'mnst': did you mean 'mnist'"]),
        (("kip", "--dataset", "digit"), ["did you mean 'digits'"]),
        (("kip", "--architecture", "fc"), ["unknown architecture 'fc': did you mean", "'fc1'"]),
        (("kip", "--architecture", "convnt3"), ["did you mean 'convnet3'"]),
        (("kip", "--optimizer", "adm"), ["unknown optimizer 'adm': did you mean 'adam'"]),
        (("kip", "--optimizer", "lbfgs"), ["'lbfgs' needs more than a gradient"]),
        (("kip", "--schedule", "cosin"), ["unknown schedule 'cosin': did you mean 'cosine'"]),
        (("kip", "--augment", "flp"), ["unknown augmentation 'flp': did you mean 'flip'"]),
        (("kip", "--preprocessing", "zac"), ["did you mean 'zca'"]),
        (("kip", "--kernel", "ntx"), ["--kernel", "ntk"]),
        (("kip", "--precision", "float16"), ["--precision", "float32"]),
        (("kip", "--steps", "many"), ["--steps"]),
        (("kip", "--steps", "-3"), ["error: steps must not be negative; got -3"]),
        (("kip", "--ridge", "-1"), ["error: ridge must be 0 or more, and finite; got -1"]),
        (("kip", "--corruption", "2"), ["corruption must lie between 0 and 1; got 2.0"]),
        (("kip", "--w-std", "0"), ["w_std must be positive"]),
        (("kip", "--validation-size", "-1"), ["validation_size must be at least 0; got -1"]),
        (("kip", "--images-per-class", "200"), ["200 images per class were asked for; class"]),
        (("kip", "--support-size", "9999"), ["a support of 9999 images is larger than the train"]),
        (("kip", "--images-per-class", "1", "--support-size", "9"), ["give one of them"]),
        (("kip", "--architecture", "myrtle5"), ["myrtle5 pools the image 5 times", "32x32"]),
        (("kip", "--dataset", "./none.npz"), ["no such file: none.npz"]),
        (("label-solve", "--architecture", "fc1", "fc2"), ["Label Solve takes one architecture"]),
        (("label-solve", "--block-size", "0"), ["block_size must be 1 or more; got 0"]),
    ],
)
def test_distilling(cli, tmp_path, monkeypatch, arguments, parts):
    monkeypatch.chdir(tmp_path)
    given = arguments
    if len(arguments) > 1 and "--out" not in arguments:
        given = (*arguments, "--out", "run")
    assert_refused(cli(*given), *parts)
    assert not list(tmp_path.iterdir())


def bad_images(images, labels):
    images[3, 2, 1] = np.nan


def too_many_labels(images, labels):
    return images, np.append(labels, 0)


def labels_with_a_gap(images, labels):
    labels[labels == 1] = 3


def negative_label(images, labels):
    labels[5] = -1


def wrong_rank(images, labels):
    return images[..., None, None], labels


def empty(images, labels):
    return images[:0], labels[:0]


@pytest.mark.parametrize(
    "spoiled",
    [
        (bad_images, ["finite", "[3] at [2, 1, 0]"]),
        (too_many_labels, ["same number of rows", "(90, 6, 5, 1)", "(91,)"]),
        (labels_with_a_gap, ["none of class 1"]),
        (negative_label, ["[5] = -1"]),
        (wrong_rank, ["[n, height, width, channel]", "(90, 6, 5, 1, 1)"]),
        (empty, ["empty", "(0, 6, 5, 1)"]),
    ],
    ids=lambda spoiled: spoiled[0].__name__,
)
@pytest.mark.parametrize("command", ["kip", "label-solve"])
def test_own_data(cli, tmp_path, own, command, spoiled):
    spoil, parts = spoiled
    with np.load(own) as file:
        images, labels = file["images"], file["labels"]
    images, labels = spoil(images, labels) or (images, labels)
    np.savez(own, images=images, labels=labels)
    assert_refused(cli(command, "--dataset", own, "--out", tmp_path / "run"), own.name, *parts)
    assert not (tmp_path / "run").exists()


class Harmful:
    ran = False

    def __reduce__(self):
        return (setattr, (Harmful, "ran", True))


def test_pickles_are_refused(cli, tmp_path, own):
    labels = np.array([Harmful()] * 90)
    np.savez(own, images=np.zeros((90, 6, 5)), labels=labels)
    assert_refused(cli("kip", "--dataset", own, "--out", tmp_path / "run"), "pickled", "refused")
    path = tmp_path / "distilled.npz"
    np.savez(path, images=np.zeros((3, 6, 5, 1), np.float32), labels=labels, metadata="{}")
    assert_refused(cli("evaluate", path), "pickled")
    assert_refused(cli("export", path, "--out", tmp_path / "a.npz"), "pickled")
    path.write_bytes(pickle.dumps(Harmful()))
    assert_refused(cli("evaluate", path), "pickled")
    assert not Harmful.ran


def test_damaged_artefact(cli, tmp_path, kip_run):
    whole = (kip_run[0] / "distilled.npz").read_bytes()
    path = tmp_path / "damaged.npz"
    for length in (0, 10, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        assert_refused(cli("evaluate", path), str(path), "damaged")
    with zipfile.ZipFile(kip_run[0] / "distilled.npz") as file:
        members = file.infolist()
    assert len(members) == 4
    for member in members:  # between them are bytes that nobody reads, such as dates
        altered = bytearray(whole)
        altered[member.header_offset + member.file_size // 2] ^= 4
        path.write_bytes(altered)
        assert_refused(cli("export", path, "--out", tmp_path / "a.npz"), str(path))
    assert not (tmp_path / "a.npz").exists()


def test_a_folder_of_runs(kip_run, cli):
    path, _ = kip_run
    assert f"holds runs: name one of them, such as {path}" in cli("evaluate", path.parent).err


def test_what_is_no_run(cli, tmp_path):
    assert_refused(cli("evaluate", tmp_path / "none"), "cannot read", "No such file")
    assert_refused(cli("evaluate", tmp_path), "holds no distilled.npz")
    (tmp_path / "a.npz").write_text("hello")
    assert_refused(cli("evaluate", tmp_path / "a.npz"), "damaged, or not an .npz")


def test_run_that_has_no_result_yet(cli, tmp_path):
    from kernel_distill.artefact import Run

    with Run.create(tmp_path / "run", {}):
        pass
    assert_refused(cli("evaluate", tmp_path / "run"), "first result yet", "--resume")


def test_a_loss_that_is_not_finite(cli, tmp_path, own):
    path = tmp_path / "run"
    options = ("--optimizer", "sgd", "--learning-rate", 1e30, "--steps", 50)
    outcome = cli("kip", "--dataset", own, "--out", path, *options)
    assert outcome.status == 1
    assert "Traceback" not in outcome.err
    for cause in ("ridge is too small", "duplicated", "float32", "learning rate (1e+30)"):
        assert cause in outcome.err
    assert f"is saved in {path}" in outcome.err
    assert not (path / "distilled.npz").exists()
    again = cli("kip", "--out", path, "--resume")  # from there, to the same end
    assert "has a result already" not in again.out
    assert again.status == 1
    assert f"is saved in {path}" in again.err


def test_folder_that_cannot_be_written_to(cli, tmp_path, own):
    (tmp_path / "file").write_text("")
    outcome = cli("kip", "--dataset", own, "--out", tmp_path / "file" / "run", *QUICK)
    assert outcome.status == 1
    assert "could not write" in outcome.err
    assert "a part of this path is a file" in outcome.err


def test_a_device_without_memory(cli, tmp_path, own, monkeypatch):
    """Of all that is allocated on a device, none can be made to fail here: the error is JAX's."""

    def distil(*_, **__):
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory while trying to\nmore")

    monkeypatch.setattr("kernel_distill.kip.distill", distil)
    outcome = cli("kip", "--dataset", own, "--out", tmp_path / "run")
    assert outcome.status == 1
    assert outcome.err.startswith("error: a device ran out of memory (RESOURCE_EXHAUSTED: Out of")
    assert "--memory 1GiB" in outcome.err


@pytest.mark.parametrize("how", ["--resume", "--overwrite", "new"])
def test_wandb_that_is_not_installed(cli, tmp_path, kip_run, monkeypatch, how):
    monkeypatch.setitem(sys.modules, "wandb", None)
    path = tmp_path / "run"
    if how != "new":
        shutil.copytree(kip_run[0], path)
    before = {file: file.stat().st_mtime_ns for file in path.rglob("*")}
    outcome = cli("kip", "--wandb", "--out", path, *([how] if how != "new" else []))
    assert outcome.status == 1
    assert "pip install 'kernel-distill[wandb]'" in outcome.err
    assert {file: file.stat().st_mtime_ns for file in path.rglob("*")} == before
