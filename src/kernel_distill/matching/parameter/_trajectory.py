"""Trajectory matching: steps on distilled images lead where many on natural ones have led."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from kernel_distill._settings import Report
from kernel_distill.data import numpy_generator
from kernel_distill.matching._evaluation import CROSS_ENTROPY, SQUARED_ERROR
from kernel_distill.matching._method import Found, Method, Support
from kernel_distill.matching._products import in_training
from kernel_distill.matching.parameter._distance import trajectory_distance
from kernel_distill.matching.parameter._experts import Experts, train_experts
from kernel_distill.matching.parameter._student import Lesson, student, trained, turns
from kernel_distill.matching.parameter._trajectory_settings import TrajectorySettings
from kernel_distill.transfer import State, TrainingSettings


class Trajectory(Method[TrajectorySettings]):
    """A student that starts from an expert's weights is to arrive, after a few steps on distilled
    images, where the expert has arrived after many on natural ones.

    The learning rate of the student is learned too, by its logarithm, so that it stays positive.
    With `augment`, experts and students are trained on images that are changed at random.

    Source: Cazenavette et al. 2022, "Dataset Distillation by Matching Training Trajectories",
    algorithm 1.
    """

    name = "trajectory"
    settings_type = TrajectorySettings
    likely_cause = (
        "that of the students (student_learning_rate, which is learned by its logarithm), or an "
        "expert hardly moves (expert_learning_rate)"
    )

    _experts: Experts

    def prepare(self, report: Report | None) -> None:
        """Trains the experts that are not there yet."""
        settings = self.settings
        self._experts = train_experts(
            self.model.network,
            self.data,
            settings.expert_folder,
            experts=settings.experts,
            milestones=settings.expert_milestones,
            milestone_steps=settings.milestone_steps,
            rate=settings.expert_learning_rate,
            batch_size=settings.expert_batch_size,
            augment=settings.augment,
            key=jax.random.key(settings.expert_seed),
            report=report,
        )

    @property
    def rests_on(self) -> str:
        return self._experts.told

    @property
    def training(self) -> TrainingSettings:  # type: ignore[override]
        """The squared error takes learned labels as they are; the cross-entropy of `transfer` wants
        distributions."""
        return SQUARED_ERROR if self.settings.learn_labels else CROSS_ENTROPY

    def support(self, images: Float[Array, "s *shape"], labels: Float[Array, "s class"]) -> Support:
        rate = jnp.log(jnp.float32(self.settings.student_learning_rate))
        return super().support(images, labels) | {"log_student_learning_rate": rate}

    def learning_rates(self) -> dict[str, float]:
        return super().learning_rates() | {
            "log_student_learning_rate": self.settings.rate_learning_rate
        }

    def gradient(self, support: Support, memory: Any, *, step: int, key: PRNGKeyArray) -> Found:
        """
        Raises:
            NumericalError: the student's training diverged.
            DamagedFileError: the file of an expert cannot be read.
        """
        settings = self.settings
        draw_key, turns_key = jax.random.split(key)
        random = numpy_generator(draw_key)
        expert = int(random.integers(len(self._experts)))
        milestone = int(random.integers(settings.latest_start + 1))
        start, goal = (
            self._experts.parameters(expert, number)
            for number in (milestone, milestone + settings.milestones_ahead)
        )
        rate = jnp.exp(support["log_student_learning_rate"])
        lesson = Lesson(images=support["images"], labels=support["labels"], rate=rate)
        all_turns = turns(
            len(support["images"]),
            steps=settings.student_steps,
            batch_size=settings.student_batch_size,
            key=turns_key,
        )
        steps = student(in_training(self.model), settings.augment)
        initial = State(start, self._rest)
        training = trained(
            steps,
            initial,
            lesson,
            all_turns,
            where=f"in outer step {step + 1}",
            setting="student_learning_rate or rate_learning_rate",
        )
        loss, cotangent = _loss(training.final, start, goal)
        _, found = steps.backward(training, cotangent)
        gradient = {
            "images": found["images"],
            "labels": found["labels"],
            "log_student_learning_rate": rate * found["rate"],
        }
        learned = {name: gradient[name] for name in self.learning_rates()}
        return Found(learned, memory, {"loss": loss, "student_learning_rate": rate})

    def metadata(self, support: Support) -> dict[str, Any]:
        return {"student_learning_rate": float(np.exp(support["log_student_learning_rate"]))}

    @functools.cached_property
    def _rest(self) -> Any:
        """Running statistics, which nothing here looks at."""
        return self.model.init(self.key).rest


@jax.jit
def _loss(final: State, start: Any, goal: Any) -> tuple[Float[Array, ""], State]:
    """The distance to the goal, and its derivative in the state at the end of the training."""
    return jax.value_and_grad(lambda final: trajectory_distance(final.parameters, start, goal))(
        final
    )
