"""The distances, against loops over nodes."""

import jax
import jax.numpy as jnp
import numpy as np

from kernel_distill.matching.parameter import gradient_distance, trajectory_distance


def tree(seed):
    random = np.random.default_rng(seed)
    shapes = {"convolution": (3, 3, 2, 5), "bias": (5,), "dense": (7, 4), "scale": (4,)}
    return {name: random.standard_normal(shape) for name, shape in shapes.items()}


def literal_distance(a, b):
    total = 0.0
    for name in ("convolution", "dense"):
        for node in range(a[name].shape[-1]):
            one, other = a[name][..., node].ravel(), b[name][..., node].ravel()
            norms = np.linalg.norm(one) * np.linalg.norm(other)
            total += 1 - one @ other / (norms + 1e-6)
    return total


def in_float32(tree):
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), tree)


def test_gradient_distance_node_by_node():
    a, b = tree(0), tree(1)
    found = gradient_distance(in_float32(a), in_float32(b))
    np.testing.assert_allclose(found, literal_distance(a, b), rtol=1e-5)


def test_gradient_distance_of_the_same_and_of_opposites():
    a = in_float32(tree(0))
    nodes = 5 + 4
    np.testing.assert_allclose(gradient_distance(a, a), 0, atol=1e-5)
    np.testing.assert_allclose(
        gradient_distance(a, jax.tree.map(jnp.negative, a)), 2 * nodes, rtol=1e-5
    )


def test_a_node_without_gradient_has_a_derivative():
    """As where a ReLU is off for all images."""
    a, b = in_float32(tree(0)), in_float32(tree(1))
    a["dense"] = a["dense"].at[:, 2].set(0)
    value, slope = jax.value_and_grad(gradient_distance)(a, b)
    assert np.isfinite(value)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(slope))


def test_trajectory_distance_of_weights_in_a_row():
    end, start, goal = tree(0), tree(1), tree(2)
    flat = [np.concatenate([leaf.ravel() for leaf in each.values()]) for each in (end, start, goal)]
    expected = np.sum((flat[0] - flat[2]) ** 2) / np.sum((flat[1] - flat[2]) ** 2)
    found = trajectory_distance(*(in_float32(each) for each in (end, start, goal)))
    np.testing.assert_allclose(found, expected, rtol=1e-5)
