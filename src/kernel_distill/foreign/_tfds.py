"""A folder of TensorFlow Datasets: `tfds.builder_from_directory` reads it."""

import contextlib
import io
import re
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kernel_distill._archive import refuse_large
from kernel_distill._errors import DamagedFileError, InputError
from kernel_distill._tensorflow import import_tfds, quietly
from kernel_distill.foreign import _card as card
from kernel_distill.foreign._content import Content
from kernel_distill.foreign._held import Held
from kernel_distill.foreign._pictures import CHANNELS, pixels, require_image_shape

_VERSION = "1.0.0"
_BUILD = "build"


def is_tfds(path: Path) -> bool:
    """Whether a folder holds what `tfds.builder_from_directory` needs."""
    return all((path / name).is_file() for name in ("dataset_info.json", "features.json"))


def read_tfds_folder(path: Path, *, image_shape: tuple[int, ...], own: bool) -> Held:
    """`image` (PNG or JPEG) and `label` (numbers of classes) of its split train, or an export's.

    Its records are read, and nothing else of the folder: features.json names Python classes, which
    tensorflow_datasets would import.

    Args:
        path: the folder.
        image_shape: (height, width, channel) that the images must have.
        own: take `model_image` and `soft_label`, with which an export began.

    Raises:
        InputError: other features; as `pixels`; or larger than distilled sets are.
        DamagedFileError: the records are not whole.
    """
    require_image_shape(image_shape, path)
    files = sorted(path.glob("*-train.tfrecord-*"))
    refuse_large(sum(file.stat().st_size for file in files), path)
    image, label = ("model_image", "soft_label") if own else ("image", "label")
    images, labels = [], []
    for index, features in enumerate(_examples(path, files)):
        place = f"example {index} of {path}"
        if image not in features or label not in features:
            raise InputError(
                f"each example must have the features {image} and {label}; {place} has "
                f"{', '.join(sorted(features)) or 'none'}. Store it again with these names."
            )
        if own:
            images.append(np.array(features[image].float_list.value, np.float32))
            labels.append(np.array(features[label].float_list.value, np.float32))
        else:
            data = b"".join(features[image].bytes_list.value)
            images.append(pixels(data, image_shape, place=place))
            labels.append(np.array(features[label].int64_list.value))
    sizes = {(image.size, label.size) for image, label in zip(images, labels, strict=True)}
    if len(sizes) != 1 or next(iter(sizes))[0] != np.prod(image_shape):
        raise InputError(
            f"the examples of {path} must have images of {list(image_shape)} and labels of one "
            f"size, and there must be some; got {sorted(sizes)[:3]} numbers. Give the data set "
            "that it was distilled from."
        )
    layout = "a folder of TensorFlow Datasets"
    stacked = np.stack(labels) if own else np.concatenate(labels)
    return Held(np.stack(images).reshape(-1, *image_shape), stacked, layout)


def write_tfds(content: Content, folder: Path) -> tuple[str, tuple[str, ...]]:
    """A prepared set with the split train, for `tfds.builder_from_directory`.

    Features, each with a description: `image` uint8 on natural scale, `label`, `model_image`
    float32 as the model takes it, `soft_label` float32 [class].

    Raises:
        InputError: the set is a table, or its images are neither grey nor RGB.
    """
    content.require_images("tfds", channels=CHANNELS)
    distilled = content.distilled
    name = re.sub(r"\W+", "_", f"distilled_{content.dataset}".lower(), flags=re.ASCII)
    with quietly(), _unheard():
        tfds = import_tfds()
        features = tfds.features.FeaturesDict(
            {
                "image": tfds.features.Image(
                    shape=content.natural.shape[1:], encoding_format="png", doc=card.IMAGE
                ),
                "label": tfds.features.ClassLabel(names=content.class_names, doc=card.LABEL),
                "model_image": tfds.features.Tensor(
                    shape=distilled.images.shape[1:], dtype=np.float32, doc=card.MODEL_IMAGE
                ),
                "soft_label": tfds.features.Tensor(
                    shape=distilled.labels.shape[1:], dtype=np.float32, doc=card.SOFT_LABEL
                ),
            }
        )
        examples = [
            (
                index,
                {
                    "image": content.natural[index],
                    "label": int(content.classes[index]),
                    "model_image": distilled.images[index],
                    "soft_label": distilled.labels[index],
                },
            )
            for index in range(len(distilled))
        ]
        tfds.dataset_builders.store_as_tfds_dataset(
            name=name,
            version=_VERSION,
            features=features,
            split_datasets={"train": examples},
            data_dir=folder / _BUILD,
            description=f"{card.summary(content)}\n\n{card.licence(content).text}",
            citation=card.citation(content),
            disable_shuffling=True,
        )
    for file in (folder / _BUILD / name / _VERSION).iterdir():
        file.rename(folder / file.name)
    shutil.rmtree(folder / _BUILD)
    return ".", ()


@contextlib.contextmanager
def _unheard() -> Iterator[None]:
    """Without its talk of downloads; what goes wrong it raises."""
    heard = io.StringIO()
    with contextlib.redirect_stdout(heard), contextlib.redirect_stderr(heard):
        yield


def _examples(path: Path, files: Sequence[Path]) -> list[Any]:
    """The features of each example, by name."""
    with quietly():
        import_tfds()
        import tensorflow as tf
        from google.protobuf.message import DecodeError
    try:
        records = tf.data.TFRecordDataset([str(file) for file in files]).as_numpy_iterator()
        return [tf.train.Example.FromString(record).features.feature for record in records]
    except (tf.errors.OpError, DecodeError) as error:
        raise DamagedFileError(
            f"the records in {path} are not whole ({type(error).__name__}). Take another copy."
        ) from error
