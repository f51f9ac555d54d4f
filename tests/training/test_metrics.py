import jax
import numpy as np
import pytest
from sklearn import metrics as oracle

from momentum_jax.training.metrics import accuracy, confusion_matrix, matthews_correlation


@pytest.mark.parametrize(("n", "classes", "skill"), [(50, 2, 0.0), (1000, 10, 0.8), (300_000, 3, 0.5), (200_000, 2, 0.99)])
def test_metrics_agree_with_scikit_learn_also_where_products_of_counts_pass_int32(n, classes, skill):
    rng = np.random.default_rng(n)
    labels = rng.integers(0, classes, n)
    predictions = np.where(rng.random(n) < skill, labels, rng.integers(0, classes, n))
    confusion = jax.jit(confusion_matrix, static_argnums=2)(labels, predictions, classes)
    np.testing.assert_array_equal(confusion, oracle.confusion_matrix(labels, predictions))
    np.testing.assert_allclose(accuracy(confusion), oracle.accuracy_score(labels, predictions), rtol=1e-6)
    np.testing.assert_allclose(matthews_correlation(confusion), oracle.matthews_corrcoef(labels, predictions), atol=2e-6)


def test_masked_examples_are_not_counted():
    labels, predictions = np.array([0, 1, 2, 2]), np.array([0, 1, 1, 0])
    confusion = confusion_matrix(labels, predictions, 3, mask=np.array([True, True, True, False]))
    np.testing.assert_array_equal(confusion, [[1, 0, 0], [0, 1, 0], [0, 1, 0]])


@pytest.mark.parametrize(
    ("confusion", "expected"),
    [
        (np.diag([3, 4, 5, 7, 11, 13, 17]), 1.0),
        (np.array([[0, 7], [9, 0]]), -1.0),
        (np.array([[5, 0], [6, 0]]), 0.0),
        (np.array([[5, 6], [0, 0]]), 0.0),
        (np.array([[11, 0], [0, 0]]), 0.0),
    ],
)
def test_the_correlation_of_right_wrong_and_constant_answers_is_exact(confusion, expected):
    assert matthews_correlation(confusion) == expected


def test_an_empty_set_has_no_accuracy():
    empty = np.zeros((3, 3), np.int32)
    assert np.isnan(accuracy(empty))
    assert np.isnan(matthews_correlation(empty))
