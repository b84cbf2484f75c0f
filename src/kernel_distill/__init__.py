"""Distil a data set into a handful of synthetic examples with neural kernels.

import jax, kernel_distill as kd

data = kd.data.load("digits")
kernel = kd.kernels.FullyConnected(depth=1).kernel("ntk")
result = kd.kip.distill(kernel, data, images_per_class=1, steps=800, key=jax.random.key(0))
result.distilled.save("digits10.npz")
print(kd.evaluate(kd.load("digits10.npz"), data.test).accuracy)
"""

from kernel_distill import artefact as artefact
from kernel_distill import data as data
from kernel_distill import distributed as distributed
from kernel_distill import foreign as foreign
from kernel_distill import kernels as kernels
from kernel_distill import kip as kip
from kernel_distill import label_solve as label_solve
from kernel_distill import matching as matching
from kernel_distill import networks as networks
from kernel_distill import transfer as transfer
from kernel_distill import watchers as watchers
from kernel_distill._errors import DamagedFileError as DamagedFileError
from kernel_distill._errors import InputError as InputError
from kernel_distill._errors import KernelDistillError as KernelDistillError
from kernel_distill._errors import MissingExtraError as MissingExtraError
from kernel_distill._errors import NumericalError as NumericalError
from kernel_distill._errors import StorageError as StorageError
from kernel_distill._errors import UnknownNameError as UnknownNameError
from kernel_distill._interrupt import Interrupted as Interrupted
from kernel_distill.artefact import Distilled as Distilled
from kernel_distill.artefact import load as load
from kernel_distill.evaluation import Evaluation as Evaluation
from kernel_distill.evaluation import evaluate as evaluate
from kernel_distill.results import Result as Result
