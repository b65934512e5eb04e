"""The About tab: which model answers, on what it was trained, and what it is not."""

from __future__ import annotations

from html import escape

import gradio as gr

from analysis.answer import PRIVACY
from cry_model.classifier import CryClassifier
from cry_model.complexity import measure
from cry_model.evaluation import dataset_title, words
from cry_model.registry import get_system

METHOD = """
### Method

The systems follow J. Zhou, Y. Li and H. Yu, *Infant Cry Emotion Recognition Using Improved
ECAPA-TDNN with Multi-scale Feature Fusion and Attention Enhancement*. The recording is brought to
8 kHz, limited to the band that every source has, levelled, freed of silence at its ends, and cut
into overlapping pieces of five seconds; the answer is the mean over the pieces.

### What it does not do

It does not diagnose, and nobody should act on its answer alone. Its labels are what parents
believed at the time; nobody can check them. It names a reason even for a sound that is not a cry.

### Privacy

"""


def build_about_tab(classifier: CryClassifier) -> None:
    """Lays out the tab inside the current page."""
    gr.Markdown(about(classifier) + METHOD + PRIVACY)


def about(classifier: CryClassifier) -> str:
    """The checkpoint in words, from its own config."""
    config = classifier.config
    cost = measure(classifier.model, config.front_end.num_bands)
    training = config.training
    text = [
        "### The model that answers",
        "",
        f"{get_system(config.system).title}, {cost.parameters / 1e6:.2f} million parameters, "
        f"{cost.multiply_adds / 1e9:.2f} billion multiply-adds for five seconds. "
        f"It tells apart: {', '.join(map(words, config.labels))}.",
        "",
        f"Fitted on {training.get('recordings', 'an unknown number of')} recordings of "
        f"{dataset_title(str(training.get('dataset', 'an unknown dataset')))}: "
        f"{training.get('licence', 'licence unknown')}.",
    ]
    if config.evaluation is not None:
        text += ["", "### How it was measured", "", " ".join(config.evaluation.trust()), ""]
        text += ["| reason | recordings | found |", "|---|---:|---:|"]
        text += [
            f"| {words(label)} | {config.evaluation.support[label]} | {100 * recall:.0f} % |"
            for label, recall in config.evaluation.recall.items()
        ]
    return escape("\n".join(text), quote=False)  # a checkpoint from the Hub is anyone's
