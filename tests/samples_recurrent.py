"""The sample calls of the recurrences: one layer in one direction."""

from sampling import sample, x

GATES = {"rnn": 1, "gru": 3, "lstm": 4}


def recurrence(name, batch, steps, features, hidden, biases=2, **keywords):
    states = [x(batch, hidden, seed=i) for i in range(1, 3 if name == "lstm" else 2)]
    rows = GATES[name] * hidden
    weights = [x(rows, features, seed=3), x(rows, hidden, seed=4), *(x(rows, seed=5 + i) for i in range(biases))]
    sample(name, x(batch, steps, features), *states, *weights, **keywords)


for name in GATES:
    recurrence(name, 2, 3, 2, 2)
    recurrence(name, 2, 2, 1, 2, reverse=True)
    recurrence(name, 1, 1, 2, 1)
    recurrence(name, 2, 3, 2, 1, biases=0)
    recurrence(name, 2, 2, 1, 1, biases=1)
    recurrence(name, 2, 2, 1, 1, biases=0, reverse=True)
    recurrence(name, 0, 2, 2, 1)
sample("rnn", x(2, 2, 1), x(2, 1), x(1, 1), x(1, 1, seed=1), None, x(1))
sample("gru", x(2, 2, 1), x(2, 1), x(3, 1), x(3, 1, seed=1), None, x(3))
sample("lstm", x(2, 2, 1), x(2, 1), x(2, 1, seed=1), x(4, 1), x(4, 1, seed=1), None, x(4))
recurrence("rnn", 2, 3, 2, 2, nonlinearity="relu")
recurrence("rnn", 2, 2, 2, 2, nonlinearity="relu", reverse=True)
