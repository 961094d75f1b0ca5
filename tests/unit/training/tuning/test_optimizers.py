"""Each optimizer of the search space is the one that trains."""

from types import SimpleNamespace
from typing import Any, get_args

import pytest
import torch
from torch import nn

from training.config import Hyperparameters, Optimizer
from training.fitting.architectures import build
from training.fitting.module import ClassifierModule

pytestmark = pytest.mark.unit


def test_each_name_stands_for_its_optimizer() -> None:
    found = {}
    for name in get_args(Optimizer):
        scratch = Hyperparameters(recipe="scratch", image_size=8, optimizer=name)
        module: Any = ClassifierModule(build(scratch, 2), scratch, "single_label", 2)
        module._trainer = SimpleNamespace(estimated_stepping_batches=4)
        found[name] = type(module.configure_optimizers()["optimizer"])
    optim = torch.optim
    assert found == {"adamw": optim.AdamW, "sgd": optim.SGD, "rmsprop": optim.RMSprop}
    assert isinstance(module.net, nn.Module)
