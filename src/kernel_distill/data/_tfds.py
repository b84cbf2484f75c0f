"""Image classification sets of TensorFlow Datasets, by name."""

import contextlib
import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from typing import Any

import numpy as np

from kernel_distill._errors import InputError, unknown_name
from kernel_distill.data._memory import require_memory
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
    with _quietly():
        tfds = _import()
        # tensorflow_datasets reads the variable once, when it is imported
        data_dir = data_dir or os.environ.get("TFDS_DATA_DIR")
        try:
            builder = tfds.builder(name, data_dir=data_dir)
        except tfds.core.DatasetNotFoundError as error:
            raise unknown_data_set(name, data_dir=data_dir) from error
        except (ValueError, AssertionError, TypeError) as error:
            raise InputError(f"data set {name!r}: {error}") from error
        _prepare(builder, name)
        image_key, label_key = _keys(builder, name, tfds)
        shape = builder.info.features[image_key].shape
        if image_size is None and None in shape:
            raise _sizes_differ(builder, image_key, name, tfds)

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
    config = f"/{builder.builder_config.name}" if builder.builder_config else ""
    return Raw(
        name=builder.name + config,
        version=str(builder.version),
        train_images=images["train"],
        train_labels=labels["train"],
        test_images=None if test_split is None else images[test_split],
        test_labels=None if test_split is None else labels[test_split],
        class_names=builder.info.features[label_key].names,
        place=f"{name}: ",
    )


def known_names(*, data_dir: str | None) -> set[str]:
    """Every name that TensorFlow Datasets knows, and those prepared in `data_dir`."""
    with _quietly():
        names = set(_import().list_builders(with_community_datasets=False))
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


def _import() -> Any:
    """tensorflow_datasets, with TensorFlow kept off the GPU, whose memory JAX wants for itself."""
    with _stderr_held_back() if "tensorflow" not in sys.modules else contextlib.nullcontext():
        import tensorflow as tf
        import tensorflow_datasets as tfds

        # fails only where the user's own program has started TensorFlow on the GPU already
        with contextlib.suppress(RuntimeError):
            tf.config.set_visible_devices([], "GPU")
    return tfds


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Without TensorFlow's start-up lines, and without its search for Google credentials."""
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "NO_GCE_CHECK": "true"}
    added = {key: value for key, value in quiet.items() if key not in os.environ}
    logger = logging.getLogger("absl")
    level = logger.level
    os.environ.update(added)
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
        for key in added:
            os.environ.pop(key, None)


@contextlib.contextmanager
def _stderr_held_back() -> Iterator[None]:
    """Keep what C++ libraries write to stderr, which no setting stops, unless there is an error."""
    try:
        stderr = os.dup(2)
    except OSError:  # a process without stderr
        yield
        return
    with tempfile.TemporaryFile() as held_back:
        sys.stderr.flush()
        os.dup2(held_back.fileno(), 2)
        try:
            yield
        except BaseException:
            held_back.seek(0)
            os.write(stderr, held_back.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)


def _prepare(builder: Any, name: str) -> None:
    if builder.is_prepared():
        return
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
    images, labels = by_type.values()
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


def _examples(builder: Any, split: str, keys: tuple[str, ...], tfds: Any, *, batch: int) -> Any:
    examples = builder.as_dataset(
        split=split,
        batch_size=batch or None,
        shuffle_files=False,
        decoders=tfds.decode.PartialDecoding(dict.fromkeys(keys, True)),
        read_config=tfds.ReadConfig(try_autocache=False),
    )
    return tfds.as_numpy(examples)


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
    height, width, channel = feature.shape
    if image_size is not None:
        height = width = image_size
    require_memory(
        total * height * width * channel * (np.dtype(feature.np_dtype).itemsize + 4),
        what=f"data set {builder.name!r}, split {split!r},",
        remedy="Make the images smaller with image_size, or give a part as an .npz.",
    )
    labels = np.empty(total, np.int64)
    images = np.empty((total, height, width, channel), feature.np_dtype)
    resized = feature.shape[:2] != (height, width)
    start = 0
    for example in _examples(
        builder, split, (image_key, label_key), tfds, batch=0 if resized else _BATCH
    ):
        image, label = example[image_key], example[label_key]
        if image_size is not None and resized:
            image, label = resize(image, image_size)[None], [label]
        images[start : start + len(image)] = image
        labels[start : start + len(image)] = label
        start += len(image)
    if images.dtype == np.uint16:
        images = images.astype(np.float32) / np.float32(65535)
    return images, labels


def _sizes_differ(builder: Any, image_key: str, name: str, tfds: Any) -> InputError:
    sizes: list[str] = []
    for example in _examples(builder, "train", (image_key,), tfds, batch=0):
        height, width = example[image_key].shape[:2]
        if f"{height}x{width}" not in sizes:
            sizes.append(f"{height}x{width}")
        if len(sizes) == 4:
            break
    return InputError(
        f"images must all have one size; those of {name!r} have {', '.join(sizes)}"
        f"{', ...' if len(sizes) == 4 else ''} (height x width). Choose one with image_size, for "
        "example image_size=32: the central square is resized."
    )
