"""What a model folder must hold, and how long a text its model reads."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import transformers
from transformers.models.auto import modeling_auto
from transformers.models.auto.configuration_auto import model_type_to_module_name

from tuneloop_trainer.errors import ModelAccessError
from tuneloop_trainer.models.files import check_files, tokenizer_files
from tuneloop_trainer.models.source import _POSITIONS_AFTER_PADDING, _longest_input
from tuneloop_trainer.tasks import TASKS


def longest(model_type: str, *, positions: int | None, tokenizer: int, pad: int | None = None) -> int | None:
    text = SimpleNamespace(max_position_embeddings=positions, pad_token_id=pad)
    config = SimpleNamespace(model_type=model_type, get_text_config=lambda: text)
    return _longest_input(config, tokenizer=SimpleNamespace(model_max_length=tokenizer))


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        pytest.param(longest("bert", positions=512, tokenizer=512), 512, id="both say the same"),
        pytest.param(longest("bert", positions=512, tokenizer=128), 128, id="the tokenizer says less"),
        pytest.param(longest("bert", positions=64, tokenizer=int(1e30)), 64, id="the tokenizer says none"),
        pytest.param(longest("bert", positions=64, tokenizer=1_000_000_000), 64, id="a limit that is none"),
        pytest.param(longest("t5", positions=None, tokenizer=int(1e30)), None, id="neither says one"),
        pytest.param(longest("deberta-v2", positions=-1, tokenizer=512), 512, id="positions of no meaning"),
        pytest.param(longest("roberta", positions=514, tokenizer=int(1e30), pad=1), 512, id="padding has positions"),
        pytest.param(longest("roberta", positions=514, tokenizer=int(1e30), pad=0), 513, id="padding is the first token"),
        pytest.param(longest("roberta", positions=514, tokenizer=int(1e30)), 513, id="no padding token"),
        pytest.param(longest("roberta", positions=-1, tokenizer=512, pad=1), 512, id="no positions, but padding"),
    ],
)  # fmt: skip
def test_the_longest_input_is_what_both_model_and_tokenizer_can_read(found, expected):
    assert found == expected


def test_the_models_whose_first_positions_stand_for_padding_are_those_of_transformers():
    """Such a model numbers its positions with a function of this name, and has a table of them; models that compute sinusoids read texts of any length."""
    types = {name for task in TASKS.values() for name in getattr(modeling_auto, task.architectures)}
    folder = Path(transformers.__file__).parent / "models"
    found = {
        name
        for name in types
        for path in (folder / model_type_to_module_name(name)).glob(f"modeling_{name.replace('-', '_')}.py")
        for code in [path.read_text(encoding="utf-8")]
        if "create_position_ids_from_input_ids" in code and "make_weights" not in code
    }
    assert found == _POSITIONS_AFTER_PADDING


def test_all_files_of_a_tokenizer_are_taken_in_one_order(tmp_path):
    names = [
        "tokenizer.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
        "added_tokens.json",
        "vocab.txt",
        "vocab.json",
        "merges.txt",
        "spiece.model",
        "tokenizer.model",
        "sentencepiece.bpe.model",
    ]
    for name in [*sorted(names), "config.json"]:
        (tmp_path / name).touch()
    assert [path.name for path in tokenizer_files(tmp_path)] == names


GOOD = ["config.json", "model.safetensors", "tokenizer.json"]


@pytest.mark.parametrize(
    "vocabulary",
    [
        "tokenizer.json",
        "vocab.txt",
        "vocab.json",
        "merges.txt",
        "spiece.model",
        "tokenizer.model",
        "sentencepiece.bpe.model",
    ],
)
@pytest.mark.parametrize("weights", ["model.safetensors", "model.safetensors.index.json"])
def test_configuration_weights_and_a_vocabulary_are_enough(weights, vocabulary):
    check_files({"config.json", weights, vocabulary}, uri="hf://org/name")


@pytest.mark.parametrize(
    ("names", "message", "hint"),
    [
        (GOOD[1:], "has no config.json", "in Hugging Face layout"),
        ([*GOOD, "adapter_config.json"], "has adapter_config.json beside the model", "remove adapter_config.json"),
        ([*GOOD[:1], *GOOD[2:]], "has no weights: neither model.safetensors nor model.safetensors.index.json", None),
        (GOOD[:2], r"has no tokenizer \(tokenizer.json\)", "save it beside the model"),
        ([*GOOD[:2], "tokenizer_config.json"], "has no tokenizer", "save it beside the model"),
        ([*GOOD[:2], "special_tokens_map.json"], "has no tokenizer", "save it beside the model"),
        ([*GOOD[:2], "added_tokens.json"], "has no tokenizer", "save it beside the model"),
        *(
            (["config.json", f"weights{kind}"], rf"has only pickled weights \(weights{kind}\)", "convert them once")
            for kind in (".bin", ".pt", ".pth", ".ckpt")
        ),
        (["config.json", "d.bin", "b.bin", "a.bin", "c.bin"], r"\(a.bin, b.bin, c.bin\)", "writes safetensors"),
    ],
)
def test_a_folder_that_lacks_something_is_refused_with_what_it_lacks(names, message, hint):
    with pytest.raises(ModelAccessError, match=f"model.uri: hf://org/name.*{message}") as refused:
        check_files(set(names), uri="hf://org/name")
    assert refused.value.hint is hint is None or hint in refused.value.hint
