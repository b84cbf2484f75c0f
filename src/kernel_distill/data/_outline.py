"""What is known of a data set before it is downloaded."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Outline:
    """Some of what a `Dataset` has, by the same names.

    Attributes:
        name: of the data set.
        version: of it.
        image_shape: (height, width, channel); None where images differ in size.
        class_names: in the order of the labels.
    """

    name: str
    version: str
    image_shape: tuple[int, ...] | None
    class_names: tuple[str, ...]

    @property
    def num_classes(self) -> int:
        return len(self.class_names)
