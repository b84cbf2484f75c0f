"""The settings of trajectory matching, for Python and the command line alike."""

from dataclasses import dataclass
from math import inf

from kernel_distill._errors import InputError
from kernel_distill._settings import check_positive
from kernel_distill.matching._settings import MatchingSettings


@dataclass(frozen=True)
class TrajectorySettings(MatchingSettings):
    """Trajectory matching.

    Raises:
        InputError: a value is out of range, or a name is unknown; before any work.
    """

    expert_folder: str = "experts"
    """Where the trajectories of networks trained on natural images are kept, a file each. Those
    that are missing are trained first. Runs share them, of any seed and size of the support."""

    experts: int = 10
    """How many there are. The paper takes 200."""

    expert_epochs: int = 10
    """How long each is trained; its weights are kept after every epoch. The paper takes 50."""

    expert_rate: float = 0.01
    """The learning rate of their gradient descent."""

    expert_batch_size: int = 256
    """Natural images of a step of theirs."""

    latest_start: int = 5
    """The last epoch of an expert from which students start."""

    epochs_ahead: int = 2
    """By how many epochs the expert is ahead where a student is to arrive."""

    student_steps: int = 20
    """Steps of a student on the distilled images."""

    student_batch_size: int = 256
    """Distilled images of each of these steps: all, where there are no more."""

    student_rate: float = 0.01
    """The learning rate of these steps, at first: it is learned."""

    student_rate_rate: float = 0.01
    """Of the optimiser, for the logarithm of the students' learning rate."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive(
            self,
            *("experts", "expert_epochs", "expert_batch_size", "epochs_ahead"),
            *("student_steps", "student_batch_size"),
        )
        for name in ("expert_rate", "student_rate", "student_rate_rate"):
            if not 0 < (value := getattr(self, name)) < inf:
                raise InputError(f"{name} must be positive and finite; got {value}")
        if not 0 <= self.latest_start <= self.expert_epochs - self.epochs_ahead:
            raise InputError(
                "a student's expert goes on for epochs_ahead epochs from latest_start at most: "
                "latest_start must be from 0 to expert_epochs - epochs_ahead; got "
                f"latest_start={self.latest_start}, expert_epochs={self.expert_epochs}, "
                f"epochs_ahead={self.epochs_ahead}"
            )
