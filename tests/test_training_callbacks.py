"""Model.fit: what callbacks and schedulers are told, and when."""

import numpy as np
import pytest
from fits import Listener, data, fit, net

import tinynet as tn
from tinynet import optim


def stop_at(epoch):
    def callback(model, history):
        if len(history.loss) == epoch:
            raise tn.StopTraining

    return callback


def test_callbacks_hear_of_batches_and_epochs():
    model, heard = net(), []
    listener = Listener(lambda m, h: heard.append((m, len(h.loss))), lambda m, loss: heard.append((m, loss.item())))
    history = fit(model, epochs=2, batch_size=100, callbacks=(listener, lambda m, h: heard.append((m, h))))
    assert len(heard) == 2 * (2 + 1 + 1)
    assert all(m is model for m, _ in heard)
    assert heard[2][1] == 1
    assert heard[3][1] is history
    assert np.mean([heard[0][1], heard[1][1]]) == pytest.approx(history.loss[0])
    calls = iter([print, print])
    fit(callbacks=(Listener(batch=lambda m, loss: None) for _ in calls), epochs=2)  # an iterator lasts for all epochs


def test_stop_training_after_an_epoch():
    heard = []
    history = fit(epochs=9, callbacks=[stop_at(2), lambda model, h: heard.append(len(h.loss))])
    assert [len(numbers) for numbers in history.values()] == [2] * 4
    assert heard == [1, 2]  # the others hear of the last epoch, too


def test_stop_training_after_a_batch():
    batches, epochs = [], []

    def stop(model, loss):
        batches.append(loss)
        if len(batches) == 5:
            raise tn.StopTraining

    history = fit(
        epochs=9, batch_size=50, callbacks=[Listener(batch=stop), lambda m, h: epochs.append(1)], validation=data(seed=1)
    )
    assert len(batches) == 5
    assert len(epochs) == len(history.loss) == len(history.val_loss) == 2
    assert history.loss[1] == pytest.approx(batches[4].item())


def test_another_error_in_a_callback_comes_out():
    def fail(model, history):
        raise KeyError("mine")

    for callback in (fail, Listener(batch=fail)):
        with pytest.raises(KeyError, match="mine"):
            fit(callbacks=[callback])


@pytest.mark.parametrize("metrics", ["accuracy", ["accuracy"], {"acc": "accuracy"}, tn.metrics.accuracy, 3, [None]])
def test_what_is_no_metric(metrics):
    model = net()
    before = model.state_dict()["0.weight"].numpy()
    for use in (lambda: fit(model, metrics=metrics), lambda: model.evaluate(data(), metrics=metrics)):
        with pytest.raises(TypeError, match=r"metrics: expected functions of \(outputs, targets\)"):
            use()
    np.testing.assert_array_equal(model[0].weight.numpy(), before)  # it is found before the first step


def test_one_callback_is_no_list():
    with pytest.raises(TypeError, match="callbacks: expected a list of them, got <function"):
        fit(callbacks=lambda model, history: None)


@pytest.mark.parametrize("callback", [Listener, Listener(), "stop", None])
def test_what_is_no_callback(callback):
    with pytest.raises(TypeError, match=r"callbacks: .* is no function and no object with on_batch_end or on_epoch_end"):
        fit(callbacks=[callback])


def test_scheduler_steps_after_each_epoch():
    model = net()
    optimizer = optim.SGD(model, lr=0.5)
    history = fit(model, optimizer=optimizer, epochs=5, scheduler=optim.schedulers.CosineAnnealingLR(optimizer, 4))
    assert history.lr == pytest.approx([0.5, 0.25 * (1 + 0.5**0.5), 0.25, 0.25 * (1 - 0.5**0.5), 0.0])


def test_scheduler_steps_after_each_batch_where_asked():
    model, seen = net(), []
    optimizer = optim.SGD(model, lr=1.0)
    scheduler, watch = (
        optim.schedulers.ExponentialLR(optimizer, 0.5),
        Listener(batch=lambda m, loss: seen.append(optimizer.lr)),
    )
    fit(
        model,
        optimizer=optimizer,
        scheduler=scheduler,
        step_scheduler="batch",
        epochs=2,
        batch_size=100,
        callbacks=[watch],
    )
    assert seen == [0.5, 0.25, 0.125, 0.0625]
    with pytest.raises(ValueError, match="fit: step_scheduler is 'step', expected 'epoch' or 'batch'"):
        fit(step_scheduler="step")


class Notes(optim.schedulers.Scheduler):
    """A scheduler that notes what it is told."""

    needs_metric = True

    def __init__(self, optimizer):
        self.seen = []
        super().__init__(optimizer)

    def factor(self, t):
        return 1.0

    def step(self, metric):
        self.seen.append(float(metric))


def test_a_scheduler_that_needs_a_metric_gets_the_loss():
    """That of the validation, else that of the training, or the batch's."""
    for validation, step_scheduler in ((data(seed=1), "epoch"), (None, "epoch"), (data(seed=1), "batch")):
        model = net()
        optimizer = optim.SGD(model, lr=0.1)
        scheduler, losses = Notes(optimizer), []
        watch = Listener(batch=lambda m, loss, losses=losses: losses.append(loss.item()))
        keywords = {"validation": validation, "step_scheduler": step_scheduler, "callbacks": [watch], "epochs": 3}
        history = fit(model, optimizer=optimizer, scheduler=scheduler, **keywords)
        if step_scheduler == "batch":
            assert scheduler.seen == losses
        else:
            assert scheduler.seen == (history.loss if validation is None else history.val_loss)
        assert scheduler.seen
