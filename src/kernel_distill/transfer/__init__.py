"""Training networks of finite width on distilled data, and baselines to compare with."""

from kernel_distill.transfer._baselines import BASELINES as BASELINES
from kernel_distill.transfer._baselines import NEAREST as NEAREST
from kernel_distill.transfer._baselines import baseline as baseline
from kernel_distill.transfer._baselines import nearest_neighbour as nearest_neighbour
from kernel_distill.transfer._choice import rank_correlations as rank_correlations
from kernel_distill.transfer._comparison import USUAL_BASELINES as USUAL_BASELINES
from kernel_distill.transfer._comparison import Comparison as Comparison
from kernel_distill.transfer._comparison import Failed as Failed
from kernel_distill.transfer._comparison import Measured as Measured
from kernel_distill.transfer._comparison import Row as Row
from kernel_distill.transfer._comparison import compare as compare
from kernel_distill.transfer._comparison_files import save_comparison as save_comparison
from kernel_distill.transfer._comparison_files import text_table as text_table
from kernel_distill.transfer._continual import Continual as Continual
from kernel_distill.transfer._continual import continual as continual
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
