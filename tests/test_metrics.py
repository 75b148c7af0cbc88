"""Metrics: numbers for people."""

import numpy as np
import pytest

import tinynet as tn
from tinynet import metrics


@pytest.mark.parametrize("kind", [list, np.asarray, tn.tensor])
def test_accuracy_of_ids(kind):
    logits = [[2.0, 1.0, 0.0], [0.0, 3.0, 1.0], [5.0, 0.0, 1.0], [0.0, 1.0, 2.0]]
    found = metrics.accuracy(kind(logits), kind([0, 1, 2, 0]))
    assert found == 0.5
    assert type(found) is float


def test_accuracy_of_probabilities():
    assert metrics.accuracy([[0.1, 0.9], [0.8, 0.2]], [[0.0, 1.0], [0.4, 0.6]]) == 0.5


def test_accuracy_of_a_prediction_per_pixel():
    logits = np.zeros((2, 3, 4, 4), np.float32)
    logits[:, 1] = 1
    targets = np.ones((2, 4, 4), int)
    targets[0, 0] = 2
    assert metrics.accuracy(logits, targets) == 1 - 4 / 32
    assert metrics.accuracy(logits, np.eye(3)[targets].transpose(0, 3, 1, 2)) == 1 - 4 / 32


def test_accuracy_records_and_changes_nothing():
    logits = tn.Parameter([[1.0, 2.0]])
    assert metrics.accuracy(logits * 2, tn.tensor([1])) == 1.0
    assert logits.grad is None


def test_accuracy_of_no_samples_is_not_a_number():
    assert np.isnan(metrics.accuracy(np.zeros((0, 3)), np.zeros(0, int)))


@pytest.mark.parametrize(
    ("logits", "targets"),
    [
        ((4, 3), (4, 1)),
        ((4, 3), (5,)),
        ((4, 3), (4, 2)),
        ((4,), (4,)),
        ((), ()),
        ((4, 3, 2), (4,)),
        ((4, 1), (4,)),  # of one class everything would be a hit
        ((4, 1), (4, 1)),
    ],
)
def test_shapes_that_do_not_fit(logits, targets):
    with pytest.raises(ValueError, match=r"accuracy: logits have shape .* and targets"):
        metrics.accuracy(np.zeros(logits), np.zeros(targets, int))


def test_every_metric_is_tested_here():
    found = {n for n, f in vars(metrics).items() if callable(f) and f.__module__ == metrics.__name__ and n[0] != "_"}
    assert found == {"accuracy"}
