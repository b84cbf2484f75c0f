"""Training networks of finite width on distilled data."""

from kernel_distill.transfer._learning_rate import largest_stable_rate as largest_stable_rate
from kernel_distill.transfer._model import Model as Model
from kernel_distill.transfer._model import State as State
from kernel_distill.transfer._results import read_transfers as read_transfers
from kernel_distill.transfer._results import save_transfer as save_transfer
from kernel_distill.transfer._settings import TrainingSettings as TrainingSettings
from kernel_distill.transfer._train import Trained as Trained
from kernel_distill.transfer._train import train as train
from kernel_distill.transfer._transfer import Transfer as Transfer
from kernel_distill.transfer._transfer import check_match as check_match
from kernel_distill.transfer._transfer import transfer as transfer
