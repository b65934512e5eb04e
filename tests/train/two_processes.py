"""Write the gradients of one global batch, with BatchNorm in eval mode: ``ROOT OUT``.

Runs alone or under a launcher with any number of processes; process 0 writes.
"""

import sys
from dataclasses import replace
from pathlib import Path

import torch

import cry_model
from cry_model import FrontEnd
from train.data.corpus import load_clips
from train.data.datasets import public
from train.fit.devices import make_accelerator
from train.fit.presets import BEST
from train.fit.trainer import DeviceDataset, EpochRng, step_loss

if __name__ == "__main__":
    root, out = sys.argv[1:]
    accelerator = make_accelerator("cpu", "float32")
    front_end = FrontEnd(BEST.front_end)
    torch.manual_seed(0)
    plain = cry_model.build_model("improved-ecapa-tdnn", 5, 64, channels=32)
    model = accelerator.prepare(plain).eval()
    dataset = DeviceDataset(
        load_clips(public.read_donateacry(Path(root)), front_end), 5, 1.0, accelerator.device
    )
    # 9 pieces, which two processes cannot share equally.
    preset, rng = replace(BEST, batch=9), EpochRng(0, 0, accelerator.device)
    loss = step_loss(model, front_end, dataset, None, preset, rng, accelerator)
    accelerator.backward(loss)
    if accelerator.is_main_process:
        gradients = {name: p.grad for name, p in plain.named_parameters()}
        torch.save({"processes": accelerator.num_processes, "gradients": gradients}, out)
