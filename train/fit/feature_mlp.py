"""Fit a FeatureMLP on rows of features.

A fit takes seconds, so an interrupted one is not resumed.
"""

from __future__ import annotations

import copy

import torch
from scipy.optimize import minimize_scalar
from sklearn.model_selection import GroupKFold
from torch import Tensor, nn

from cry_model.networks.feature_mlp import FeatureMLP, distance, level_free
from train.data.corpus import Clips
from train.fit.devices import as_found
from train.fit.presets import Preset

JITTER = 0.1  # standard deviation of the input noise, on standardised inputs
SHRINKAGE = 0.02  # added to the unit variances before the covariance is inverted
WITHIN = 0.975  # quantile of held-out distances that is the out-of-distribution limit
CALIBRATION_FOLDS = 4  # one of them is held out to fit the temperature


@as_found()
def fit_table(model: FeatureMLP, clips: Clips, preset: Preset, seed: int) -> FeatureMLP:
    """Fit the ensemble, its temperature and its out-of-distribution limit on rows (26,)."""
    home = model.mean.device
    model.cpu()  # only hundreds of rows; the CPU also fixes the order of summation
    rows = level_free(torch.stack(clips.waveforms))
    groups = [item.group for item in clips.items]
    set_statistics(model, rows, groups)
    inputs = (rows - model.mean) / model.scale
    trial = copy.deepcopy(model)
    if len(set(groups)) >= CALIBRATION_FOLDS:
        learnt, held_out = next(GroupKFold(CALIBRATION_FOLDS).split(rows, groups=groups))
        fit_members(trial, inputs[learnt], clips.labels[learnt], preset, seed)
        calibrate(model, trial.log_probabilities(inputs[held_out]), clips.labels[held_out])
    return fit_members(model, inputs, clips.labels, preset, seed).to(home)


def fit_members(
    model: FeatureMLP, inputs: Tensor, labels: Tensor, preset: Preset, seed: int
) -> FeatureMLP:
    """Fit the members on standardised inputs (recordings, 25); return the model in eval mode."""
    torch.manual_seed(seed)
    targets = nn.functional.one_hot(labels, model.deep.weights[-1].shape[-1]).float()
    # class_balance 0: uniform over recordings; 1: uniform over classes.
    chances = torch.bincount(labels).double()[labels].pow(-preset.class_balance)
    steps = preset.epochs * max(1, len(inputs) // preset.batch)
    optimiser = torch.optim.AdamW(
        model.parameters(), lr=preset.learning_rate, weight_decay=preset.weight_decay
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, preset.learning_rate, total_steps=steps + 1
    )
    alpha = 0.0 if preset.augmentation is None else preset.augmentation.mixup
    members = len(model.deep.weights[0]) + len(model.kernel.weights[0])
    model.train()
    for _ in range(steps):
        size = (members, preset.batch)
        x, y = draw(inputs, targets, chances, size, alpha)
        logits = model.member_logits(x + JITTER * torch.randn_like(x))
        losses = nn.functional.cross_entropy(
            logits.flatten(0, 1),
            y.flatten(0, 1),
            label_smoothing=preset.label_smoothing,
            reduction="sum",
        )
        optimiser.zero_grad(set_to_none=True)
        (losses / preset.batch).backward()  # summed over members, which thus train independently
        optimiser.step()
        schedule.step()
    return model.eval()


@torch.no_grad()
def calibrate(model: FeatureMLP, log_probabilities: Tensor, labels: Tensor) -> None:
    """Set the temperature that minimises the log loss of held-out labels (recordings,)."""

    def loss(temperature: float) -> float:
        return nn.functional.cross_entropy(log_probabilities / temperature, labels).item()

    model.temperature.fill_(minimize_scalar(loss, bounds=(0.25, 4.0), method="bounded").x)


def draw(
    inputs: Tensor, targets: Tensor, chances: Tensor, size: tuple[int, int], alpha: float
) -> tuple[Tensor, Tensor]:
    """Draw (members, batch, ...) rows and targets, with mixup if ``alpha`` (Zhang et al. 2018)."""
    drawn = torch.multinomial(chances, 2 * size[0] * size[1], replacement=True).view(2, *size)
    if not alpha:
        return inputs[drawn[0]], targets[drawn[0]]
    share = torch.distributions.Beta(alpha, alpha).sample((*size, 1))
    return tuple(torch.lerp(x[drawn[1]], x[drawn[0]], share) for x in (inputs, targets))


def set_statistics(model: FeatureMLP, rows: Tensor, groups: list[str]) -> None:
    """Set mean, scale, precision and distance limit from level-free rows (recordings, 25)."""
    model.mean.copy_(rows.mean(0))
    model.scale.copy_(rows.std(0).clamp_min(1e-6))
    model.precision.copy_(precision((rows - model.mean) / model.scale))
    folds = min(5, len(set(groups)))
    if folds < 2:
        return  # one group cannot tell how far away held-out groups lie
    held_out = []
    for learnt, tested in GroupKFold(folds).split(rows, groups=groups):
        part = rows[torch.as_tensor(learnt)]
        mean, scale = part.mean(0), part.std(0).clamp_min(1e-6)
        others = (rows[torch.as_tensor(tested)] - mean) / scale
        held_out.append(distance(others, precision((part - mean) / scale)))
    model.limit.copy_(torch.cat(held_out).quantile(WITHIN))


def precision(standardised: Tensor) -> Tensor:
    """Return the inverse of the shrunk covariance, (25, 25), of standardised rows (n, 25)."""
    rows = standardised.double()
    covariance = rows.T @ rows / len(rows)
    return torch.linalg.inv(covariance + SHRINKAGE * torch.eye(rows.shape[1]).double()).float()
