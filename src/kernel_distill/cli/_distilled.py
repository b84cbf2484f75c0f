"""A distilled set and its data, from a path: a run, this project's own file, or one of others."""

from dataclasses import dataclass
from pathlib import Path

from kernel_distill import data, foreign
from kernel_distill._errors import InputError
from kernel_distill.artefact import Distilled, holds_run, load, read_config
from kernel_distill.cli._show import line, waiting
from kernel_distill.data import Dataset, Preprocessing


@dataclass(frozen=True)
class DistilledOptions:
    """What a file does not tell of the data that it was distilled from."""

    dataset: str | None = None
    """The data set that was distilled, where the file does not tell; or where the data are now, if
    a file or folder of them has moved."""

    data_dir: str | None = None
    """Where TensorFlow Datasets keeps its prepared sets, if not where the run found them."""

    preprocessing: str | None = None
    """Of files of others that do not tell, how their images are preprocessed: standardise, zca
    (KIP's), whiten (RFAD's), dc (DC's, DSA's and DM's own constants), or none."""

    def open(self, path: Path) -> tuple[Distilled, Dataset]:
        """The distilled set, and the data set with the same preprocessing.

        Says what was found in a file of others.

        Args:
            path: a run directory, a distilled .npz, or what `foreign.read` takes.

        Raises:
            InputError: the options contradict the file, or do not tell what it does not; or as
                `load`, `data.load_again`, `foreign.load_data`, `foreign.read`.
        """
        if not holds_run(path) and (runs := sorted(filter(holds_run, path.glob("*/")))):
            raise InputError(f"{path} holds runs: name one of them, such as {runs[0]}")
        if foreign.recognised(path):
            return self.open_others(path)
        distilled = load(path)
        _check_recipe(path, distilled)
        name = distilled.metadata["preprocessing"]["name"]
        if self.preprocessing not in (None, name):
            raise InputError(
                f"the images of {path} are preprocessed by {name!r}, as it says itself; got "
                f"preprocessing={self.preprocessing!r}. Leave that out."
            )
        return distilled, _data_again(path, distilled, self.dataset, self.data_dir)

    def open_others(self, path: Path, *, index: int = 0) -> tuple[Distilled, Dataset]:
        """The same of what `foreign.read` takes alone.

        Args:
            path: the file or folder.
            index: of several sets in a file, which one.

        Raises:
            InputError: it is none of these; or as `foreign.load_data`, `foreign.read`.
        """
        with waiting(f"loading and preprocessing the data of {path}"):
            dataset = foreign.load_data(
                path,
                dataset=self.dataset,
                preprocessing=self.preprocessing,
                data_dir=self.data_dir,
            )
        distilled = foreign.read(path, dataset, preprocessing=self.preprocessing, index=index)
        line(foreign.describe(distilled))
        return distilled, dataset


@dataclass(frozen=True)
class WhitenedOptions:
    """Where the data are, for a set of whitened images without the preprocessing.npz of its run."""

    dataset: str | None = None
    """To undo the whitening of a lone .npz: where the data are now, if a file or folder of them has
    moved."""

    data_dir: str | None = None
    """The same of what TensorFlow Datasets keeps."""

    def preprocessing_of(self, path: Path, distilled: Distilled) -> Preprocessing:
        """That the images went through, and can be brought back from.

        The data set is loaded only where the images are whitened and the matrix is not at hand.

        Args:
            path: a run directory, or a distilled .npz.
            distilled: what was loaded from there.

        Raises:
            InputError, DamagedFileError: as `Preprocessing.from_metadata`, `data.load_again`.
        """
        _check_recipe(path, distilled)
        file = path / "preprocessing.npz"
        preprocessing = Preprocessing.from_metadata(
            distilled.metadata["preprocessing"], whitening=file if file.is_file() else None
        )
        if preprocessing.invertible:
            return preprocessing
        with waiting(f"whitening the data of {path} again, to undo it"):
            return _data_again(path, distilled, self.dataset, self.data_dir).preprocessing


def _check_recipe(path: Path, distilled: Distilled) -> None:
    if "recipe" not in distilled.metadata.get("preprocessing", {}):
        raise InputError(
            f"{path} does not say how its images were preprocessed, and on images that are not "
            "preprocessed alike nothing that it teaches is right: take an artefact whose "
            "metadata have 'preprocessing'"
        )


def _data_again(
    path: Path, distilled: Distilled, dataset: str | None, data_dir: str | None
) -> Dataset:
    config = read_config(path / "config.yaml") if holds_run(path) else {}
    whitening = path / "preprocessing.npz"
    return data.load_again(
        distilled.metadata,
        dataset=dataset or config.get("dataset"),
        data_dir=data_dir or config.get("data_dir"),
        whitening=whitening if whitening.is_file() else None,
    )
