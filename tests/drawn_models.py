"""Models of many shapes, for the tests of Model.plot."""

import numpy as np

import tinynet as tn
from tinynet import functions as F
from tinynet import layers as L


def mlp():
    return tn.Sequential(L.Flatten(), L.Linear(None, 32), L.ReLU(), L.Linear(32, 16), L.Dropout(0.1), L.Linear(16, 10))


class Residual(tn.Layer):
    def __init__(self, width=8):
        self.body = tn.Sequential(L.Linear(width, width), L.ReLU(), L.Linear(width, width))
        self.scale = tn.Parameter(np.ones(width, "float32"))

    def forward(self, x):
        return F.relu(x + self.scale * self.body(x))


class ResNet(tn.Model):
    def __init__(self, count=3):
        self.first, self.last = L.Linear(784, 8), L.Linear(8, 10)
        self.blocks = [Residual() for _ in range(count)]

    def forward(self, x):
        x = self.first(x.reshape(len(x), -1))
        for block in self.blocks:
            x = block(x)
        return self.last(x)


class Attention(tn.Layer):
    def __init__(self, width):
        self.qkv, self.out = L.Linear(width, 3 * width), L.Linear(width, width)

    def forward(self, x):
        q, k, v = F.split(self.qkv(x), 3, axis=-1)
        return self.out(F.softmax(q @ k.swapaxes(-1, -2) / 8.0) @ v)


class Two(tn.Model):
    """Ids and images in, two numbers out."""

    def __init__(self):
        self.table, self.text = tn.Parameter(np.ones((100, 16), "float32")), Attention(16)
        self.image = tn.Sequential(L.Flatten(), L.Linear(784, 32), L.ReLU(), L.Linear(32, 16))
        self.head, self.aux = L.Linear(32, 5), L.Linear(16, 1)

    def forward(self, ids, image):
        text, image = self.text(self.table[ids]).mean(axis=1), self.image(image)
        return {"head": self.head(F.concatenate([text, image], axis=1)), "aux": [self.aux(image)]}


class Dense(tn.Model):
    """Every layer sees all before it."""

    def __init__(self, count=5):
        self.steps = [L.Linear(4 * (i + 1), 4) for i in range(count)]

    def forward(self, x):
        xs = [x]
        for step in self.steps:
            xs.append(step(F.concatenate(xs, axis=1) if len(xs) > 1 else x))
        return F.concatenate(xs, axis=1)


class Cell(tn.Layer):
    def __init__(self, inputs, width):
        self.x, self.h = L.Linear(inputs, 3 * width), L.Linear(width, 3 * width)

    def forward(self, x, h):
        (r, z, n), (a, b, c) = (F.split(y, 3, axis=1) for y in (self.x(x), self.h(h)))
        r, z = F.sigmoid(r + a), F.sigmoid(z + b)
        return (1 - z) * F.tanh(n + r * c) + z * h


class Recurrent(tn.Model):
    """One layer, again and again."""

    def __init__(self):
        self.cell, self.out = Cell(3, 4), L.Linear(4, 2)
        self.start = tn.Parameter(np.zeros(4, "float32"))

    def forward(self, x):
        h = F.broadcast_to(self.start, (len(x), 4))
        for t in range(x.shape[1]):
            h = self.cell(x[:, t], h)
        return self.out(h)


class Odd(tn.Model):
    """An input that is not used, layers that return theirs, a layer used twice, a constant, nothing but a parameter."""

    def __init__(self):
        self.same, self.shared, self.free = L.Identity(), L.Linear(4, 4), tn.Parameter(np.ones(4, "float32"))
        self.nested = tn.Sequential(tn.Sequential(L.Identity(), tn.Sequential(L.Dropout())))

    def forward(self, x, unused):
        y = self.nested(self.same(x))
        norm = F.sqrt((self.free**2).sum())
        return self.shared(self.shared(y)) + self.free / norm + F.one_hot([1], 4), y, x


class Shortcut(tn.Layer):
    """The residual block of an image network: its shortcut is a convolution where the size changes."""

    def __init__(self, channels, out, stride=1):
        self.conv1, self.bn1 = L.Conv2d(channels, out, 3, stride=stride, padding=1, bias=False), L.BatchNorm2d(out)
        self.conv2, self.bn2 = L.Conv2d(out, out, 3, padding=1, bias=False), L.BatchNorm2d(out)
        changed = tn.Sequential(L.Conv2d(channels, out, 1, stride=stride, bias=False), L.BatchNorm2d(out))
        self.downsample = changed if stride > 1 else L.Identity()

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + self.downsample(x))


def images():
    """Convolution, pooling, two of these blocks, a dense layer."""
    first = [L.Conv2d(3, 4, 5, padding=2), L.BatchNorm2d(4), L.ReLU(), L.MaxPool2d(2)]
    blocks = [Shortcut(4, 4), Shortcut(4, 8, stride=2)]
    return tn.Sequential(*first, *blocks, L.AdaptiveAvgPool2d(1), L.Flatten(), L.Linear(8, 10))


class Encoder(tn.Layer):
    def __init__(self, width=8):
        self.norms = [L.LayerNorm(width), L.LayerNorm(width)]
        self.attention, self.dropout = L.MultiHeadAttention(width, 2), L.Dropout(0.1)
        self.mlp = tn.Sequential(L.Linear(width, 16), L.GELU(), L.Linear(16, width))

    def forward(self, x):
        y = self.norms[0](x)
        x = x + self.dropout(self.attention(y, y, y))
        return x + self.dropout(self.mlp(self.norms[1](x)))


class Language(tn.Model):
    """An embedding, a recurrence, transformer blocks."""

    def __init__(self):
        self.embed, self.rnn = L.Embedding(20, 8), L.LSTM(8, 4, bidirectional=True)
        self.blocks, self.head = [Encoder(), Encoder()], L.Linear(8, 20)

    def forward(self, ids):
        x, (h, _) = self.rnn(self.embed(ids))
        for block in self.blocks:
            x = block(x)
        return self.head(x), h


class Kept(tn.Model):
    """A layer that sees what was not passed to it, and one that keeps what it does not return."""

    def __init__(self):
        self.inner, self.seen = Keeps(), None

    def forward(self, x):
        self.inner.outside = x * 2
        y = self.inner(x)
        return y + self.inner.kept


class Keeps(tn.Layer):
    def __init__(self):
        self.step = L.Linear(3, 3)

    def forward(self, x):
        self.kept = F.tanh(x)
        return self.step(x) * self.outside


MODELS = {
    "mlp": (mlp, (28, 28), {}),
    "resnet": (ResNet, (1, 28, 28), {}),
    "resnet, closed": (ResNet, (784,), {"depth": 0}),
    "resnet, one level": (ResNet, (784,), {"depth": 1}),
    "resnet, all ops": (ResNet, (784,), {"depth": 9}),
    "two": (Two, [(12,), (1, 28, 28)], {"dtype": ["int64", "float32"]}),
    "dense": (Dense, (4,), {}),
    "recurrent": (Recurrent, (3, 3), {}),
    "recurrent, closed": (Recurrent, (12, 3), {"depth": 1}),
    "images": (images, (3, 16, 16), {}),
    "images, all ops": (images, (3, 16, 16), {"depth": 9}),
    "language": (Language, 5, {"dtype": "int64"}),
    "language, all ops": (Language, 5, {"dtype": "int64", "depth": 9}),
    "odd": (Odd, [(4,), (2,)], {}),
    "kept": (Kept, (3,), {}),
    "empty": (tn.Sequential, (3,), {}),
}
