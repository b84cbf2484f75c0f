"""What a comparison compares: runs, and baselines, which may be drawn again and again."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import jax
from jaxtyping import PRNGKeyArray

from kernel_distill.artefact import Distilled
from kernel_distill.data import Dataset
from kernel_distill.transfer._baselines import DRAWN, NEAREST, baseline, check_baseline
from kernel_distill.transfer._match import check_match


@dataclass(frozen=True, eq=False)
class Entrant:
    """A row of the table.

    Attributes:
        name: the run's, or the baseline's.
        data: what is trained and tested on, apart from the set itself.
        images: how many there are in the set.
        identity: what JSON can hold, and what tells it from every other.
        baseline: whether it is one.
        drawn: whether another key makes another set.
        whole: whether its set is all training images.
        classifies: whether its set only serves for the nearest neighbour in it.
        make: the set of a key.
        key: that of all draws.
    """

    name: str
    data: Dataset
    images: int
    identity: dict[str, Any]
    baseline: bool
    drawn: bool
    whole: bool
    classifies: bool
    make: Callable[[PRNGKeyArray], Distilled]
    key: PRNGKeyArray
    _made: dict[int, Distilled] = field(default_factory=dict)

    def draw(self, number: int) -> Distilled:
        """Its set of that number, made when first asked for; there is one if it is not drawn."""
        number = number if self.drawn else 0
        if number not in self._made:
            self._made[number] = self.make(jax.random.fold_in(self.key, number))
        return self._made[number]


def entrant_of_run(name: str, distilled: Distilled, data: Dataset, *, key: PRNGKeyArray) -> Entrant:
    """A distilled set as a row.

    Raises:
        InputError: it does not belong to the data.
    """
    check_match(distilled, data)
    return Entrant(
        name=name,
        data=data,
        images=len(distilled),
        identity={"sha256": distilled.sha256, "test": data.test.content_hash},
        baseline=False,
        drawn=False,
        whole=False,
        classifies=False,
        make=lambda key: distilled,
        key=key,
    )


def entrants_of_baselines(
    names: Sequence[str], data: Dataset, *, images_per_class: int, key: PRNGKeyArray
) -> list[Entrant]:
    """Baselines as rows.

    Raises:
        InputError: as `baseline`.
    """
    for name in names:
        check_baseline(NEAREST.get(name, name), data, images_per_class=images_per_class)
    sizes = {"average": data.num_classes, "full": len(data.train)}
    # the nearest neighbour is sought in the sets that networks are trained on
    made: dict[str, dict[int, Distilled]] = defaultdict(dict)
    return [
        Entrant(
            name=name,
            data=data,
            images=sizes.get(name, images_per_class * data.num_classes),
            # the average of a class, and its whole, are the same for any number
            identity={
                "baseline": name,
                "fingerprint": data.preprocessing.fingerprint,
                "test": data.test.content_hash,
            }
            | ({} if name in sizes else {"images_per_class": images_per_class}),
            baseline=True,
            drawn=name in DRAWN,
            whole=name == "full",
            classifies=name in NEAREST,
            make=partial(_drawn, NEAREST.get(name, name), data, images_per_class),
            key=key,
            _made=made[NEAREST.get(name, name)],
        )
        for name in names
    ]


def _drawn(name: str, data: Dataset, images_per_class: int, key: PRNGKeyArray) -> Distilled:
    return baseline(name, data, images_per_class=images_per_class, key=key)
