"""The pictures of a run's folder: what a person looks at first."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from kernel_distill.artefact._curves_picture import curves_picture
from kernel_distill.artefact._images_picture import images_picture
from kernel_distill.artefact._labels_picture import labels_picture
from kernel_distill.artefact._run import Run
from kernel_distill.artefact._style import save_picture


def save_pictures(
    run: Run,
    *,
    before: Float[np.ndarray, "s *shape"],
    after: Float[np.ndarray, "s *shape"],
    labels_before: Float[np.ndarray, "s class"],
    labels_after: Float[np.ndarray, "s class"],
    class_names: Sequence[str],
    best_step: int | None = None,
    title: str = "",
    captions: tuple[str, str] = ("Before", "After"),
) -> None:
    """Write `images.png`, `labels.png` and, where losses were logged, `curves.png` of a run.

    Args:
        run: its log gives the curves.
        before, after: the support in natural colours (see `images_picture`).
        labels_before, labels_after: its labels; those before tell each image's class.
        class_names: a name for each class.
        best_step: the step whose state is the result; by default that of the best validation
            accuracy.
        title: above each picture, such as "mnist · fc1 · ntk".
        captions: above the two halves of `images.png`.

    Raises:
        InputError: shapes differ, or a class has no name.
        StorageError: a picture could not be written.
    """
    images = images_picture(
        before, after, labels_before, class_names, title=title, captions=captions
    )
    save_picture(run.path / "images.png", images)
    metrics = run.metrics()
    if any("loss" in line for line in metrics):  # Label Solve has no steps to draw
        curves = curves_picture(metrics, best_step=best_step, title=title)
        save_picture(run.path / "curves.png", curves)
    labels = labels_picture(labels_before, labels_after, class_names, title=title)
    save_picture(run.path / "labels.png", labels)
