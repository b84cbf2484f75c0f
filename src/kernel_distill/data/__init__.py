"""Data sets, their preprocessing, the label convention and augmentation."""

from kernel_distill.data._augment import AUGMENTATIONS as AUGMENTATIONS
from kernel_distill.data._augment import augment as augment
from kernel_distill.data._augment import check_names as check_augmentations
from kernel_distill.data._labels import LABEL_CONVENTION as LABEL_CONVENTION
from kernel_distill.data._labels import one_hot as one_hot
from kernel_distill.data._load import from_arrays as from_arrays
from kernel_distill.data._load import load as load
from kernel_distill.data._load import outline as outline
from kernel_distill.data._load_again import load_again as load_again
from kernel_distill.data._outline import Outline as Outline
from kernel_distill.data._preprocessing import Preprocessing as Preprocessing
from kernel_distill.data._sampling import ClassBalanced as ClassBalanced
from kernel_distill.data._sampling import numpy_generator as numpy_generator
from kernel_distill.data._settings import PREPROCESSINGS as PREPROCESSINGS
from kernel_distill.data._settings import Settings as Settings
from kernel_distill.data._split import Dataset as Dataset
from kernel_distill.data._split import Split as Split

__all__ = [
    "AUGMENTATIONS",
    "LABEL_CONVENTION",
    "PREPROCESSINGS",
    "ClassBalanced",
    "Dataset",
    "Outline",
    "Preprocessing",
    "Settings",
    "Split",
    "augment",
    "check_augmentations",
    "from_arrays",
    "load",
    "load_again",
    "numpy_generator",
    "one_hot",
    "outline",
]
