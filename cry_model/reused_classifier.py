"""A pupil that answers with its teacher's classifier (SimKD: Chen et al. 2022)."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from cry_model.declared import Classes, declared
from cry_model.feature_mlp import INPUTS, FeatureMLP

EXTREME = 5.0  # standard deviations; no target lies further out


class ReusedClassifier(nn.Module):
    """Embedding (batch, width) -> logits (batch, classes), by way of 25 predicted features.

    A linear layer predicts the standardised inputs of a :class:`~cry_model.feature_mlp.FeatureMLP`;
    that one's networks, which a fit does not change, answer. In training mode it gives the
    predicted features (batch, 25) themselves, for they are what there is a target for.

    Args:
        width: of the embedding.
        num_classes: number of logits.
        adapted: whether a linear layer of the embedding, fitted to labels, is added to the
            logarithm of the classifier's probabilities.
        **settings: of the FeatureMLP.
    """

    @declared
    def __init__(self, width: int, num_classes: Classes, adapted: bool = False, **settings: Any):
        super().__init__()
        self.adaptation = nn.Linear(width, num_classes) if adapted else None
        self.features = nn.Linear(width, len(INPUTS))
        self.teacher = FeatureMLP(num_classes, **settings).requires_grad_(False)

    def train(self, mode: bool = True) -> ReusedClassifier:
        """As usual, but the teacher stays in eval mode: its dropout is over."""
        super().train(mode)
        self.teacher.eval()
        return self

    def forward(self, embedding: Tensor) -> Tensor:
        if self.training:
            return self.features(embedding)
        shift = None if self.adaptation is None else self.adaptation(embedding)
        return self.teacher.answer(self._predicted(embedding), shift)

    def log_probabilities(self, embedding: Tensor) -> Tensor:
        """(batch, width) -> (batch, classes): of the classifier alone, whatever the distance."""
        return self.teacher.log_probabilities(self._predicted(embedding))

    def remoteness(self, embedding: Tensor) -> Tensor:
        """(batch, width) -> (batch,): of the predicted features, see the teacher's."""
        return self.teacher.remoteness(self._predicted(embedding))

    def _predicted(self, embedding: Tensor) -> Tensor:
        return self.features(embedding).clamp(-EXTREME, EXTREME)
