"""The public names, each loaded where it is first used."""

from . import artefact as artefact
from . import data as data
from . import distributed as distributed
from . import foreign as foreign
from . import kernels as kernels
from . import kip as kip
from . import label_solve as label_solve
from . import matching as matching
from . import networks as networks
from . import transfer as transfer
from . import watchers as watchers
from ._errors import DamagedFileError as DamagedFileError
from ._errors import InputError as InputError
from ._errors import KernelDistillError as KernelDistillError
from ._errors import MissingExtraError as MissingExtraError
from ._errors import NumericalError as NumericalError
from ._errors import StorageError as StorageError
from ._errors import UnknownNameError as UnknownNameError
from ._interrupt import Interrupted as Interrupted
from .artefact import Distilled as Distilled
from .artefact import load as load
from .evaluation import Evaluation as Evaluation
from .evaluation import evaluate as evaluate
from .results import Result as Result
