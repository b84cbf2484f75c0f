"""The settings of trajectory matching, for Python and the command line alike."""

from dataclasses import dataclass
from typing import ClassVar

from kernel_distill._errors import InputError
from kernel_distill._settings import check_positive, check_positive_finite
from kernel_distill.matching._settings import MatchingSettings


@dataclass(frozen=True)
class TrajectorySettings(MatchingSettings):
    """Trajectory matching.

    Raises:
        InputError: a value is out of range, or a name is unknown; before any work.
    """

    unused: ClassVar[tuple[str, ...]] = ("batch_size",)

    expert_folder: str | None = None
    """Where the trajectories of networks trained on natural images are kept, a file each; by
    default a folder in experts/ that is for this data set, network and training of theirs alone.
    Those that are missing are trained first. Runs share them, of any seed and size of the
    support."""

    experts: int = 10
    """How many there are. The paper takes 200."""

    expert_seed: int = 0
    """All randomness of their training follows from it, and not from the seed of a run."""

    expert_milestones: int = 20
    """How often the weights of each are kept on the way."""

    milestone_steps: int = 50
    """Steps of an expert from one milestone to the next. The paper takes an epoch."""

    expert_learning_rate: float = 0.01
    """The learning rate of their gradient descent."""

    expert_batch_size: int = 256
    """Natural images of a step of theirs."""

    latest_start: int = 10
    """The last milestone of an expert from which students start."""

    milestones_ahead: int = 2
    """By how many milestones the expert is ahead where a student is to arrive."""

    student_steps: int = 20
    """Steps of a student on the distilled images."""

    student_batch_size: int = 256
    """Distilled images of each of these steps: all, where there are no more."""

    student_learning_rate: float = 0.01
    """The learning rate of these steps, at first: it is learned."""

    rate_learning_rate: float = 0.01
    """Of the optimiser, for the logarithm of the students' learning rate."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive(
            self,
            *("experts", "expert_milestones", "milestone_steps", "expert_batch_size"),
            *("milestones_ahead", "student_steps", "student_batch_size"),
        )
        check_positive_finite(
            self, "expert_learning_rate", "student_learning_rate", "rate_learning_rate"
        )
        if not 0 <= self.latest_start <= self.expert_milestones - self.milestones_ahead:
            raise InputError(
                "an expert goes on for milestones_ahead from where a student starts: latest_start "
                "must be from 0 to expert_milestones - milestones_ahead; got "
                f"latest_start={self.latest_start}, expert_milestones={self.expert_milestones}, "
                f"milestones_ahead={self.milestones_ahead}"
            )
