"""Pooling and resampling as layers: functions with their keywords remembered."""

from __future__ import annotations

from .. import functions as F
from .activation import function_layer

MaxPool1d = function_layer("MaxPool1d", F.max_pool1d, module=__name__)
MaxPool2d = function_layer("MaxPool2d", F.max_pool2d, module=__name__)
AvgPool1d = function_layer("AvgPool1d", F.avg_pool1d, module=__name__)
AvgPool2d = function_layer("AvgPool2d", F.avg_pool2d, module=__name__)
AdaptiveAvgPool2d = function_layer("AdaptiveAvgPool2d", F.adaptive_avg_pool2d, module=__name__)
Upsample = function_layer("Upsample", F.interpolate, module=__name__)
PixelShuffle = function_layer("PixelShuffle", F.pixel_shuffle, module=__name__)
