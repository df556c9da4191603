"""A model that writes texts gets its targets as its decoder reads them: the same logits, and no second loss."""

from __future__ import annotations

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch.utils._python_dispatch import TorchDispatchMode
from writing_models import END, PAD, VOCABULARY, writing_model

from tuneloop_trainer.dataset.shards import IGNORED
from tuneloop_trainer.models.targets import shift_targets

KINDS = ("t5", "bart", "mbart", "marian", "pegasus")
IDS = torch.randint(4, VOCABULARY, (3, 7), generator=torch.Generator().manual_seed(0))
LABELS = torch.tensor([[5, 6, 7, END], [8, 9, END, IGNORED], [10, END, IGNORED, IGNORED]])
INPUTS = {"input_ids": IDS, "attention_mask": torch.ones_like(IDS), "labels": LABELS}


class Losses(TorchDispatchMode):
    """Counts how often log probabilities are made of logits."""

    count = 0

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        self.count += "log_softmax" in str(function)
        return function(*arguments, **keywords or {})


@pytest.mark.parametrize("kind", KINDS)
def test_the_logits_are_those_of_a_model_that_gets_labels_and_it_makes_no_loss(kind):
    model = writing_model(kind)
    expected = model(**INPUTS)
    shift_targets(model)
    with Losses() as losses:
        found = model(**INPUTS)
    assert torch.equal(found.logits, expected.logits)
    assert (found.loss, losses.count) == (None, 0)
    assert found.past_key_values is None


def test_so_does_one_with_an_adapter():
    model = get_peft_model(writing_model("t5"), LoraConfig(task_type="SEQ_2_SEQ_LM", target_modules=["q"]))
    expected = model(**INPUTS)
    shift_targets(model)
    found = model(**INPUTS)
    assert expected.loss is not None
    assert found.loss is None
    assert torch.equal(found.logits, expected.logits)


def test_a_pair_of_two_models_keeps_its_labels_of_which_it_makes_a_mask():
    model = writing_model("bert2bert")
    expected = model(**INPUTS)
    shift_targets(model)
    assert torch.equal(model(**INPUTS).logits, expected.logits)


def test_a_call_without_targets_stays_as_it_is():
    model = writing_model("bart")
    shift_targets(model)
    given = {"input_ids": IDS, "decoder_input_ids": torch.full((3, 1), PAD)}
    assert model(**given).past_key_values is not None
