"""The losses as layers, for code that keeps its loss as an object.

The one idea: as with activations, such a layer is the function with its keywords remembered; the inputs come with the call.
"""

from __future__ import annotations

from collections.abc import Callable

from .. import functions as F
from .activation import FunctionLayer, function_layer


def _loss(name: str, function: Callable, inputs: int = 2) -> type[FunctionLayer]:
    return function_layer(name, function, inputs, __name__)


CrossEntropyLoss = _loss("CrossEntropyLoss", F.cross_entropy)
NLLLoss = _loss("NLLLoss", F.nll_loss)
MSELoss = _loss("MSELoss", F.mse_loss)
L1Loss = _loss("L1Loss", F.l1_loss)
SmoothL1Loss = _loss("SmoothL1Loss", F.smooth_l1_loss)
HuberLoss = _loss("HuberLoss", F.huber_loss)
BCELoss = _loss("BCELoss", F.binary_cross_entropy)
BCEWithLogitsLoss = _loss("BCEWithLogitsLoss", F.binary_cross_entropy_with_logits)
KLDivLoss = _loss("KLDivLoss", F.kl_div)
HingeEmbeddingLoss = _loss("HingeEmbeddingLoss", F.hinge_embedding_loss)
MarginRankingLoss = _loss("MarginRankingLoss", F.margin_ranking_loss, 3)
CosineEmbeddingLoss = _loss("CosineEmbeddingLoss", F.cosine_embedding_loss, 3)
TripletMarginLoss = _loss("TripletMarginLoss", F.triplet_margin_loss, 3)
