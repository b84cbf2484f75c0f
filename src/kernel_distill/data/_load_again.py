"""The data set of an artefact, split and preprocessed as it was."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kernel_distill._errors import InputError, UnknownNameError
from kernel_distill.data._load import load
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
        loaded = load(name, data_dir=data_dir, **settings)
    except UnknownNameError as error:
        if dataset is not None:
            raise
        raise InputError(
            f"the set was distilled from {name!r}, which is no known data set: if it is a file or "
            "folder of your own, say where it is now, as dataset (on the command line --dataset)"
        ) from error
    now = loaded.preprocessing.recipe
    differing = [name for name in recipe if recipe[name] != now.get(name)]
    if differing:
        raise InputError(
            f"{loaded.name} is not the data set that this was distilled from: "
            + "; ".join(f"{name} was {recipe[name]!r}, is {now.get(name)!r}" for name in differing)
            + ". Give the data of then, as dataset or data_dir."
        )
    return loaded
