"""A folder with Parquet files, as Hugging Face's `datasets` loads it, and its card."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kernel_distill._archive import refuse_large
from kernel_distill._errors import DamagedFileError, InputError
from kernel_distill.foreign import _card as card
from kernel_distill.foreign._content import Content
from kernel_distill.foreign._held import Held
from kernel_distill.foreign._pictures import CHANNELS, pixels, png, require_image_shape

_FILE = "data/train-00000-of-00001.parquet"
_BATCH = 16  # rows
_BYTES = 4  # of a number
_COLUMNS = ("image", "label", "model_image", "soft_label")


def parquet_files(path: Path) -> list[Path]:
    """The Parquet files of the training split in a folder."""
    return sorted([*path.glob("*.parquet"), *path.glob("data/train*.parquet")])


def read_parquet(path: Path, *, image_shape: tuple[int, ...], own: bool) -> Held:
    """The columns `image` (PNG or JPEG) and `label` (numbers of classes), or those of an export.

    Args:
        path: the folder.
        image_shape: (height, width, channel) that the images must have.
        own: take `model_image` and `soft_label`, float32, with which an export began.

    Raises:
        InputError: other columns; as `pixels`; or larger than distilled sets are.
        DamagedFileError: a file is not whole.
    """
    require_image_shape(image_shape, path)
    image, label = _COLUMNS[2:] if own else _COLUMNS[:2]
    tables = [_table(file, (image, label)) for file in parquet_files(path)]
    layout = "a folder of Parquet files"
    if own:
        images = [_numbers(table[image], (table.num_rows, *image_shape), path) for table in tables]
        labels = [_numbers(table[label], (table.num_rows, -1), path) for table in tables]
        return Held(np.concatenate(images), np.concatenate(labels), layout)
    rows = [row for table in tables for row in table[image].to_pylist()]
    refuse_large(len(rows) * int(np.prod(image_shape)), path)
    read = []
    for index, row in enumerate(rows):
        content = row.get("bytes") if isinstance(row, dict) else row
        if not isinstance(content, bytes):
            raise InputError(
                f"the column image must hold PNG or JPEG in bytes; row {index} of {path} has "
                f"{type(row).__name__}. Save it with the pictures embedded."
            )
        read.append(pixels(content, image_shape, place=f"image {index} of {path}"))
    numbers = [number for table in tables for number in table[label].to_pylist()]
    return Held(np.stack(read), np.array(numbers), layout)


def write_parquet(content: Content, folder: Path) -> tuple[str, tuple[str, ...]]:
    """data/train-00000-of-00001.parquet and README.md, a data card with its YAML header.

    Columns: `image` (PNG on natural scale), `label` (class), `model_image` float32 [h, w, c] as the
    model takes it, `soft_label` float32 [class]. The schema has the features by which `datasets`
    decodes pictures and knows the names of the classes.

    Raises:
        InputError: the set is a table, or its images are neither grey nor RGB.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    content.require_images("parquet", channels=CHANNELS)
    distilled, values = content.distilled, pa.float32()
    pictures = [{"bytes": png(image), "path": None} for image in content.natural]
    schema = pa.schema(
        [
            ("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
            ("label", pa.int64()),
            ("model_image", pa.list_(pa.list_(pa.list_(values)))),
            ("soft_label", pa.list_(values)),
        ],
        metadata={"huggingface": json.dumps({"info": {"features": _features(content)}})},
    )
    arrays = [pictures, content.classes, distilled.images.tolist(), list(distilled.labels)]
    columns = [
        pa.array(array, type=field.type) for array, field in zip(arrays, schema, strict=True)
    ]
    (folder / _FILE).parent.mkdir()
    pq.write_table(pa.Table.from_arrays(columns, schema=schema), folder / _FILE)
    (folder / "README.md").write_text(_readme(content), encoding="utf-8")
    return ".", ()


def _features(content: Content) -> dict[str, Any]:
    shape = list(content.distilled.images.shape[1:])
    number = {"dtype": "float32", "_type": "Value"}
    return {
        "image": {"_type": "Image"},
        "label": {"names": content.class_names, "_type": "ClassLabel"},
        "model_image": {"shape": shape, "dtype": "float32", "_type": "Array3D"},
        "soft_label": {"feature": number, "_type": "Sequence"},
    }


def _readme(content: Content) -> str:
    import yaml

    licence, title = card.licence(content), card.title(content)
    header = {
        "pretty_name": title,
        "license": licence.identifier,
        "task_categories": ["image-classification"],
        "tags": ["dataset-distillation", "kernel-distill", content.method],
        "size_categories": [_size_category(len(content.distilled))],
        "configs": [
            {
                "config_name": "default",
                "data_files": [{"split": "train", "path": "data/train-*"}],
            }
        ],
    }
    columns = {
        "image": card.IMAGE,
        "label": card.LABEL,
        "model_image": card.MODEL_IMAGE,
        "soft_label": card.SOFT_LABEL,
    }
    parts = [
        f"---\n{yaml.safe_dump(header, sort_keys=False, allow_unicode=True)}---",
        f"# {title}",
        card.summary(content),
        "## What is in it",
        _rows("column", columns.items()),
        'Load it with `datasets.load_dataset("PATH")["train"]`. metadata.json has all that is '
        "known of the run, the constants of the preprocessing among it.",
        "## How it was made",
        _rows("setting", card.details(content)),
        "## Licence of the source",
        licence.text,
    ]
    if cited := card.citation(content):
        parts += ["## Citation", f"```bibtex\n{cited}\n```"]
    return "\n\n".join(parts) + "\n"


def _size_category(size: int) -> str:
    """As Hugging Face's cards have it."""
    steps = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"))
    return next((name for least, name in steps if size < least), "100K<n<1M")


def _rows(header: str, rows: Any) -> str:
    lines = [f"| {header} | |", "|---|---|"]
    lines += [f"| {key} | {value} |".replace("\n", " ") for key, value in rows]
    return "\n".join(lines)


def _table(file: Path, columns: Sequence[str]) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(file) as opened:
            known = opened.schema_arrow.names
            refuse_large(_BYTES * _most_numbers(opened.metadata), file)
            if set(columns) <= set(known):
                # little by little: what a file says of its sizes need not be true
                batches, size = [], 0
                for batch in opened.iter_batches(batch_size=_BATCH, columns=list(columns)):
                    size += batch.nbytes
                    refuse_large(size, file)
                    batches.append(batch)
                return pa.Table.from_batches(
                    batches,
                    batches[0].schema
                    if batches
                    else pa.schema([opened.schema_arrow.field(name) for name in columns]),
                )
    except (pa.ArrowException, OSError) as error:
        raise DamagedFileError(
            f"{file} is no whole Parquet file ({error}). Take another copy of it."
        ) from error
    raise InputError(
        f"a distilled set in Parquet must have the columns {' and '.join(columns)}; {file} has "
        f"{', '.join(known) or 'none'}. Save it again with these names."
    )


def _most_numbers(metadata: Any) -> int:
    """How many there are in the column that has most: a list of many equal ones is packed small."""
    columns = [0] * metadata.num_columns
    for group in range(metadata.num_row_groups):
        row_group = metadata.row_group(group)
        for column in range(metadata.num_columns):
            columns[column] += row_group.column(column).num_values
    return max(columns, default=0)


def _numbers(column: Any, shape: tuple[int, ...], path: Path) -> np.ndarray:
    """A column of (nested) lists as one array of `shape`."""
    array = column.combine_chunks()
    while hasattr(array, "flatten") and hasattr(array.type, "value_type"):
        array = array.flatten()
    try:
        return array.to_numpy(zero_copy_only=False).astype(np.float32).reshape(shape)
    except (ValueError, TypeError) as error:
        raise InputError(
            f"the numbers of {path} must make up {list(shape)}; got {len(array)} of "
            f"{array.type}. Give the data set that it was distilled from."
        ) from error
