"""The settings of a data set, for Python and the command line alike."""

from dataclasses import dataclass

from kernel_distill._errors import InputError, unknown_name

PREPROCESSINGS = ("standardise", "zca", "whiten", "none")
WHITENINGS = ("zca", "whiten")
"""Those with a matrix of their own."""


@dataclass(frozen=True)
class Settings:
    """Which data set, how it is split and how it is preprocessed.

    The fields are the arguments of `kernel_distill.data.load`.

    Raises:
        InputError: a value is out of range; before any file is read.
    """

    dataset: str = "digits"
    """`digits` (built in), the name of a TensorFlow Datasets image classification set (`mnist`,
    `cifar10`, ...), a path to an .npz or .csv file, or to a folder with a folder a class."""

    data_dir: str | None = None
    """Where TensorFlow Datasets keeps its prepared sets; by default $TFDS_DATA_DIR, else
    ~/tensorflow_datasets."""

    validation_size: int | None = None
    """Examples held out of the training set, class by class, for choosing settings and the best
    state; by default a tenth, at most 5000. 0 holds out none."""

    test_size: int | None = None
    """Examples held out of the training set as test set, only where the data come without one; by
    default a fifth, at most 10000."""

    split_seed: int = 0
    """Chooses the validation examples; the test examples are the same whatever it is."""

    image_size: int | None = None
    """Cut images to their central square and resize them to this height and width; needed where
    images differ in size."""

    preprocessing: str = "standardise"
    """`standardise` gives each channel mean 0 and standard deviation 1 over the training images;
    `zca` is the regularised whitening of the KIP papers; `whiten` is the same without the scaling
    of each image to norm 1 before it (RFAD's); `none` leaves images in [0, 1]."""

    zca_regularisation: float = 0.1
    """Of `zca` and `whiten`: this times the mean eigenvalue is added to each eigenvalue."""

    whitening: str | None = None
    """Of `zca` and `whiten`: the preprocessing.npz of an earlier run with the same data settings,
    in place of fitting the whitening again (which takes about a minute for CIFAR-10)."""

    def __post_init__(self) -> None:
        if self.preprocessing not in PREPROCESSINGS:
            raise unknown_name("preprocessing", self.preprocessing, PREPROCESSINGS)
        _require(self.validation_size, at_least=0, what="validation_size")
        _require(self.test_size, at_least=1, what="test_size")
        _require(self.image_size, at_least=1, what="image_size")
        if not 0 <= self.split_seed < 2**32:
            raise InputError(f"split_seed must be from 0 to 2**32 - 1; got {self.split_seed}.")
        if not 0 < self.zca_regularisation < float("inf"):
            raise InputError(
                "zca_regularisation must be positive, since unregularised whitening divides by "
                f"eigenvalues that are zero; got {self.zca_regularisation}. The papers take 0.1."
            )
        if self.whitening is not None and self.preprocessing not in WHITENINGS:
            raise InputError(
                "whitening is for preprocessing='zca' or 'whiten'; got "
                f"preprocessing={self.preprocessing!r}. Leave one of the two out."
            )


def _require(value: int | None, *, at_least: int, what: str) -> None:
    if value is not None and value < at_least:
        raise InputError(f"{what} must be at least {at_least}; got {value}.")
