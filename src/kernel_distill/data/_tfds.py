"""Image classification sets of TensorFlow Datasets, by name."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import filelock
import numpy as np

from kernel_distill._errors import InputError, unknown_name
from kernel_distill._tensorflow import import_tfds, quietly
from kernel_distill.data._memory import require_memory
from kernel_distill.data._outline import Outline
from kernel_distill.data._resize import resize
from kernel_distill.data._source import Raw

_TEST_SPLITS = ("test", "validation", "valid", "val")
_BATCH = 1024


def read_tfds(name: str, *, data_dir: str | None, image_size: int | None) -> Raw:
    """Read a set whose examples have one image and one class label, in a fixed order.

    It is downloaded and prepared where it is not prepared yet. Test images are those of the split
    `test`, or `validation` where there is no labelled `test`.

    Args:
        name: as `tfds.builder` takes it: "mnist", "imagenet_resized/32x32", "cifar10:3.0.2".
        data_dir: where the prepared sets are; None is $TFDS_DATA_DIR, else ~/tensorflow_datasets.
        image_size: resize to this height and width.

    Raises:
        UnknownNameError: no such data set.
        InputError: it could not be prepared (no network, say), is not an image classification
            set, or its images differ in size and `image_size` is None.
    """
    with quietly():
        tfds = import_tfds()
        data_dir = _folder_of_sets(data_dir)
        builder = _prepared(tfds, name, data_dir)
        image_key, label_key = _keys(builder, name, tfds)
        images, labels = {}, {}
        test_split = None
        for split in ("train", *_TEST_SPLITS):
            if split not in builder.info.splits or test_split is not None:
                continue
            images[split], labels[split] = _read(
                builder, split, image_key, label_key, image_size=image_size, tfds=tfds
            )
            # a test set whose labels are kept secret has -1 throughout
            if split != "train" and (labels[split] >= 0).any():
                test_split = split
    if "train" not in images:
        raise InputError(
            f"data set {name!r} must have a split 'train'; got {sorted(builder.info.splits)}. "
            "Save its images and labels as an .npz instead."
        )
    return Raw(
        name=_full_name(builder),
        version=str(builder.version),
        train_images=images["train"],
        train_labels=labels["train"],
        test_images=None if test_split is None else images[test_split],
        test_labels=None if test_split is None else labels[test_split],
        class_names=builder.info.features[label_key].names,
        place=f"{name}: ",
    )


def outline_of_tfds(name: str, *, data_dir: str | None) -> Outline:
    """What its builder tells of a set, without a download.

    Args:
        name, data_dir: as for `read_tfds`.

    Raises:
        UnknownNameError, InputError: as `read_tfds`.
    """
    with quietly():
        tfds = import_tfds()
        builder = _builder(tfds, name, _folder_of_sets(data_dir))
        image_key, label_key = _keys(builder, name, tfds)
        features = builder.info.features
        shape = tuple(features[image_key].shape)
    return Outline(
        name=_full_name(builder),
        version=str(builder.version),
        image_shape=None if None in shape else shape,
        class_names=tuple(features[label_key].names),
    )


def known_names(*, data_dir: str | None) -> set[str]:
    """Every name that TensorFlow Datasets knows, and those prepared in `data_dir`."""
    with quietly():
        data_dir = _folder_of_sets(data_dir)
        names = set(import_tfds().list_builders(with_community_datasets=False))
    if data_dir and os.path.isdir(data_dir):
        names |= {entry.name for entry in os.scandir(data_dir) if entry.is_dir()}
    return names - {"downloads"}


def unknown_data_set(name: str, *, data_dir: str | None) -> InputError:
    return unknown_name(
        "data set",
        name,
        {"digits", *known_names(data_dir=data_dir)},
        hint="Any image classification set of TensorFlow Datasets is taken, a path to an .npz or "
        ".csv file, or to a folder with a folder a class (write ./NAME for one right here).",
    )


def _full_name(builder: Any) -> str:
    return builder.name + (f"/{builder.builder_config.name}" if builder.builder_config else "")


def _folder_of_sets(data_dir: str | None) -> str | None:
    # tensorflow_datasets itself reads the variable only once, when it is imported
    return data_dir or os.environ.get("TFDS_DATA_DIR") or None


def _prepared(tfds: Any, name: str, data_dir: str | None) -> Any:
    """The builder of a set that is prepared, or is now: by one process at a time, since the
    processes of a run all begin with this, and tensorflow_datasets has but the first succeed."""
    builder = _builder(tfds, name, data_dir)
    if builder.is_prepared():
        return builder
    with _one_at_a_time(Path(builder.data_path).parent):
        builder = _builder(tfds, name, data_dir)
        if not builder.is_prepared():
            _prepare(builder, name)
    return builder


def _builder(tfds: Any, name: str, data_dir: str | None) -> Any:
    try:
        return tfds.builder(name, data_dir=data_dir)
    except tfds.core.DatasetNotFoundError as error:
        raise unknown_data_set(name, data_dir=data_dir) from error
    except (ValueError, AssertionError, TypeError) as error:
        if "Parsing builder name" in str(error):  # "own data", of a file that has moved
            raise unknown_data_set(name, data_dir=data_dir) from error
        raise InputError(f"data set {name!r}: {error}") from error


@contextlib.contextmanager
def _one_at_a_time(folder: Path) -> Iterator[None]:
    """Holds a lock file there; nothing where the file system has no locks, or cannot be written."""
    lock = filelock.FileLock(folder / ".kernel-distill.lock")
    # what stands in the way of a lock stands in the way of the data, which will say so
    with contextlib.suppress(OSError, NotImplementedError):
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _prepare(builder: Any, name: str) -> None:
    try:
        builder.download_and_prepare()
    # each data set has code of its own, and each of its servers fails in its own way
    except Exception as error:
        raise InputError(
            f"data set {name!r} is not in {builder.data_path} and could not be prepared there: "
            f"{type(error).__name__}: {error}. On a machine with network access run "
            f'`python -c "import tensorflow_datasets as tfds; tfds.builder({name!r}, '
            "data_dir='DIR').download_and_prepare()\"`, copy DIR here, and give it as data_dir "
            "or in the environment variable TFDS_DATA_DIR."
        ) from error


def _keys(builder: Any, name: str, tfds: Any) -> tuple[str, str]:
    """The keys of the one image and the one class label."""
    features = builder.info.features
    by_type = {
        kind: [key for key, feature in dict(features).items() if isinstance(feature, kind)]
        if isinstance(features, tfds.features.FeaturesDict)
        else []
        for kind in (tfds.features.Image, tfds.features.ClassLabel)
    }
    # their order is that of a dictionary which a file of features does not fix
    images, labels = map(sorted, by_type.values())
    supervised = builder.info.supervised_keys
    if supervised and len(supervised) == 2:
        image, label = supervised
        if image in images and label in labels:
            return image, label
    if len(images) != 1 or len(labels) != 1:
        raise InputError(
            f"data set {name!r} must have one image and one class label an example; got images "
            f"{images} and class labels {labels}. Take an image classification set, or save what "
            "you need of it as an .npz."
        )
    return images[0], labels[0]


def _read(
    builder: Any,
    split: str,
    image_key: str,
    label_key: str,
    *,
    image_size: int | None,
    tfds: Any,
) -> tuple[np.ndarray, np.ndarray]:
    feature = builder.info.features[image_key]
    total = builder.info.splits[split].num_examples
    one_by_one = None in feature.shape or image_size not in (None, *feature.shape[:2])
    examples = builder.as_dataset(
        split=split,
        batch_size=None if one_by_one else _BATCH,
        shuffle_files=False,
        decoders=tfds.decode.PartialDecoding({image_key: True, label_key: True}),
        read_config=tfds.ReadConfig(try_autocache=False),
    )
    images = None
    labels = np.empty(total, np.int64)
    start = 0
    for example in tfds.as_numpy(examples):
        image, label = example[image_key], example[label_key]
        if one_by_one:
            image = (image if image_size is None else resize(image, image_size))[None]
            label = [label]
        if images is None:
            images = np.empty((total, *image.shape[1:]), image.dtype)
            require_memory(  # as natural images and as preprocessed float32
                images.nbytes + 4 * images.size,
                what=f"split {split!r} of data set {builder.name!r}",
                remedy="Make the images smaller with image_size, or give a part as an .npz.",
            )
        if image.shape[1:] != images.shape[1:]:
            sizes = " and ".join(f"{some.shape[1]}x{some.shape[2]}" for some in (images, image))
            raise InputError(
                f"images must all have one size; those of {builder.name!r} have {sizes} (height x "
                "width) and possibly others. Choose one with image_size, for example "
                "image_size=32 (--image-size 32): the central square is resized."
            )
        images[start : start + len(image)] = image
        labels[start : start + len(image)] = label
        start += len(image)
    if images is None:
        raise InputError(f"split {split!r} of data set {builder.name!r} holds no images.")
    if images.dtype == np.uint16:
        images = images.astype(np.float32) / np.float32(65535)
    return images, labels
