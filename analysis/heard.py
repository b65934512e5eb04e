"""What a session keeps of its recording: every model's answer and a picture, and no sound."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from analysis.models import Model
from analysis.sound import Sound, picture
from cry_model import audio
from cry_model.prediction import Prediction


@dataclass(frozen=True, eq=False)
class Heard:
    """Enough to show any model's view of a recording that is no longer there.

    Attributes:
        file: where the upload was, to know it again.
        sound: what is drawn of it; None if it could not be read.
        answers: a model's name -> its answer, or the sentence on why it has none.
    """

    file: str
    sound: Sound | None
    answers: Mapping[str, Prediction | str]

    def beside(self, model: Model, models: Sequence[Model]) -> dict[str, Prediction]:
        """Who else answered with the same labels (:attr:`Model.subject`), and what."""
        own = self.answers[model.name]
        others = ((m.subject, self.answers[m.name]) for m in models if m.name != model.name)
        return {
            subject: answer
            for subject, answer in others
            if isinstance(answer, Prediction)
            and isinstance(own, Prediction)
            and answer.probabilities.keys() == own.probabilities.keys()
        }


def hear(models: Sequence[Model], file: str) -> Heard:
    """Asks every model about a file; one that cannot be used gives the same sentence for all."""
    try:
        recording = audio.load(file)
    except audio.AudioError as error:
        return Heard(file, None, {model.name: str(error) for model in models})
    answers = {model.name: _ask(model, recording) for model in models}
    return Heard(file, picture(recording), answers)


def _ask(model: Model, recording: audio.Recording) -> Prediction | str:
    try:
        return model.classifier.predict(recording)
    except audio.AudioError as error:  # nothing in the band that this one hears
        return str(error)
