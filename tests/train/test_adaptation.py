"""A linear layer that adapts a student to labels."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from cry_model import CheckpointConfig
from train.fit.presets import WIDE_FRONT_END
from train.studies.adaptation import (
    PENALTIES,
    Pieces,
    adapt,
    adapted,
    answer,
    fit_layer,
    without_layer,
)

LABELS = ("a", "b", "c")
CONFIG = CheckpointConfig(
    "improved-ecapa-tdnn",
    LABELS,
    WIDE_FRONT_END,
    settings={"channels": 16, "reused_classifier": {"members": 2, "hidden": 8}},
)


@pytest.fixture(scope="module")
def student():
    torch.manual_seed(0)
    return CONFIG.build().eval()


def pieces(head, count, labels=(), seed=0, per=2):
    """``count`` recordings of ``per`` pieces, those of a label moved its own way."""
    width = head.features.in_features
    rng = torch.Generator().manual_seed(seed)
    embeddings = torch.randn(count * per, width, generator=rng)
    targets = torch.zeros(count * per, len(LABELS))
    for i, label in enumerate(labels):
        rows = slice(i * per, (i + 1) * per)
        targets[rows, LABELS.index(label)] = 1
        embeddings[rows, LABELS.index(label)] += 3
    names = tuple(f"{seed}-{i}" for i in range(count))
    numbers = torch.arange(count).repeat_interleave(per)
    return Pieces(embeddings, targets, torch.full((count * per,), 1 / per), numbers, names, names)


def test_labels_are_learnt_and_the_other_class_stays(student):
    head = student.classifier
    labelled = pieces(head, 40, ["a", "b"] * 20)
    others = pieces(head, 40, seed=1)
    layer = adapt(head, labelled, others)
    assert layer.penalty in PENALTIES
    new = pieces(head, 40, ["a", "b"] * 20, seed=2)
    found = answer(head, layer, new)
    wanted = torch.tensor([0, 1] * 20)
    before = head.log_probabilities(new.embeddings).exp().view(40, 2, 3).mean(1)
    assert (found.argmax(1) == wanted).float().mean() > 0.9
    assert (before.argmax(1) == wanted).float().mean() < 0.7
    unlabelled = answer(head, layer, others)
    taught = head.log_probabilities(others.embeddings).exp().detach().view(40, 2, 3).mean(1)
    assert unlabelled[:, 2].mean() == pytest.approx(float(taught[:, 2].mean()), abs=0.1)


def test_the_layer_is_ridge_logistic_regression(student):
    """With an offset of nothing and no soft labels, scikit-learn finds the same probabilities."""

    class Even(torch.nn.Module):
        def log_probabilities(self, embeddings):
            return torch.full((len(embeddings), 3), 1 / 3).log()

    labelled = pieces(student.classifier, 30, ["a", "b", "c"] * 10, per=1)
    none = pieces(student.classifier, 0, seed=1)
    layer = fit_layer(Even(), labelled, none, 30.0)
    x = labelled.embeddings.numpy()
    x = (x - x.mean(0)) / x.std(0, ddof=1)
    other = LogisticRegression(C=1 / 60, max_iter=5000, tol=1e-8).fit(x, ["a", "b", "c"] * 10)
    found = answer(Even(), layer, labelled).numpy()
    np.testing.assert_allclose(found, other.predict_proba(x), atol=5e-3)


def test_an_adapted_student_answers_as_the_layer_says_and_can_be_undone(student):
    torch.manual_seed(1)
    head = student.classifier
    layer = adapt(head, pieces(head, 24, ["a", "b", "c"] * 8), pieces(head, 10, seed=1))
    model, config = adapted(student, CONFIG, layer)
    sound = torch.randn(3, 64, 200)
    seen = []
    hook = student.classifier.features.register_forward_pre_hook(lambda _, x: seen.append(x[0]))
    with torch.no_grad():
        student(sound)
        hook.remove()
        shift = seen[0] @ layer.weight.T + layer.bias
        near = head.ood_score(seen[0]) <= 1
        expected = (head.log_probabilities(seen[0]) + shift).softmax(-1)
        found = model(sound).softmax(-1)
    assert near.all()
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)
    undone, own = without_layer(model, config)
    assert own == CONFIG
    with torch.no_grad():
        torch.testing.assert_close(undone(sound), student(sound))
