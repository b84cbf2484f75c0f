"""The distilled data set and the folder of a run: save, load, checkpoints, pictures."""

from kernel_distill.artefact._checkpoints import Checkpoint as Checkpoint
from kernel_distill.artefact._checkpoints import Checkpoints as Checkpoints
from kernel_distill.artefact._checkpoints import (
    DamagedCheckpointWarning as DamagedCheckpointWarning,
)
from kernel_distill.artefact._citation import METHOD_NAMES as METHOD_NAMES
from kernel_distill.artefact._citation import made_here as made_here
from kernel_distill.artefact._citation import method_citation as method_citation
from kernel_distill.artefact._citation import method_name as method_name
from kernel_distill.artefact._comparison_picture import comparison_picture as comparison_picture
from kernel_distill.artefact._config import dump_config as dump_config
from kernel_distill.artefact._config import read_config as read_config
from kernel_distill.artefact._contact_sheet import contact_sheet as contact_sheet
from kernel_distill.artefact._curves_picture import curves_picture as curves_picture
from kernel_distill.artefact._distilled import FORMAT_VERSION as FORMAT_VERSION
from kernel_distill.artefact._distilled import Distilled as Distilled
from kernel_distill.artefact._distilled import load as load
from kernel_distill.artefact._images_picture import images_picture as images_picture
from kernel_distill.artefact._labels_picture import labels_picture as labels_picture
from kernel_distill.artefact._log import read_metrics as read_metrics
from kernel_distill.artefact._metadata import PACKAGES as PACKAGES
from kernel_distill.artefact._metadata import device_description as device_description
from kernel_distill.artefact._metadata import package_versions as package_versions
from kernel_distill.artefact._pictures import save_pictures as save_pictures
from kernel_distill.artefact._run import RESULT as RESULT
from kernel_distill.artefact._run import TENSORBOARD as TENSORBOARD
from kernel_distill.artefact._run import Run as Run
from kernel_distill.artefact._run import check_folder as check_folder
from kernel_distill.artefact._run import holds_run as holds_run
from kernel_distill.artefact._run import last_checkpoint as last_checkpoint
from kernel_distill.artefact._stage import Stage as Stage
from kernel_distill.artefact._stage import spread as spread
from kernel_distill.artefact._style import classes_of as classes_of
from kernel_distill.artefact._style import save_picture as save_picture
from kernel_distill.artefact._transfer_picture import transfer_picture as transfer_picture
from kernel_distill.artefact._tree import pack as pack
from kernel_distill.artefact._tree import unpack as unpack
from kernel_distill.artefact._viewing import Contrast as Contrast
from kernel_distill.artefact._viewing import eight_bits as eight_bits
from kernel_distill.artefact._viewing import selected as selected
from kernel_distill.artefact._watcher import Settled as Settled
from kernel_distill.artefact._watcher import Watcher as Watcher
