"""The last layer of a pupil that predicts features, solved for instead of descended to.

The features are a linear layer's outputs, so for a given embedding the best layer is ridge
regression's; and it is found in eval mode, with the statistics that the pupil answers with.
"""

from __future__ import annotations

import numpy as np
import torch
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn

from cry_model.frontend import FrontEnd
from train.clips import Clips
from train.distillation import Teacher

PENALTIES = np.logspace(0, 5, 11)  # on standardised embeddings


@torch.no_grad()
def solve_readout(model: nn.Module, front_end: FrontEnd, clips: Clips, teacher: Teacher) -> None:
    """Replaces the layer of a :class:`~cry_model.improved_ecapa_tdnn.ReusedClassifier`.

    Args:
        model: the fitted pupil, in eval mode.
        front_end: its own.
        clips: what it was fitted on; each of their pieces is one equation.
        teacher: whose features are the targets.
    """
    device = next(model.parameters()).device
    layer: nn.Linear = model.classifier.features
    seen: list[Tensor] = []
    hook = layer.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].cpu()))
    targets = []
    for i in range(len(clips.items)):
        waves = clips.pieces(front_end, i).waveforms.to(device)
        targets.append(teacher.teach(waves, torch.zeros(len(waves), 1, device=device)).cpu())
        model(front_end(waves))
    hook.remove()
    ridge = make_pipeline(StandardScaler(), RidgeCV(PENALTIES))
    ridge.fit(torch.cat(seen).double().numpy(), torch.cat(targets).double().numpy())
    scaler, solved = ridge[0], ridge[-1]
    weight = solved.coef_ / scaler.scale_
    layer.weight.copy_(torch.from_numpy(weight))
    layer.bias.copy_(torch.from_numpy(solved.intercept_ - weight @ scaler.mean_))
