"""The bowl benchmark: its numbers beside what theory says of them, and the rules with many rates beside the optimizers."""

import numpy as np
import pytest

from benchmarks import bowl

pytestmark = pytest.mark.cpu  # a benchmark


def test_gradient_descent_needs_what_theory_says():
    (_, rate, _, steps), *_ = bowl.theory()
    assert abs(int(bowl.walk("SGD", {}, 0, np.array([rate]))[0]) - steps) < 5
    assert bowl.confirmed("SGD", {"lr": 2 / bowl.K * 1.01}, 0, 500)[-1] > 1000  # beyond 2 / L it goes away


@pytest.mark.parametrize("degrees", [0, 30])
def test_the_order_of_the_classical_methods(degrees):
    steps = {
        title: bowl.best(name, options, degrees)[1] for title, name, options in bowl.ROWS if name in ("SGD", "Momentum")
    }
    assert steps["heavy ball, beta 4/9, the best"] == steps["`Momentum`, beta 4/9"] < steps["Nesterov, beta 2/3, theory's"]
    assert steps["Nesterov, beta 2/3, theory's"] < steps["gradient descent (`SGD`)"] < steps["`Momentum`, beta 0.9"] < 172


@pytest.mark.parametrize("name", ["Adagrad", "Adam", "Adamax", "NAdam", "RAdam"])
def test_rules_with_many_rates_take_the_steps_of_the_optimizer(name):
    rates = np.logspace(-1, 0.5, 6)
    steps = bowl.walk(name, {}, 30, rates)
    assert steps.min() < 1000
    for rate, count in zip(rates, steps, strict=True):
        if count <= bowl.MOST:
            losses = bowl.confirmed(name, {"lr": float(rate)}, 30, int(count))
            assert losses[-2] > bowl.TARGET >= losses[-1]


def test_quasi_newton_is_there_after_a_few_looks():
    assert bowl.lbfgs_looks(0) <= 10
