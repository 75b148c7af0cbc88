"""Loaders that share out one order: every sample in one of them, as many batches in each."""

import json

import numpy as np
import pytest

from tinynet.data import ArrayDataset, DataLoader, Subset
from tinynet.data.dataset import Dataset

WORLDS = [1, 2, 3, 5]


class Squares(Dataset):
    """Without whole arrays, so asked for sample after sample."""

    def __len__(self):
        return 22

    def __getitem__(self, i):
        return float(i), i


def loaders(world, n=22, **keywords):
    keywords = {"batch_size": 4, "shuffle": True, "seed": 3} | keywords
    return [DataLoader((np.arange(n) / 2, np.arange(n)), shard=(rank, world), **keywords) for rank in range(world)]


def ids(loader):
    return [y.tolist() for _, y in loader]


def samples(batches):
    return [i for batch in batches for i in batch]


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("shuffle", [False, True])
def test_the_batches_of_all_shards_together_are_those_of_one_loader(world, shuffle):
    n = 8 * world  # it divides
    whole = DataLoader((np.arange(n) / 2, np.arange(n)), 3 * world, shuffle=shuffle, seed=3)
    shares = loaders(world, n, batch_size=3, shuffle=shuffle)
    for _ in range(2):  # and in the next epoch
        batches = ids(whole)
        found = [ids(share) for share in shares]
        assert [sorted(samples(parts)) for parts in zip(*found, strict=True)] == [sorted(batch) for batch in batches]
        assert [len(share) for share in shares] == [len(batches)] * world


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize("n", [0, 1, 3, 22, 24])
def test_what_does_not_divide(world, drop_last, n):
    shares = loaders(world, n, drop_last=drop_last)
    found = [ids(share) for share in shares]
    order = samples(ids(loaders(1, n)[0]))
    each = n // world if drop_last else -(-n // world)
    assert [share.samples for share in shares] == [each] * world
    assert [len(share) for share in shares] == [len(batches) for batches in found]
    whole = 4 * (each // 4) if drop_last else each  # samples in the batches of each
    assert [len(samples(batches)) for batches in found] == [whole] * world
    # Filled up from the order's beginning, over and over where it is short; or cut.
    going_on = (order * world)[: each * world]
    assert [samples(batches) for batches in found] == [going_on[rank::world][:whole] for rank in range(world)]
    assert drop_last or set(samples(map(samples, found))) == set(range(n))


@pytest.mark.parametrize("prefetch", [0, 2])
def test_however_the_samples_are_kept(prefetch):
    arrays = np.arange(44) / 2, np.arange(44)
    for dataset in (Squares(), Subset(ArrayDataset(*arrays), range(22)), (arrays[0][:22], arrays[1][:22])):
        found = [ids(DataLoader(dataset, 4, True, seed=3, prefetch=prefetch, shard=(rank, 3))) for rank in range(3)]
        assert found == [ids(share) for share in loaders(3)]


def test_a_transform_writes_into_no_sample_and_draws_other_numbers_in_each_shard():
    def noise(x, rng):
        x[...] = rng.random(len(x))
        return x

    for shuffle in (False, True):
        shares = loaders(2, transform=noise, shuffle=shuffle)
        drawn = [[x.tolist() for x, _ in share] for share in shares]
        assert len({tuple(batch) for batches in drawn for batch in batches}) == 6
        assert shares[0].dataset.arrays[0].tolist() == (np.arange(22) / 2).tolist()
        again = [[x.tolist() for x, _ in share] for share in loaders(2, transform=noise, shuffle=shuffle)]
        assert drawn == again


def test_the_place_of_one_is_the_place_of_all():
    shares = loaders(3)
    iterators = [iter(share) for share in shares]
    for _ in range(1):
        first = [next(iterator)[1].tolist() for iterator in iterators]
    states = [json.loads(json.dumps(share.state_dict())) for share in shares]
    assert states == [states[0]] * 3
    rest = [ids(iterator) for iterator in iterators]
    others = loaders(3, seed=9)
    for other in others:
        other.load_state_dict(states[0])
    assert [ids(other) for other in others] == rest
    assert [samples([a, *b]) for a, b in zip(first, rest, strict=True)] == [samples(ids(share)) for share in loaders(3)]
    with pytest.raises(ValueError, match=r"state\['samples'\] is 8, but this loader's is 11"):
        loaders(2)[0].load_state_dict(states[0])
    states[0]["batch"] = 0  # between two epochs there may be another number of processes
    loaders(2)[0].load_state_dict(states[0])


@pytest.mark.parametrize(
    ("shard", "error", "message"),
    [
        (1, TypeError, r"shard: expected a pair \(rank, world\).* got 1"),
        ((0, 1, 2), TypeError, r"shard: expected a pair .* got \(0, 1, 2\)"),
        ((0.5, 2), TypeError, r"shard\[0\], the rank: expected an integer of at least 0, got 0.5"),
        ((0, True), TypeError, r"shard\[1\], the number of shards: expected an integer"),
        ((0, 0), ValueError, r"shard\[1\], the number of shards: expected an integer of at least 1, got 0"),
        ((-1, 2), ValueError, r"shard\[0\], the rank: expected an integer of at least 0, got -1"),
        ((2, 2), ValueError, r"shard\[0\], the rank: expected an integer from 0 to 1 of 2 shards, got 2"),
    ],
)
def test_a_wrong_shard_is_named(shard, error, message):
    with pytest.raises(error, match=message):
        DataLoader(np.arange(4), shard=shard)
