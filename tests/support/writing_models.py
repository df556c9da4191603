"""Tiny encoder-decoders with random weights, and what plain transformers writes with them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import transformers
from artifact import write_manifest
from transformers import AutoConfig, EncoderDecoderConfig, EncoderDecoderModel, GenerationConfig

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tuneloop_api.contract.artifact import Manifest

VOCABULARY, PAD, END = 60, 0, 1
POSITIONS = 64
MOST, MOST_READ = 12, 16
"""Tokens of an answer by generation_config.json, and of a source."""
_TOKENS = {"vocab_size": VOCABULARY, "pad_token_id": PAD, "eos_token_id": END, "bos_token_id": 3, "decoder_start_token_id": PAD, "tie_word_embeddings": False}  # fmt: skip
_T5 = {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 2, "num_heads": 2}
_BART = {
    "d_model": 16, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 2, "decoder_attention_heads": 2, "encoder_ffn_dim": 32,
    "decoder_ffn_dim": 32, "max_position_embeddings": POSITIONS,
}  # fmt: skip
_BERT = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32, "max_position_embeddings": POSITIONS, "vocab_size": VOCABULARY}  # fmt: skip
KINDS = ("t5", "umt5", "bart", "mbart", "marian", "pegasus", "bert2bert")
"""Relative positions in the first layer and in each, learned ones, fixed ones, and two models that were none before."""


def writing_model(kind: str) -> Any:
    """Return a model whose weights are far from 0, so that the most probable token is hardly ever in doubt. kind: of KINDS, or a model type with the sizes of BART."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = _bert2bert() if kind == "bert2bert" else transformers.AutoModelForSeq2SeqLM.from_config(_config(kind))
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.3 * torch.randn_like(parameter))
    model.generation_config = GenerationConfig(decoder_start_token_id=PAD, eos_token_id=END, pad_token_id=PAD)
    return model.eval()


def _config(kind: str) -> Any:
    return AutoConfig.for_model(kind, **_TOKENS | (_T5 if kind.endswith("t5") else _BART))


def _bert2bert() -> Any:
    encoder = AutoConfig.for_model("bert", **_BERT)
    decoder = AutoConfig.for_model("bert", **_BERT, is_decoder=True, add_cross_attention=True)
    config = EncoderDecoderConfig.from_encoder_decoder_configs(encoder, decoder)
    config.decoder_start_token_id, config.pad_token_id, config.eos_token_id = PAD, PAD, END
    return EncoderDecoderModel(config=config)


def word_tokenizer() -> Any:
    """Return a tokenizer of as many words as the models have, which ends every text with its end token."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    words = ["<pad>", "</s>", "<unk>", "<s>", *(f"w{number}" for number in range(4, VOCABULARY - 1)), "say"]
    tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", END)])
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    )


def writing_artifact(folder: Path, kind: str, *, prefix: str | None = None, **settings: Any) -> Manifest:
    """Write the artifact of such a model. prefix: begins its sources. settings: of generation_config.json."""
    model = writing_model(kind)
    model.generation_config.update(max_new_tokens=MOST, **settings)
    model.save_pretrained(folder / "model")
    word_tokenizer().save_pretrained(folder / "model")
    return write_manifest(
        folder, [], name=kind, max_tokens=MOST_READ, temperature=1.0, task="text2text-generation", source_prefix=prefix
    )


class PlainWriter:
    """The model of an artifact by transformers alone: one text at a time, by its own generation_config.json."""

    def __init__(self, folder: Path, *, prefix: str = "") -> None:
        self._model = transformers.AutoModelForSeq2SeqLM.from_pretrained(folder / "model").eval()
        self._tokenizer = transformers.AutoTokenizer.from_pretrained(folder / "model")
        self._prefix = prefix

    def text(self, source: str, **settings: Any) -> str:
        """Return what the model writes for a source."""
        inputs = self._tokenizer(
            [f"{self._prefix}{source}"],
            truncation=True,
            max_length=MOST_READ,
            return_tensors="pt",
            return_token_type_ids=False,
        )
        (found,) = self._tokenizer.batch_decode(self._model.generate(**inputs, **settings), skip_special_tokens=True)
        return found


def written(model: Any, source: Sequence[int], **settings: Any) -> list[int]:
    """Return the tokens that plain transformers writes for a source alone, without the first of the decoder."""
    ids = torch.tensor([list(source)])
    found = model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, **settings)[0, 1:].tolist()
    while found and found[-1] == PAD:
        found.pop()
    return found
