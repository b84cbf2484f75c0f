"""Trees of arrays to named arrays and back."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from kernel_distill._errors import InputError
from kernel_distill.artefact import Checkpoints, pack, unpack


def adam_state(steps=3, rows=4, learning_rate=0.1):
    optimizer = optax.chain(
        optax.clip_by_global_norm(1.0),
        optax.adam(optax.cosine_decay_schedule(learning_rate, 100)),
    )
    support = {"images": jnp.ones((rows, 3, 3, 1)), "labels": jnp.ones((rows, 2))}
    state = optimizer.init(support)
    for step in range(steps):
        gradient = jax.tree.map(lambda leaf, factor=step + 1.0: factor * leaf, support)
        updates, state = optimizer.update(gradient, state, support)
        support = optax.apply_updates(support, updates)
    return support, state


def assert_equal_trees(found, expected):
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert type(one) is type(other)
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)


def test_an_optimiser_goes_on_where_it_was(tmp_path):
    trained = adam_state(3)
    Checkpoints(tmp_path).save(3, pack(trained), {}, keep=True)
    restored = unpack(adam_state(0), Checkpoints(tmp_path).latest().tensors)
    assert_equal_trees(restored, trained)
    assert any("mu['images']" in name for name in pack(trained))


@pytest.mark.parametrize("implementation", ["threefry2x32", "rbg"])
def test_random_keys_go_on_where_they_were(implementation):
    def keys(seed):
        key = jax.random.key(seed, impl=implementation)
        return {"one": key, "three": jax.random.split(key, 3)}

    packed = pack(keys(7))
    assert list(packed) == [f"['one']!{implementation}", f"['three']!{implementation}"]
    restored = unpack(keys(0), packed)
    for found, key in zip(jax.tree.leaves(restored), jax.tree.leaves(keys(7)), strict=True):
        assert found.dtype == key.dtype
        np.testing.assert_array_equal(jax.random.key_data(found), jax.random.key_data(key))
    drawn = jax.random.normal(keys(7)["three"][1], (5,))
    np.testing.assert_array_equal(jax.random.normal(restored["three"][1], (5,)), drawn)


def test_a_key_of_another_implementation_is_refused():
    with pytest.raises(InputError, match=r"missing: \['key'\]!rbg; unexpected: .*threefry2x32"):
        unpack({"key": jax.random.key(0, impl="rbg")}, pack({"key": jax.random.key(0)}))


def test_float64_comes_back_whole_without_x64():
    with jax.enable_x64(True):
        tree = {"sum": jnp.array([1 / 3, 1e-300]), "count": jnp.array(2**40)}
    restored = unpack(tree, pack(tree))
    assert_equal_trees(restored, tree)
    assert restored["sum"].dtype == np.float64
    assert not jax.config.jax_enable_x64


def test_leaves_come_back_as_what_they_are():
    tree = {"a": 3, "b": 0.1, "c": True, "d": np.arange(3), "e": jnp.arange(3), "f": None}
    restored = unpack(tree, pack(tree))
    assert {name: type(leaf) for name, leaf in restored.items()} == {
        name: type(leaf) for name, leaf in tree.items()
    }
    assert restored["a"] == 3
    assert restored["b"] == 0.1
    assert restored["c"] is True


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ({"x": jnp.zeros((2, 2))}, r"\['x'\] must be float32 \[2, 2\]; got float32 \[3, 2\]"),
        ({"x": jnp.zeros((3, 2), jnp.int32)}, r"must be int32 \[3, 2\]; got float32"),
        ({"y": jnp.zeros((3, 2))}, r"missing: \['y'\]; unexpected: \['x'\]"),
        ({}, r"missing: none; unexpected: \['x'\]"),
    ],
)
def test_a_state_of_other_settings_is_refused(template, message):
    with pytest.raises(InputError, match=message):
        unpack(template, pack({"x": jnp.zeros((3, 2))}))
