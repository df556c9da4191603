"""The vector of a text, and its projections: the same whatever stands beside it in a pass, for every architecture that has a state of each token."""

from __future__ import annotations

import weakref
from dataclasses import replace
from unittest import mock

import pytest
import torch
import transformers
from adapter_artifacts import adapter_artifact, base_artifact
from artifacts_of_architectures import save_artifact
from served_adapters import loaded, places
from served_adapters import served as beside
from server_process import configuration, word_salads
from tiny_architectures import architectures, inputs, tiny_config

from tuneloop_api.features.text_vectors import LastStates, noting
from tuneloop_server.runtimes.projecting import Directions
from tuneloop_server.runtimes.torch_model import load
from tuneloop_server.tasks import TASKS

TEXTS = [*word_salads(8, longest=40), "", "a"]
WITHOUT = ("funnel",)
"""Architectures whose body gives no state of each token to the head."""


def random_model(task: str, model_type: str):
    torch.manual_seed(0)
    auto_class = getattr(transformers, TASKS[task].auto_class)
    model = auto_class.from_config(tiny_config(model_type, ["no", "yes"])).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model


@pytest.mark.parametrize(("task", "model_type"), architectures())
def test_the_vector_of_a_text_is_the_mean_of_what_the_body_gives_the_head_without_padding(task, model_type):
    model, given = random_model(task, model_type), inputs()
    mask = given["attention_mask"].bool()
    model.config.get_text_config().use_cache = model.config.use_cache = False
    bodies = []
    model.base_model.register_forward_hook(lambda body, arguments, outputs: bodies.append(outputs[0]))
    with torch.inference_mode(), noting(model) as last:
        model(**given)
        found = last.vectors(given["attention_mask"])
    if found is None:
        assert model_type in WITHOUT
        return
    expected = [row[tokens].mean(dim=0) for row, tokens in zip(bodies[-1], mask, strict=True)]
    torch.testing.assert_close(found, torch.stack(expected), rtol=1e-4, atol=1e-5)
    assert torch.pdist(found).min() > 1e-3


@pytest.mark.parametrize(
    "model_type", ["albert", "bart", "bert", "deberta-v2", "gpt2", "llama", "modernbert", "t5", "xlnet"]
)
def test_what_stands_beside_a_text_in_a_pass_has_no_part_in_its_vector(model_type):
    model, given = random_model("text-classification", model_type), inputs()
    with torch.inference_mode(), noting(model) as last:
        model(**given)
        together = last.vectors(given["attention_mask"])
        for ids, mask, expected in zip(given["input_ids"], given["attention_mask"], together, strict=True):
            row = ids[mask.bool()][None]
            model(input_ids=row, attention_mask=torch.ones_like(row))
            torch.testing.assert_close(last.vectors(torch.ones_like(row))[0], expected, rtol=1e-4, atol=1e-5)


def test_a_model_is_left_as_it_was():
    model = random_model("text-classification", "bert")
    with noting(model):
        assert model.base_model._forward_hooks
    assert not model.base_model._forward_hooks


def test_states_that_are_not_those_of_the_tokens_make_no_vector():
    model, given = random_model("text-classification", "funnel"), inputs()
    last = LastStates(model)
    with torch.inference_mode():
        model(**given)
    assert last.states.ndim == 3
    assert last.vectors(given["attention_mask"]) is None


def test_states_are_not_kept_when_their_vectors_are_made():
    model, given = random_model("text-classification", "bert"), inputs()
    with torch.inference_mode(), noting(model) as last:
        model(**given)
        assert last.vectors(given["attention_mask"]) is not None
        assert last.states is None


def served(folder, model_type="bert", **options):
    manifest = save_artifact(folder, model_type, **options)
    return load(configuration(folder), manifest, TASKS[manifest.task])


def encoded(model):
    return [window for windows in model.encode(TEXTS) for window in windows]


@pytest.mark.parametrize(("model_type", "side"), [("bert", "right"), ("llama", "left")])
def test_a_model_projects_each_text_beside_its_logits(tmp_path, model_type, side):
    model = served(tmp_path, model_type, padding_side=side)
    logits = model.predict(encoded(model))
    first, second = [1.0] + [0.0] * 15, [0.5] * 16
    assert model.project([first, second]) == ""
    for window, expected, found in zip(encoded(model), logits, model.predict(encoded(model)), strict=True):
        assert found.logits.tolist() == expected.tolist()
        ids = torch.tensor([window.ids])
        with torch.inference_mode():
            mean = model._model.base_model(ids).last_hidden_state[0].mean(0)
        assert found.projections == pytest.approx([mean[0].item(), 0.5 * mean.sum().item()], abs=1e-4)


@pytest.mark.parametrize(
    ("model_type", "directions", "reason"),
    [
        ("funnel", [[1.0] * 16], "funnel has no hidden state for each token"),
        ("bert", [[1.0] * 15], "its hidden state has 16 numbers, the directions 15"),
    ],
)
def test_a_model_that_cannot_project_says_why_and_answers_as_before(tmp_path, model_type, directions, reason):
    model = served(tmp_path, model_type)
    logits = model.predict(encoded(model))
    assert model.project(directions) == f"projections are not counted: {reason}"
    assert [found.tolist() for found in model.predict(encoded(model))] == [found.tolist() for found in logits]
    assert not model._model.base_model._forward_hooks


@pytest.fixture(scope="module")
def with_adapter(tmp_path_factory):
    """A base model that answers for the task itself, and an adapter on it."""
    folder = tmp_path_factory.mktemp("adapted")
    base_artifact(folder / "base", "bert")
    adapter_artifact(folder / "films", folder / "base/model", seed=1)
    return loaded(beside(folder / "base", *places(folder, "films")))


def test_a_base_model_projects_its_own_texts_beside_those_of_adapters(with_adapter):
    base, films = with_adapter[None], with_adapter["films"]
    own, others = ([window for window in encoded(model) if window.ids] for model in (base, films))
    before = base.predict(own + others)
    assert base.project([[1.0] + [0.0] * 15]) == ""
    after = base.predict(own + others)
    with torch.inference_mode():
        base.predict(own[:1])  # so that the base model's own head is the one in place
        for window, found, expected in zip(own, after, before, strict=False):
            assert found.logits.tolist() == expected.tolist()
            states = base._model.base_model(torch.tensor([window.ids])).last_hidden_state[0]
            assert found.projections == pytest.approx([states.mean(0)[0].item()], abs=1e-4)
    assert [found.tolist() for found in after[len(own) :]] == [found.tolist() for found in before[len(own) :]]


def test_nothing_is_kept_of_passes_whose_texts_are_not_projected(with_adapter):
    base, films = with_adapter[None], with_adapter["films"]
    assert base.project([[1.0] + [0.0] * 15]) == ""
    states = []
    forward = base._model.base_model.forward

    def noted(*given, **named):
        outputs = forward(*given, **named)
        states.append(weakref.ref(outputs[0]))
        return outputs

    with mock.patch.object(base._model.base_model, "forward", noted):
        base.predict(encoded(films))
        base.predict([replace(window, output="embedding") for window in encoded(base)])
    assert states
    assert not [state for state in states if state() is not None]


def test_projections_are_products_in_double_precision():
    directions = Directions.of([[1.0, 1e-9]])
    ((_, projections),) = directions.projected([None], torch.tensor([[1.0, 1.0]]).numpy())
    assert projections == [1.0 + 1e-9]
