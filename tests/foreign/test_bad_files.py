"""Files that do not tell enough, do not fit, are damaged or hostile."""

import pickle
import struct
import zipfile
import zlib

import numpy as np
import pytest
from PIL import Image

from kernel_distill import _archive, foreign
from kernel_distill._errors import DamagedFileError, InputError, UnknownNameError


@pytest.fixture
def write(support, tmp_path):
    """Writes the support of digits as an .npz, changed."""

    def write(name="a.npz", **changed):
        images, classes = support
        path = tmp_path / name
        np.savez(path, **{"images": images, "labels": classes} | changed)
        return path

    return write


def test_what_a_file_does_not_tell_is_asked_for(digits, write):
    path = write()
    with pytest.raises(InputError, match=r"does not tell how .*--preprocessing.*'dc'.*'whiten'"):
        foreign.read(path, digits)
    with pytest.raises(InputError, match=r"does not tell how .*--preprocessing"):
        foreign.load_data(path, dataset="digits")
    with pytest.raises(InputError, match=r"does not tell which data set.*--dataset"):
        foreign.load_data(path, preprocessing="standardise")
    with pytest.raises(UnknownNameError, match="did you mean 'zca'"):
        foreign.read(path, digits, preprocessing="zac")
    loaded = foreign.load_data(path, dataset="digits", preprocessing="standardise")
    assert loaded.preprocessing.fingerprint == digits.preprocessing.fingerprint


def test_what_names_tell_is_held_to(digits, write):
    path = write("ConvNet_ssize20_zca_nol_noaug_ckpt1000.npz")
    with pytest.raises(InputError, match=r"tells of the preprocessing 'zca'; got 'standardise'"):
        foreign.read(path, digits, preprocessing="standardise")
    with pytest.raises(InputError, match=r"tells of 100 images; it holds 20"):
        foreign.read(write("ConvNet_ssize100_nozca.npz"), digits)
    with pytest.raises(InputError, match=r"tells of the data set mnist; got digits"):
        foreign.read(write("kip_mnist_ConvNet_ssize20_nozca_l_aug_ckpt1.npz"), digits)
    with pytest.raises(InputError, match="holds one set, number 0; got 1"):
        foreign.read(write(), digits, preprocessing="standardise", index=1)
    with pytest.raises(InputError, match=r"constants of 'dc' are known for mnist.*got.*digits"):
        foreign.read(write(), digits, preprocessing="dc")


def test_what_does_not_fit_is_refused_before_a_download(write, support, tmp_path, monkeypatch):
    import tensorflow_datasets as tfds

    def refused(path, match, dataset="mnist"):
        with pytest.raises(InputError, match=match):
            foreign.load_data(
                path, dataset=dataset, preprocessing="standardise", data_dir=tmp_path / "none"
            )

    monkeypatch.setattr(tfds.core.DatasetBuilder, "download_and_prepare", None)
    refused(write(), r"must be \[n, 28, 28, 1\].*has \[20, 8, 8, 1\]")
    refused(write("kip_cifar10_ConvNet_ssize20_nozca.npz"), "tells of the data set cifar10")
    large = -np.ones((20, 28, 28, 1), np.float32)
    refused(write(images=large, labels=np.arange(20)), "from 0 to 9, the 10 classes")
    large = -np.ones((20, 32, 32, 3), np.float32)
    refused(write(images=large), "each of the 100 classes", dataset="cifar100")
    (tmp_path / "set" / "0").mkdir(parents=True)
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "set" / "0" / "a.png")
    refused(tmp_path / "set", "must be 28x28.*is 8x8")


@pytest.mark.parametrize(
    ("changed", "match"),
    [
        ({"images": np.ones((20, 9, 8, 1))}, r"\[n, 8, 8, 1\] or \[n, 1, 8, 8\].*\[20, 9, 8, 1\]"),
        ({"images": np.ones((20, 8, 8, 3))}, r"\[20, 8, 8, 3\]"),
        ({"images": np.ones((20, 64))}, r"\[20, 64\]"),
        ({"images": np.float32(1)}, r"has \[\]"),
        ({"images": -np.ones((21, 8, 8, 1))}, "number of rows.*21 and 20"),
        ({"images": -np.ones((20, 8, 8, 1), int)}, r"uint8 \(natural ones\) or floats.*int64"),
        ({"images": np.full((20, 8, 8, 1), np.nan)}, r"images must be finite.*a\.npz has nan at"),
        ({"images": np.full((20, 8, 8, 1), -1e300)}, r"finite in float32.*has -1e\+300 at"),
        ({"images": np.ones((20, 8, 8, 1))}, "have negative numbers.*'none'"),
        ({"labels": np.arange(20)}, "from 0 to 9, the 10 classes.*has 10"),
        ({"labels": np.arange(20) % 10 - 1}, "from 0 to 9.*has -1"),
        ({"labels": np.arange(20) % 8}, "none of class 8"),
        ({"labels": np.ones((20, 100))}, "each of the 10 classes.*has 100"),
        ({"labels": np.arange(20) % 10 / 1}, r"integers \[n\] or floats \[n, class\].*float64"),
        ({"labels": np.array(["a"] * 20)}, r"integers \[n\] or floats"),
        ({"labels": np.int32(1)}, r"integers \[n\] or floats"),
        ({"labels": np.full((20, 10), np.inf)}, r"labels must be finite.*a\.npz has inf at"),
        ({"images": np.ones((0, 8, 8, 1)), "labels": np.ones((0, 10))}, "at least one"),
    ],
)
def test_arrays_that_do_not_fit(digits, write, changed, match):
    with pytest.raises(InputError, match=match):
        foreign.read(write(**changed), digits, preprocessing="standardise")


def test_arrays_of_other_names(digits, tmp_path):
    np.savez(tmp_path / "a.npz", x=np.ones(3), labels=np.ones(3))
    with pytest.raises(InputError, match=r"lacks images and holds labels, x.*numpy\.savez"):
        foreign.read(tmp_path / "a.npz", digits, preprocessing="standardise")


class Harmful:
    """Runs code when unpickled."""

    ran = False

    def __reduce__(self):
        return (setattr, (Harmful, "ran", True))


def test_pickles_are_refused(digits, write, tmp_path):
    path = write(labels=np.array([Harmful()] * 20, object))
    with pytest.raises(InputError, match=r"pickled objects.*refused"):
        foreign.read(path, digits, preprocessing="standardise")
    with zipfile.ZipFile(tmp_path / "b.npz", "w") as file:
        file.writestr("images", pickle.dumps(Harmful()))
        file.writestr("labels", pickle.dumps(Harmful()))
    with pytest.raises(InputError, match=r"must be an array; it is no \.npy"):
        foreign.read(tmp_path / "b.npz", digits, preprocessing="standardise")
    assert not Harmful.ran


def test_pickles_in_a_pt_are_refused(digits, torch, tmp_path):
    path = tmp_path / "a.pt"
    for new_layout in (True, False):
        torch.save({"data": [[Harmful(), 0]]}, path, _use_new_zipfile_serialization=new_layout)
        with pytest.raises(InputError, match=r"objects other than tensors.*refused"):
            foreign.read(path, digits, preprocessing="standardise")
    path.write_bytes(pickle.dumps(Harmful()))
    with pytest.raises((InputError, DamagedFileError)):
        foreign.read(path, digits, preprocessing="standardise")
    assert not Harmful.ran


def test_damaged_files(digits, write):
    path = write()
    whole = path.read_bytes()
    for length in (0, 10, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(InputError, match="no distilled set of others"):
            foreign.read(path, digits, preprocessing="standardise")
    altered = bytearray(whole)
    altered[300] ^= 1
    path.write_bytes(altered)
    with pytest.raises(DamagedFileError, match="no whole"):
        foreign.read(path, digits, preprocessing="standardise")


def test_a_change_of_a_byte_is_refused_or_read(digits, write):
    path = write()
    whole = path.read_bytes()
    # all of the directory at the end of the file, which says what is where, and some before it
    for place in (*range(0, len(whole) - 300, 97), *range(len(whole) - 300, len(whole))):
        altered = bytearray(whole)
        altered[place] ^= 0x5A
        path.write_bytes(altered)
        try:
            foreign.read(path, digits, preprocessing="standardise")
        except (InputError, DamagedFileError):
            continue


def test_damaged_pt(digits, torch, tmp_path):
    path = tmp_path / "a.pt"
    torch.save({"data": [[torch.zeros(10, 1, 8, 8), torch.arange(10)]]}, path)
    whole = path.read_bytes()
    for damaged in (b"", b"hello", whole[:100], whole[: len(whole) // 2], whole[:-1]):
        path.write_bytes(damaged)
        with pytest.raises(DamagedFileError, match=r"no whole file of torch\.save"):
            foreign.read(path, digits, preprocessing="standardise")


def test_what_is_too_large_is_not_unpacked(digits, support, tmp_path, monkeypatch):
    monkeypatch.setattr(_archive, "LARGEST", 2**20)
    path = tmp_path / "a.npz"
    np.savez_compressed(path, images=np.zeros((2**21,), np.uint8), labels=support[1])
    assert path.stat().st_size < 2**14
    with pytest.raises(InputError, match="at most 0 GiB"):
        foreign.read(path, digits, preprocessing="standardise")


def test_few_numbers_that_claim_to_be_many(digits, torch, tmp_path):
    one = torch.zeros(1)
    path = tmp_path / "a.pt"
    torch.save({"data": [[one.expand(2**40), one]]}, path)
    with pytest.raises(InputError, match=r"holds 4096\.0 GiB"):
        foreign.read(path, digits, preprocessing="standardise")


def test_images_of_another_size_are_not_decoded(digits, tmp_path):
    for folder in "0123456789":
        (tmp_path / "set" / folder).mkdir(parents=True)
        Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "set" / folder / "a.png")
    path = tmp_path / "set" / "3" / "a.png"

    def chunk(kind, content):
        ends = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + ends

    def refused(error, match):
        with pytest.raises(error, match=match):
            foreign.read(tmp_path / "set", digits, preprocessing="standardise")

    # 8,000 x 8,000 pixels, of which none is there
    size = struct.pack(">IIBBBBB", 8000, 8000, 8, 0, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size) + chunk(b"IDAT", b""))
    refused(InputError, "must be 8x8.*is 8000x8000")
    path.write_bytes(b"no image")
    refused(DamagedFileError, "no whole image")
    # what Pillow would start another program for
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(path, format="EPS")
    refused(DamagedFileError, "no whole image")
    Image.fromarray(np.zeros((8, 8), np.uint16)).save(path)
    refused(InputError, "8 bits a channel")
    coloured = np.zeros((8, 8, 3), np.uint8)
    coloured[2, 3, 1] = 9
    Image.fromarray(coloured).save(path)
    refused(InputError, "must be grey.*is coloured")


def test_what_is_none_of_these(digits, tmp_path):
    with pytest.raises(InputError, match="no such file"):
        foreign.read(tmp_path / "none.npz", digits, preprocessing="standardise")
    (tmp_path / "empty").mkdir()
    (tmp_path / "a.txt").write_text("hello")
    for path in (tmp_path / "empty", tmp_path / "a.txt"):
        assert not foreign.recognised(path)
        with pytest.raises(InputError, match=r"neither an \.npz .* nor a \.pt, nor a folder"):
            foreign.read(path, digits, preprocessing="standardise")
