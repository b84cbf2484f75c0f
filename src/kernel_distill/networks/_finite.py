"""The finite twin of an architecture that has a kernel."""

from typing import Any

from jaxtyping import PRNGKeyArray

from kernel_distill._errors import InputError, unknown_name
from kernel_distill.kernels import Architecture

PARAMETERIZATIONS = ("standard", "ntk")


def finite(
    architecture: Architecture,
    *,
    width: int,
    num_classes: int,
    image_shape: tuple[int, ...],
    parameterization: str = "standard",
    key: PRNGKeyArray,
) -> Any:
    """An architecture as a network of finite width, initialised, to be trained.

    Both parameterisations are the same random function when they are drawn: weights are normal
    with standard deviation w_std / sqrt(fan-in), biases with b_std. They differ in how gradient
    descent moves them. "standard" has these numbers as parameters. "ntk" has standard normal ones,
    and multiplies them by the deviations whenever they are used: its tangent kernel
    (`empirical_ntk`) tends to `architecture.kernel("ntk")` as the width grows, with a deviation
    of the order of 1 / sqrt(width). Source: Sohl-Dickstein et al. 2020.

    Args:
        architecture: for example `kernels.ConvNet()`.
        width: channels, or units, of every hidden layer.
        num_classes: outputs.
        image_shape: of one image, [height, width, channel], or of one row of a table, [feature].
        parameterization: "standard" or "ntk".
        key: the randomness of the weights. A traced one serves too: `jax.vmap` over keys, of
            `nnx.split` of the module, draws several networks at a time.

    Returns:
        A flax module (`nnx.Module`), called as module(x [n, *image_shape]) -> [n, num_classes].
        Its parameters (`nnx.Param`) are float32.

    Raises:
        InputError: width or num_classes is not positive, or the images do not fit.
        UnknownNameError: there is no such parameterisation.
    """
    check_sizes(width=width, num_classes=num_classes)
    check_parameterization(parameterization)
    architecture.check_images(image_shape)
    from kernel_distill.networks._twin_modules import twin

    return twin(
        architecture,
        width=width,
        num_classes=num_classes,
        image_shape=image_shape,
        parameterization=parameterization,
        key=key,
    )


def check_sizes(**sizes: int) -> None:
    """Raises InputError unless all are 1 or more."""
    for name, value in sizes.items():
        if value < 1:
            raise InputError(f"{name} must be 1 or more; got {value}")


def check_parameterization(name: str) -> None:
    """Raises UnknownNameError unless `name` is "standard" or "ntk"."""
    if name not in PARAMETERIZATIONS:
        raise unknown_name("parameterization", name, PARAMETERIZATIONS)
