"""PyTorch's convolutions and their transposes, which take what ours take."""

import warnings

import torch.nn.functional as T


def silent(f):
    """It warns of a copy that it makes of the input, where "same" puts an odd zero behind."""

    def convolve(*arguments, **keywords):
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Using padding='same' with even kernel lengths", UserWarning)
            return f(*arguments, **keywords)

    return convolve


TORCH = {name: silent(getattr(T, name)) for name in ("conv1d", "conv2d", "conv3d")}
TORCH |= {name: getattr(T, name) for name in ("conv_transpose1d", "conv_transpose2d", "fold", "unfold")}
