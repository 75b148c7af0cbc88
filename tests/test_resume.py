"""A training saved in the middle of an epoch, loaded into fresh objects and continued, equals the one that never stopped."""

import itertools

import numpy as np
import pytest
from sampling import host

import tinynet as tn
from tinynet import functions as F
from tinynet import layers as L
from tinynet import optim

RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((50, 6)).astype(np.float32), RNG.integers(0, 3, 50)


class Training:
    """Everything that has a state: dropout draws, Adam and the schedule count, the loader shuffles."""

    def __init__(self, width=8, rule=optim.Adam):
        self.model = tn.Sequential(L.Linear(6, width), L.ReLU(), L.Dropout(0.3), L.Linear(width, 3))
        self.optimizer = rule(self.model, lr=0.02)
        self.scheduler = optim.schedulers.CosineAnnealingLR(self.optimizer, T_max=20)
        self.loader = tn.data.DataLoader((X, Y), batch_size=8, shuffle=True, seed=3)
        self.batches = (batch for _ in iter(int, 1) for batch in self.loader)  # epoch after epoch; begins when asked

    def parts(self):
        return {"model": self.model, "optimizer": self.optimizer, "scheduler": self.scheduler, "loader": self.loader}

    def run(self, batches):
        losses = []
        for x, y in itertools.islice(self.batches, batches):
            loss = F.cross_entropy(self.model(x), y)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            self.scheduler.step()
            losses.append(loss.item())
        return losses

    def state(self):
        weights = {name: t.data.tobytes() for name, t in self.model.state_dict().items()}
        buffers = {name: a.tobytes() for name, a in self.optimizer.state_dict()["buffers"].items()}
        return weights, buffers, self.scheduler.state_dict(), self.loader.state_dict(), tn.backend.random_state()


@pytest.mark.parametrize("stop", [1, 7, 10])  # 7 batches are an epoch
def test_a_resumed_training_goes_on_bit_for_bit(tmp_path, stop):
    path = tmp_path / "training.safetensors"
    tn.manual_seed(1)
    whole = Training()
    whole.run(stop)
    tn.save_checkpoint(path, **whole.parts(), extra={"best": 0.5, "notes": ["a", None]})
    expected = whole.run(12), whole.state()

    tn.manual_seed(999)  # another start in every respect
    fresh = Training()
    assert tn.load_checkpoint(path, **fresh.parts()) == {"best": 0.5, "notes": ["a", None]}
    assert (fresh.run(12), fresh.state()) == expected


def test_parts_left_out_are_left_as_they_are(tmp_path):
    path = tmp_path / "a"
    training = Training()
    training.run(3)
    tn.save_checkpoint(path, **training.parts())
    other = Training()
    optimizer = other.optimizer.state_dict()
    assert tn.load_checkpoint(path, model=other.model) is None
    assert other.state()[0] == training.state()[0]
    assert other.optimizer.state_dict() == optimizer


@pytest.mark.parametrize(
    ("other", "message"),
    [(Training(width=9), "shape"), (Training(rule=optim.SGD), "hyper-parameters are")],
    ids=["another width", "another optimizer"],
)
def test_state_that_does_not_fit_is_refused_and_nothing_changes(tmp_path, other, message):
    path = tmp_path / "training.safetensors"
    training = Training()
    training.run(3)
    tn.save_checkpoint(path, **training.parts())
    other.run(2)
    before = other.state()
    with pytest.raises(ValueError, match=message) as caught:
        tn.load_checkpoint(path, **other.parts())
    assert "training.safetensors" in str(caught.value)
    assert other.state() == before


@pytest.mark.parametrize("rule", [optim.SGD, optim.Adam, optim.LBFGS])
def test_sizes_that_the_first_batch_tells_come_from_the_file(tmp_path, rule):
    """A program that is started anew and resumes has shown its model no batch yet."""

    def parts():
        model = tn.Sequential(L.Linear(None, 8), L.Tanh(), L.Linear(None, 3))
        return {"model": model, "optimizer": rule(model, lr=0.02)}

    def run(model, optimizer):
        model.fit((X, Y), optimizer=optimizer, epochs=2, progress=False)
        return [p.numpy().tobytes() for p in model.parameters()]

    whole, fresh = parts(), parts()
    run(**whole)
    tn.save_checkpoint(tmp_path / "a", **whole)
    expected = run(**whole)
    tn.load_checkpoint(tmp_path / "a", **fresh)
    assert run(**fresh) == expected
    model = tn.Sequential(L.Linear(None, 9), L.Tanh(), L.Linear(None, 3))
    with pytest.raises(ValueError, match="shape"):
        tn.load_checkpoint(tmp_path / "a", model=model, optimizer=rule(model))
    assert model[0].in_features is None


def test_numbers_for_names(tmp_path):
    """In a file they are text."""
    w = tn.Parameter([1.0, 2.0])
    model = tn.Layer()
    model.w = w
    optimizer = optim.Adam(enumerate([w]))
    w.grad = [1.0, 1.0]
    optimizer.step()
    tn.save_checkpoint(tmp_path / "a", model=model, optimizer=optimizer)
    fresh = optim.Adam(enumerate([w]))
    tn.load_checkpoint(tmp_path / "a", model=model, optimizer=fresh)
    np.testing.assert_array_equal(host(fresh.state(w)["velocity"]), host(optimizer.state(w)["velocity"]))


def test_a_refused_checkpoint_leaves_the_epoch_that_has_begun_alone(tmp_path):
    path = tmp_path / "a"
    training = Training()
    training.run(3)
    tn.save_checkpoint(path, **training.parts())
    other, plain = Training(width=9), Training(width=9)
    for one in (other, plain):
        one.run(2)
    with pytest.raises(ValueError, match="shape"):
        tn.load_checkpoint(path, **other.parts())
    other.run(2)
    plain.run(2)
    assert other.loader.state_dict() == plain.loader.state_dict()  # that iterator is counted as before
    smaller = Training()
    smaller.loader.batch_size = 4
    before = smaller.state()
    with pytest.raises(ValueError, match="batch_size"):
        tn.load_checkpoint(path, **smaller.parts())
    assert smaller.state() == before


def test_no_model_to_load_into(tmp_path):
    training, other = Training(), Training()
    training.run(3)
    tn.save_checkpoint(tmp_path / "a", **training.parts())
    with pytest.raises(AttributeError):
        tn.load_checkpoint(tmp_path / "a", **{**other.parts(), "model": None})
    assert not other.optimizer.state_dict()["steps"]


def test_what_was_not_saved_cannot_be_loaded(tmp_path):
    training = Training()
    tn.save_checkpoint(tmp_path / "a", model=training.model)
    with pytest.raises(ValueError, match="no state of the optimizer"):
        tn.load_checkpoint(tmp_path / "a", **training.parts())
    training.model.save(tmp_path / "weights")
    with pytest.raises(ValueError, match="no checkpoint"):
        tn.load_checkpoint(tmp_path / "weights", model=training.model)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        tn.load_checkpoint(tmp_path / "nowhere", model=training.model)


def test_a_changed_number_in_the_header_is_damage(tmp_path):
    path = tmp_path / "a"
    training = Training()
    training.run(1)
    tn.save_checkpoint(path, **training.parts())
    content = path.read_bytes()
    assert content.count(b'\\"t\\": 1') == 1
    path.write_bytes(content.replace(b'\\"t\\": 1', b'\\"t\\": 7'))
    before = training.state()
    with pytest.raises(ValueError, match="damaged"):
        tn.load_checkpoint(path, **training.parts())
    assert training.state() == before


def test_extra_must_be_json(tmp_path):
    with pytest.raises(TypeError, match="extra"):
        tn.save_checkpoint(tmp_path / "a", model=Training().model, extra=object())
    assert not list(tmp_path.iterdir())
