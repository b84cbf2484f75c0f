"""The data set of an artefact, split and preprocessed as it was."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kernel_distill._errors import InputError, UnknownNameError
from kernel_distill.data._load import load, outline
from kernel_distill.data._settings import WHITENINGS
from kernel_distill.data._split import Dataset


def load_again(
    metadata: Mapping[str, Any],
    *,
    dataset: str | Path | None = None,
    data_dir: str | Path | None = None,
    whitening: str | Path | None = None,
) -> Dataset:
    """Load the data set that a distilled set was made from, with the same settings.

    Args:
        metadata: of the distilled set (`Distilled.metadata`).
        dataset: where a user's own data are now (the metadata hold no path); by default the name
            of then.
        data_dir: as for `load`.
        whitening: of "zca" and "whiten": the preprocessing.npz of the run, in place of fitting it
            again.

    Raises:
        InputError: the data are not those that the set was made from, by their version, sizes
            or content; or as `load`.
    """
    recipe = metadata["preprocessing"]["recipe"]
    settings = {
        name: recipe[name]
        for name in ("validation_size", "split_seed", "image_size", "preprocessing")
    }
    if recipe["test_held_out"]:
        settings["test_size"] = recipe["test_held_out"]
    if recipe["preprocessing"] in WHITENINGS:
        settings |= {"zca_regularisation": recipe["zca_regularisation"], "whitening": whitening}
    name = dataset or metadata.get("dataset", {}).get("name")
    if name is None:
        raise InputError(
            "the file does not tell which data set it was distilled from: say it as dataset (on "
            "the command line --dataset)"
        )
    try:
        if known := outline(name, data_dir=data_dir):  # before it is downloaded
            _refuse_other(known.name, recipe, {"data": f"{known.name} {known.version}"})
        loaded = load(name, data_dir=data_dir, **settings)
    except UnknownNameError as error:
        if dataset is not None:
            raise
        raise InputError(
            f"the set was distilled from {name!r}, which is no known data set: if it is a file or "
            "folder of your own, say where it is now, as dataset (on the command line --dataset)"
        ) from error
    _refuse_other(loaded.name, recipe, {**dict.fromkeys(recipe), **loaded.preprocessing.recipe})
    return loaded


def _refuse_other(name: str, then: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Raise `InputError` where the recipe of a data set differs from `now`, in what that knows."""
    differing = [key for key in then if key in now and then[key] != now[key]]
    if differing:
        raise InputError(
            f"{name} is not the data set that this was distilled from: "
            + "; ".join(f"{key} was {then[key]!r}, is {now[key]!r}" for key in differing)
            + ". Give the data of then, as dataset or data_dir."
        )
