"""Where a run is watched while it goes on: `Run.create(path, config, watchers=[TensorBoard()])`."""

from kernel_distill.artefact import Watcher as Watcher
from kernel_distill.watchers._tensorboard import TensorBoard as TensorBoard
from kernel_distill.watchers._wandb import WeightsAndBiases as WeightsAndBiases
