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
    assert found == {"accuracy", "top_k_accuracy", "confusion_matrix", "mean_squared_error", "r2_score"}


# ------------------------------------------------------------------------------------------------------------ top k

LOGITS = [[2.0, 1.0, 0.0, -1.0], [0.0, 3.0, 1.0, 2.0], [5.0, 0.0, 1.0, 2.0]]


@pytest.mark.parametrize("kind", [list, np.asarray, tn.tensor])
@pytest.mark.parametrize(("k", "expected"), [(1, 1 / 3), (2, 1 / 3), (3, 2 / 3), (4, 1.0)])
def test_top_k_accuracy(kind, k, expected):
    found = metrics.top_k_accuracy(kind(LOGITS), kind([0, 2, 1]), k=k)
    assert found == pytest.approx(expected)
    assert type(found) is float


def test_top_1_is_the_accuracy_with_ties_and_nan_too():
    rng = np.random.default_rng(0)
    logits, targets = rng.integers(0, 3, (200, 4)).astype(float), rng.integers(0, 4, 200)
    logits[:20, 2] = np.nan
    assert metrics.top_k_accuracy(logits, targets, 1) == metrics.accuracy(logits, targets)
    assert metrics.top_k_accuracy([[1.0, 1.0, 1.0]] * 3, [0, 1, 2], k=2) == pytest.approx(2 / 3)  # the first of equal ones


def test_top_k_accuracy_of_pixels_of_probabilities_and_of_nothing():
    logits = np.zeros((2, 3, 4, 4))
    logits[:, 1], logits[:, 2] = 2, 1
    targets = np.full((2, 4, 4), 2)
    targets[0, 0] = 0
    assert metrics.top_k_accuracy(logits, targets, 2) == 1 - 4 / 32
    assert metrics.top_k_accuracy(logits, np.eye(3)[targets].transpose(0, 3, 1, 2), 2) == 1 - 4 / 32
    assert np.isnan(metrics.top_k_accuracy(np.zeros((0, 6)), np.zeros(0, int)))


@pytest.mark.parametrize("k", [0, 5, -1, 1.0])
def test_k_out_of_range(k):
    with pytest.raises(ValueError, match=rf"top_k_accuracy: k is {k}, expected an integer from 1 to 4"):
        metrics.top_k_accuracy(LOGITS, [0, 1, 2], k)
    with pytest.raises(ValueError, match=r"top_k_accuracy: logits have shape \(3, 4\) and targets \(2,\)"):
        metrics.top_k_accuracy(LOGITS, [0, 1], 1)


# ------------------------------------------------------------------------------------------------- confusion matrix


@pytest.mark.parametrize("kind", [list, np.asarray, tn.tensor])
def test_confusion_matrix(kind):
    targets = [2, 0, 2, 2, 0]
    expected = [[1, 0, 1], [0, 0, 0], [1, 1, 1]]
    found = metrics.confusion_matrix(kind([0, 0, 1, 2, 2]), kind(targets))
    np.testing.assert_array_equal(found, np.array(expected, np.int64), strict=True)
    logits = np.eye(3, dtype="float32")[[0, 0, 1, 2, 2]]
    np.testing.assert_array_equal(metrics.confusion_matrix(kind(logits.tolist()), kind(targets)), expected)
    wider = metrics.confusion_matrix([0, 0, 1, 2, 2], targets, num_classes=5)
    assert wider.shape == (5, 5)
    assert wider[:3, :3].tolist() == expected
    assert wider.sum() == 5


def test_confusion_matrix_of_pixels_bytes_and_nothing():
    logits = np.zeros((2, 3, 4, 4), np.float32)
    logits[:, 1] = 1
    targets = np.ones((2, 4, 4), "uint8")
    targets[0, 0] = 2
    expected = [[0, 0, 0], [0, 28, 0], [0, 4, 0]]
    assert metrics.confusion_matrix(logits, targets).tolist() == expected
    assert metrics.confusion_matrix(np.ones((2, 4, 4), "uint8"), targets, 3).tolist() == expected
    assert metrics.confusion_matrix(np.full(2, 200, "uint8"), np.full(2, 200, "uint8"))[200, 200] == 2
    assert metrics.confusion_matrix(np.zeros((0, 2)), np.zeros(0, int)).tolist() == [[0, 0], [0, 0]]
    assert metrics.confusion_matrix(np.zeros(0, int), np.zeros(0, int)).shape == (0, 0)


@pytest.mark.parametrize(
    ("predicted", "targets", "num_classes", "error", "says"),
    [
        ([0, 1], [0, 1, 1], None, ValueError, r"logits have shape \(2,\) and targets \(3,\)"),
        (np.zeros((2, 3)), [0, 1, 1], None, ValueError, r"logits have shape \(2, 3\) and targets \(3,\)"),
        ([0, 1], [0, 2], 2, IndexError, r"target 2 at position \(1,\) is outside \[0, 2\)"),
        ([0, -1], [0, 1], None, IndexError, r"prediction -1 at position \(1,\)"),
        (np.eye(3), [0, 1, 2], 2, IndexError, r"prediction 2 at position \(2,\) is outside \[0, 2\)"),
        ([0.0, 1.0], [0, 1], None, TypeError, "each prediction must be an integer class id, got float32"),
        ([0, 1], [0.0, 1.0], None, TypeError, "each target must be an integer class id, got float32"),
    ],
)
def test_what_is_no_confusion(predicted, targets, num_classes, error, says):
    with pytest.raises(error, match=f"confusion_matrix: {says}"):
        metrics.confusion_matrix(predicted, targets, num_classes)


# ------------------------------------------------------------------------------------------------------- regression


@pytest.mark.parametrize("kind", [list, np.asarray, tn.tensor])
def test_mean_squared_error(kind):
    found = metrics.mean_squared_error(kind([[1.0, 2.0], [0.0, 0.0]]), kind([[1.0, 4.0], [0.0, 2.0]]))
    assert found == 2.0
    assert type(found) is float
    assert np.isnan(metrics.mean_squared_error(np.zeros((0, 2)), np.zeros((0, 2))))
    assert metrics.mean_squared_error(np.full(3, 300, "float16"), np.zeros(3)) == 90000  # more than a float16 holds


@pytest.mark.parametrize("kind", [list, np.asarray, tn.tensor])
def test_r2_score(kind):
    targets = [3.0, -0.5, 2.0, 7.0]
    found = metrics.r2_score(kind([2.5, 0.0, 2.0, 8.0]), kind(targets))
    assert found == pytest.approx(1 - 1.5 / 29.1875)
    assert type(found) is float
    assert metrics.r2_score(kind(targets), kind(targets)) == 1
    assert metrics.r2_score(kind([2.875] * 4), kind(targets)) == pytest.approx(0)
    assert metrics.r2_score(kind([-3.0, 0.5, -2.0, -7.0]), kind(targets)) < 0


def test_r2_score_of_several_outputs_is_the_mean_of_theirs():
    outputs, targets = np.random.default_rng(0).standard_normal((2, 10, 3))
    scores = [metrics.r2_score(outputs[:, i], targets[:, i]) for i in range(3)]
    assert metrics.r2_score(outputs, targets) == pytest.approx(np.mean(scores))
    assert metrics.r2_score(outputs[:, :1], targets[:, :1]) == pytest.approx(scores[0])


def test_r2_score_without_spread_or_samples():
    assert metrics.r2_score([1.0, 1.0], [1.0, 1.0]) == 1
    assert metrics.r2_score([1.0, 2.0], [1.0, 1.0]) == 0
    assert metrics.r2_score([[1.0, 1.0], [1.0, 2.0]], [[1.0, 1.0], [1.0, 2.0]]) == 1
    assert np.isnan(metrics.r2_score([1.0], [1.0]))
    assert np.isnan(metrics.r2_score(np.zeros((0, 2)), np.zeros((0, 2))))


@pytest.mark.parametrize("name", ["mean_squared_error", "r2_score"])
def test_outputs_of_another_shape(name):
    with pytest.raises(ValueError, match=rf"{name}: outputs have shape \(4,\) and targets \(4, 1\); expected the same"):
        getattr(metrics, name)(np.zeros(4), np.zeros((4, 1)))


def test_r2_score_of_single_numbers():
    with pytest.raises(ValueError, match="r2_score: outputs and targets are single numbers"):
        metrics.r2_score(1.0, 1.0)
