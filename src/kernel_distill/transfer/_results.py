"""`transfer.json`: what networks trained on a distilled set reached, and its picture."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from kernel_distill._errors import DamagedFileError
from kernel_distill._files import PathLike, write_atomically
from kernel_distill.artefact import save_picture, transfer_picture
from kernel_distill.transfer._transfer import Transfer

FILE_NAME = "transfer.json"
PICTURE = "transfer.png"


def save_transfer(folder: PathLike, transfer: Transfer, *, title: str = "") -> bool:
    """Adds a result to the `transfer.json` of a folder, and draws the curves of its set.

    An earlier result of the same set and network is replaced; all others stay. The picture shows
    those of this set.

    Returns:
        Whether there was an earlier one.

    Raises:
        DamagedFileError: there is a file of this name that is not what this wrote.
        StorageError: a file could not be written; the earlier one is whole.
    """
    path = Path(folder) / FILE_NAME
    entry = transfer.to_json()
    earlier = read_transfers(folder)
    results = [
        each
        for each in earlier
        if (each["distilled"], each["network"]) != (entry["distilled"], entry["network"])
    ]
    replaced = len(results) < len(earlier)
    results.append(entry)
    text = json.dumps({"networks": results}, indent=2, allow_nan=False)
    write_atomically(path, (text + "\n").encode())
    curves = {
        each["label"]: (np.array(curve["steps"]), np.array(curve["validation_accuracy"]))
        for each in results
        if each["distilled"] == transfer.distilled
        and (curve := each["curve"])["validation_accuracy"] is not None
    }
    save_picture(Path(folder) / PICTURE, transfer_picture(curves, title=title))
    return replaced


def read_transfers(folder: PathLike) -> list[dict[str, Any]]:
    """The results in the `transfer.json` of a folder; none where there is no such file.

    Raises:
        DamagedFileError: the file is not what `save_transfer` wrote.
    """
    path = Path(folder) / FILE_NAME
    if not path.exists():
        return []
    try:
        results = json.loads(path.read_bytes())["networks"]
        for each in results:
            each["distilled"], each["label"], dict(each["network"])
            each["curve"]["steps"], each["curve"]["validation_accuracy"]
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise DamagedFileError(
            f"{path} is not a file of results of transfer ({error}): remove it, and the networks "
            "are trained again"
        ) from error
    return list(results)
