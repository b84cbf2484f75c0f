"""Angles from their cosines, by polynomials: the library function for arccos is called number by
number, ten times as long.

Both are taken of u = 1 - cos(angle) in [0, 1]. angle / sqrt(u) and (sin(angle) - angle
cos(angle)) / u^1.5 are smooth there (the nearest singularity is at u = 2), so that polynomials on
Chebyshev points come near them: to 2e-8 and 2e-16, relative, with the coefficients below.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

Entries = Float[Array, "*shape"]

# highest power first
_ANGLE = {
    "float32": (
        *(0.001227830448, -0.002046239051, 0.003413707438, 0.001428441669),
        *(0.008233999666, 0.02647167948, 0.1178533362, 1.414213545),
    ),
    "float64": (
        *(
            1.2332156694260752e-06,
            -1.0967249100596631e-05,
            4.642753187933585e-05,
            -0.00012269475437660867,
        ),
        *(
            0.00022602199804636032,
            -0.0003066186218152319,
            0.0003172270625173136,
            -0.00025406791167040574,
        ),
        *(
            0.00016149289154184952,
            -7.770157616915658e-05,
            3.6492825739470096e-05,
            1.8552024358198196e-06,
        ),
        *(
            2.9312958705686493e-05,
            6.337852898970896e-05,
            0.00015435244532571667,
            0.0003834392349654362,
        ),
        *(0.0009887195463593559, 0.002685409845540762, 0.00789181675497417, 0.026516504294485172),
        *(0.11785113019775799, 1.4142135623730951),
    ),
}
_SEGMENT = {
    "float32": (
        *(0.0002372022619, -0.0001842894275, 0.000751223335, 0.001653725176),
        *(0.007593760748, 0.04713930798, 0.9428090536),
    ),
    "float64": (
        *(
            6.651743951625082e-08,
            -5.52707390036155e-07,
            2.195160856845271e-06,
            -5.426873709831682e-06,
        ),
        *(
            9.331369223722113e-06,
            -1.1740886343939932e-05,
            1.1243653114452498e-05,
            -8.185107046277133e-06,
        ),
        *(
            4.895832036130732e-06,
            -1.7157145819954621e-06,
            1.7486404001124035e-06,
            2.3671397798416765e-06,
        ),
        *(
            6.759035243987391e-06,
            1.8145414588436376e-05,
            5.112681242534842e-05,
            0.0001521105694709054,
        ),
        *(0.0004882563427722376, 0.0017537370564106552, 0.007576144084143367, 0.047140452079103154),
        *(0.9428090415820634,),
    ),
}


def angle(u: Entries) -> Entries:
    """arccos(1 - u)."""
    return jnp.sqrt(u) * _polynomial(_ANGLE, u)


def segment(u: Entries) -> Entries:
    """sin(angle) - angle cos(angle): twice the area that a chord of so wide an angle cuts off."""
    return u * jnp.sqrt(u) * _polynomial(_SEGMENT, u)


def _polynomial(coefficients: dict[str, tuple[float, ...]], x: Entries) -> Entries:
    first, *others = coefficients[x.dtype.name]
    result = jnp.full_like(x, first)
    for coefficient in others:
        result = result * x + coefficient
    return result
