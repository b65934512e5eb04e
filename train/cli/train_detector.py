"""``python -m train train-detector``."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

from cry_model.audio import Recording
from cry_model.frontend import FrontEnd
from train.cli.fit import require_settings
from train.cli.options import (
    Checkpoint,
    CorpusOptions,
    Settings,
    option,
    whole_number,
)
from train.data.cache import describe as describe_corpus
from train.data.cache import find_corpus
from train.data.corpus import DataError, Item
from train.data.datasets import challenge6, detector
from train.data.tagger import NAME as tagger_name
from train.data.tagger import Tagger, tag
from train.fit.detector import require_steps
from train.fit.devices import make_accelerator
from train.fit.examples import find_examples
from train.fit.presets import DETECTOR, DETECTOR_SETTINGS, apply_overrides
from train.fit.run import Experiment, Run
from train.scoring.detector import describe
from train.studies.detector import run_check

SYSTEM = "resnet18"


@dataclass(frozen=True, kw_only=True)
class TrainDetectorOptions(CorpusOptions):
    """Fit and measure the detector that tells a baby's cry from other sounds.

    It is fitted on Donate-a-Cry, ESC-10, speech, the packages that 'prepare other_sounds' fetches
    and synthetic sounds, with YAMNet (the folder yamnet of the data) as a teacher. It is measured
    on folds that it did not hear, on cries that are higher, shorter or under other sounds, and on
    whole kinds of sound that it was fitted without. What is already in --out is not fitted again.
    """

    seed: Annotated[
        int, option("of weights and random pieces", parser=whole_number(), metavar="SEED")
    ] = 0
    epochs: Annotated[int, option("of each fit", parser=whole_number(1))] = DETECTOR.epochs
    set: Settings = ()
    leave_out: Annotated[bool, option("fit it without each kind of sound in turn, too")] = True
    checkpoint: Checkpoint = True
    out: Annotated[Path, option("results and states go here")] = Path("runs")


def run(options: TrainDetectorOptions) -> None:
    """Fit, measure, and save the detector."""
    if options.data_root is None:
        raise DataError("Say where the recordings are: --data-root FOLDER or CRY_DATA.")
    preset, settings = apply_overrides(replace(DETECTOR, epochs=options.epochs), options.set)
    changed, settings = settings, {**DETECTOR_SETTINGS, **settings}
    require_settings(SYSTEM, preset, changed, settings)
    require_steps(preset)
    if not options.data_root.is_dir():
        raise DataError(f"There is no folder {options.data_root}; give another --data-root.")
    tagger = Tagger(options.data_root / tagger_name)
    data = find_corpus(detector.NAME, options.data_root, options.cache, preset.front_end)
    print(describe_corpus(data))
    experiment = Experiment(
        system=SYSTEM,
        data=data,
        protocol="baby",
        preset=preset,
        folds=detector.FOLDS,
        accelerator=make_accelerator("cpu", precision="bfloat16"),
        settings=settings,
    )
    experiment.check()
    one = Run(experiment, (options.seed,), options.out, checkpoint=options.checkpoint)
    front_end = FrontEnd(preset.front_end).eval()
    files = {item.recording: item for item in detector.read(options.data_root).items}

    def load(item: Item) -> Recording:
        return detector.load(files[item.recording])  # a prepared file does not say where they lie

    tags = tag(data.clips, front_end, load, tagger, options.cache)
    examples = find_examples(
        data.clips, tags, front_end, preset.augmentation, options.seed, options.cache
    )
    external = ()
    if (options.data_root / challenge6.CUTS).exists():
        external = challenge6.read_cuts(options.data_root).items
    found = run_check(one, examples, tagger, load, options.leave_out, external)
    print(describe(found), f"Results in {one.results_folder}.", sep="\n")
