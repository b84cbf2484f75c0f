"""Distil a data set into a handful of synthetic examples with neural kernels.

import jax, kernel_distill as kd

data = kd.data.load("digits")
kernel = kd.kernels.FullyConnected(depth=1).kernel("ntk")
result = kd.kip.distill(kernel, data, images_per_class=1, steps=800, key=jax.random.key(0))
result.distilled.save("digits10.npz")
print(kd.evaluate(kd.load("digits10.npz"), data.test).accuracy)
"""

import lazy_loader

# the names stand in __init__.pyi, where editors and type checkers find them too
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
