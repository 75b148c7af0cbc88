"""Transforms of batches of images: against plain loops, and what they draw from which random stream."""

import math

import numpy as np
import pytest
from sampling import host, put

import tinynet as tn
from tinynet.backend import array_module
from tinynet.data import DataLoader, transforms

N, SHAPE = 6, (6, 2, 5, 4)
IMAGES = np.random.default_rng(0).uniform(0.1, 1, SHAPE).astype("float32")
RANDOM = [
    transforms.RandomHorizontalFlip(),
    transforms.RandomCrop((4, 3), padding=1),
    transforms.RandomAffine(20, (0.1, 0.2), (0.8, 1.2)),
    transforms.RandomRotation(30),
]
PLAIN = [transforms.ToFloat(), transforms.Normalize([0.5, 0.25], 0.5), transforms.Normalize(0.0, [1.0, 2.0])]


def rng(seed=0):
    return np.random.default_rng(seed)


class Highest:
    """A generator whose every draw is the largest there is, or the share of it that is asked for."""

    def __init__(self, share=1.0):
        self.share = share

    def uniform(self, low, high, size):
        return np.full(size, low + (high - low) * self.share)


# --------------------------------------------------------------------------------------------------- all of them


@pytest.mark.parametrize("transform", RANDOM + PLAIN, ids=repr)
@pytest.mark.parametrize("shape", [SHAPE, (0, 2, 5, 4), (3, 5, 4), (2, 2, 1, 5, 4)])
def test_dtypes_layouts_and_shapes(transform, shape):
    x = rng().uniform(size=shape)
    if isinstance(transform, transforms.Normalize) and shape[1] != 2:
        return
    keywords = {"rng": rng()} if isinstance(transform, transforms.RandomTransform) else {}
    for dtype in ("float16", "float32", "float64"):
        a = x.astype(dtype)
        kept = a.copy()
        a.flags.writeable = False
        keywords = {"rng": rng()} if keywords else {}
        y = transform(a, **keywords)
        assert y.dtype == ("float32" if isinstance(transform, transforms.ToFloat) else dtype)
        assert y.shape == ((*shape[:-2], 4, 3) if isinstance(transform, transforms.RandomCrop) else shape)
        np.testing.assert_array_equal(a, kept)
        keywords = {"rng": rng()} if keywords else {}
        np.testing.assert_array_equal(transform(np.asfortranarray(a), **keywords), y)
        assert not np.shares_memory(y, a)


@pytest.mark.parametrize("transform", [*RANDOM, *PLAIN, transforms.Compose([*RANDOM, *PLAIN])], ids=repr)
def test_arrays_that_live_on_a_gpu(transform):
    """There they stay; on the way every number is that of the CPU."""
    keywords = [
        {"rng": rng()} if isinstance(transform, (transforms.RandomTransform, transforms.Compose)) else {} for _ in "ab"
    ]
    images = put(IMAGES)
    found = transform(images, **keywords[0])
    assert array_module(found) is array_module(images)
    np.testing.assert_allclose(host(found), transform(IMAGES, **keywords[1]), rtol=1e-6, atol=1e-7)
    np.testing.assert_array_equal(host(images), IMAGES)


@pytest.mark.parametrize("transform", RANDOM, ids=repr)
def test_what_is_drawn_depends_on_the_generator_only(transform):
    first = transform(IMAGES, rng(1))
    np.testing.assert_array_equal(transform(IMAGES, rng(1)), first)
    assert not np.array_equal(transform(IMAGES, rng(2)), first)
    with pytest.raises(ValueError, match=rf"{type(transform).__name__}: expected a batch of images .* got shape \(5, 4\)"):
        transform(IMAGES[0, 0])


@pytest.mark.parametrize("transform", RANDOM, ids=repr)
def test_without_a_generator_the_stream_augment_is_drawn_from(transform):
    tn.manual_seed(1)
    first, second = transform(IMAGES), transform(IMAGES)
    tn.manual_seed(1)
    tn.rand(10)  # from another stream
    np.testing.assert_array_equal(transform(IMAGES), first)
    np.testing.assert_array_equal(transform(IMAGES), second)
    assert set(tn.backend.random_state()["streams"]) == {"augment", "sample"}


def test_a_loader_gives_its_own_generator_and_can_be_resumed():
    augment = transforms.Compose([*RANDOM[::2], transforms.Normalize([0.5, 0.5], [0.5, 0.5])])
    images = rng().uniform(size=(30, 2, 5, 4)).astype("float32")

    def loader(prefetch=0):
        return DataLoader((images, np.arange(30)), 4, shuffle=True, transform=augment, seed=1, prefetch=prefetch)

    tn.manual_seed(0)
    before = tn.backend.random_state()
    batches = [(x.numpy(), y.tolist()) for x, y in loader()]
    assert tn.backend.random_state() == before
    for (x, y), (expected, ids) in zip(loader(prefetch=2), batches, strict=True):
        np.testing.assert_array_equal(x.numpy(), expected)
        assert y.tolist() == ids
    resumed = loader()
    resumed.load_state_dict({**resumed.state_dict(), "batch": 5})
    np.testing.assert_array_equal(next(iter(resumed))[0].numpy(), batches[5][0])
    assert batches[0][0].dtype == np.float32


def test_each_shows_its_arguments():
    assert repr(transforms.RandomCrop(28, 2)) == "RandomCrop(size=(28, 28), padding=(2, 2))"
    assert repr(transforms.RandomRotation(30)) == "RandomRotation(degrees=(-30, 30))"
    composed = transforms.Compose([transforms.ToFloat(), transforms.Normalize(0.5, 0.25)])
    assert repr(composed) == "Compose(transforms=[ToFloat(top=255.0), Normalize(mean=0.5, std=0.25)])"


# -------------------------------------------------------------------------------------------------------- one by one


def test_compose_hands_the_generator_to_those_that_take_it():
    def noise(x, rng):
        return x + rng.random()

    composed = transforms.Compose([lambda x: x * 2, noise, transforms.Compose([noise])])
    generator = rng()
    np.testing.assert_array_equal(composed(IMAGES, rng()), IMAGES * 2 + generator.random() + generator.random())
    assert transforms.Compose([])(IMAGES) is IMAGES
    with pytest.raises(TypeError, match="Compose: number 1 is no function of a batch, got 3"):
        transforms.Compose([noise, 3])


def test_to_float():
    levels = np.arange(256, dtype="uint8").reshape(1, 1, 16, 16)
    found = transforms.ToFloat()(levels)
    np.testing.assert_array_equal(found.ravel(), (np.arange(256) / 255).astype("float32"), strict=True)
    assert transforms.ToFloat(15)(np.array([[15, 0]], "int64")).tolist() == [[1, 0]]


def test_normalize():
    found = transforms.Normalize([0.5, 0.25], [2.0, 4.0])(IMAGES)
    np.testing.assert_allclose(found[:, 0], (IMAGES[:, 0] - 0.5) / 2, rtol=1e-6)
    np.testing.assert_allclose(found[:, 1], (IMAGES[:, 1] - 0.25) / 4, rtol=1e-6)
    np.testing.assert_allclose(transforms.Normalize(0.5, 2.0)(IMAGES), (IMAGES - 0.5) / 2, rtol=1e-6)
    assert transforms.Normalize(10, 10)(np.array([[30]], "uint8")).dtype == np.float32
    with pytest.raises(ValueError, match=r"Normalize: std is \[1.0, 0.0\], expected numbers above 0"):
        transforms.Normalize(0.0, [1.0, 0.0])
    with pytest.raises(ValueError, match=r"Normalize: mean has shape \(3,\), expected .* of shape \(6, 2, 5, 4\)"):
        transforms.Normalize([0.0] * 3, 1.0)(IMAGES)


def test_horizontal_flip():
    images = rng().uniform(size=(400, 1, 2, 3))
    flipped = transforms.RandomHorizontalFlip(0.3)(images, rng())
    changed = (flipped != images).any(axis=(1, 2, 3))
    assert changed.mean() == pytest.approx(0.3, abs=0.1)  # four standard deviations
    np.testing.assert_array_equal(flipped[changed], images[changed][..., ::-1])
    np.testing.assert_array_equal(transforms.RandomHorizontalFlip(0)(images, rng()), images)
    np.testing.assert_array_equal(transforms.RandomHorizontalFlip(1)(images, rng()), images[..., ::-1])
    assert transforms.RandomHorizontalFlip()(np.ones((1, 1, 1, 1), "uint8")).dtype == np.uint8
    with pytest.raises(ValueError, match=r"RandomHorizontalFlip: p is 1\.5, expected a probability"):
        transforms.RandomHorizontalFlip(1.5)


@pytest.mark.parametrize(("size", "padding"), [((3, 2), 0), (4, (1, 2)), (5, 3), (1, 0), ((7, 4), (1, 0))])
def test_crops_are_pieces_of_the_padded_image_from_everywhere(size, padding):
    height, width = np.broadcast_to(size, 2)
    rows, columns = np.broadcast_to(padding, 2)
    padded = np.pad(IMAGES[:1], ((0, 0), (0, 0), (rows, rows), (columns, columns)))
    places = [(i, j) for i in range(6 + 2 * rows - height) for j in range(5 + 2 * columns - width)]
    pieces = {padded[0, :, i : i + height, j : j + width].tobytes() for i, j in places}
    crops = transforms.RandomCrop(size, padding)(np.repeat(IMAGES[:1], 60 * len(places), axis=0), rng())
    assert crops.shape == (60 * len(places), 2, height, width)
    assert {c.tobytes() for c in crops} == pieces


def test_each_image_is_cropped_from_itself():
    images = np.arange(50)[:, None, None, None] + np.zeros((50, 2, 6, 6), int)
    np.testing.assert_array_equal(transforms.RandomCrop(3)(images, rng()), images[..., :3, :3])
    np.testing.assert_array_equal(transforms.RandomCrop((5, 4))(IMAGES), IMAGES)  # the whole image


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: transforms.RandomCrop(6)(IMAGES), r"size is \(6, 6\), more than images of \(5, 4\) with padding \(0, 0\)"),
        (lambda: transforms.RandomCrop(0), "size is 0, expected an integer of at least 1 or two"),
        (lambda: transforms.RandomCrop((3, 2.5)), r"size is \(3, 2.5\)"),
        (lambda: transforms.RandomCrop(3, -1), "padding is -1, expected an integer of at least 0"),
    ],
)
def test_crops_that_do_not_fit(call, says):
    with pytest.raises(ValueError, match=f"RandomCrop: {says}"):
        call()


# ----------------------------------------------------------------------------------------------- turned, moved, scaled


def reference(image, degrees, down, right, factor):
    """One channel of one image, pixel by pixel, each from the four around the point it comes from."""
    height, width = image.shape
    y, angle = np.zeros(image.shape), math.radians(degrees)
    for i, j in np.ndindex(image.shape):
        u, v = i - (height - 1) / 2 - down, j - (width - 1) / 2 - right
        a = (math.cos(angle) * u + math.sin(angle) * v) / factor + (height - 1) / 2
        b = (math.cos(angle) * v - math.sin(angle) * u) / factor + (width - 1) / 2
        for k in (math.floor(a), math.floor(a) + 1):
            for m in (math.floor(b), math.floor(b) + 1):
                if 0 <= k < height and 0 <= m < width:
                    y[i, j] += (1 - abs(a - k)) * (1 - abs(b - m)) * image[k, m]
    return y


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_affine_against_a_loop_over_pixels(share):
    transform = transforms.RandomAffine((-50, 70), (0.3, 0.4), (0.5, 1.7))
    found = transform(IMAGES.astype("float64"), Highest(share))
    values = [-50 + 120 * share, 5 * 0.3 * (2 * share - 1), 4 * 0.4 * (2 * share - 1), 0.5 + 1.2 * share]
    expected = [[reference(channel, *values) for channel in image] for image in IMAGES]
    np.testing.assert_allclose(found, expected, atol=2e-6)  # the points are computed in float32


def test_quarter_turns_go_counter_clockwise():
    square = rng().uniform(size=(3, 2, 5, 5))
    for turns in (-1, 0, 1, 2):
        found = transforms.RandomRotation((90 * turns, 90 * turns))(square)
        np.testing.assert_allclose(found, np.rot90(square, turns, axes=(2, 3)), atol=1e-6)


def test_moving_by_whole_pixels_and_out_of_sight():
    found = transforms.RandomAffine(0, (0.4, 0.25))(IMAGES, Highest())
    expected = np.zeros(SHAPE)
    expected[:, :, 2:, 1:] = IMAGES[:, :, :-2, :-1]
    np.testing.assert_allclose(found, expected, atol=1e-6)
    far = transforms.RandomAffine(0, (1.0, 1.0))(IMAGES, Highest())
    np.testing.assert_allclose(far, 0, atol=1e-6)


def test_each_image_has_an_angle_of_its_own():
    same = np.repeat(IMAGES[:1], 50, axis=0)
    found = transforms.RandomRotation(45)(same, rng())
    assert len({f.tobytes() for f in found}) == 50
    assert found.max() <= IMAGES[0].max() * (1 + 1e-6)  # an interpolation exceeds nothing
    assert found.min() >= 0


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda: transforms.RandomRotation(-5), ValueError, "RandomRotation: degrees is -5"),
        (lambda: transforms.RandomAffine((3, 1)), ValueError, r"RandomAffine: degrees is \(3, 1\)"),
        (lambda: transforms.RandomAffine(0, (0.1, 2)), ValueError, r"translate is \(0.1, 2\), expected two shares"),
        (lambda: transforms.RandomAffine(0, scale=(0, 1)), ValueError, r"scale is \(0, 1\), expected two numbers above 0"),
        (lambda: transforms.RandomAffine(0, scale=(2, 1)), ValueError, r"scale is \(2, 1\)"),
        (
            lambda: transforms.RandomAffine(5)(IMAGES.astype("uint8")),
            TypeError,
            "expected images of floats, got uint8",
        ),
    ],
)
def test_ranges_that_are_none(call, error, says):
    with pytest.raises(error, match=says):
        call()
