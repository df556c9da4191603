"""Artifacts of tiny models that generate: GPT-2 without a padding token, Llama with a chat template, Qwen with two ends; all with a tokenizer of bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from artifact import write_manifest

if TYPE_CHECKING:
    from pathlib import Path

    from tuneloop_api.contract.artifact import Manifest

CORPUS = (
    "Ada Lovelace wrote the first program for a machine that was never built.",
    "A joy from start to finish, and a fine film for a rainy day.",
    "¿Qué tal? 😀 Straße, naïve, 東京, Ωmega: bytes of many characters.",
)
END, TURN = "<|end|>", "<|turn|>"
TEMPLATE = (
    "{% for message in messages %}"
    "{% if message.role not in ['system', 'user', 'assistant'] %}{{ raise_exception('no such role') }}{% endif %}"
    "{{ '<|turn|>' + message.role + '\n' + message.content + '<|end|>' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|turn|>assistant\n' }}{% endif %}"
)
WINDOW = 160
_SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
KINDS = ("gpt2", "llama", "qwen2")


def byte_tokenizer(*, chat: bool) -> Any:
    """Return a tokenizer whose tokens are bytes and some pairs of them: most characters outside ASCII take several tokens."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = [END, TURN]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=320, special_tokens=special, initial_alphabet=alphabet)
    tokenizer.train_from_iterator(CORPUS, trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=END, eos_token=END)
    if chat:
        fast.chat_template = TEMPLATE
    return fast


def tiny_decoder(folder: Path, kind: str, *, seed: int = 0) -> Manifest:
    """Write the artifact of a tiny decoder. Its weights are far from 0, so that the most probable token is never in doubt."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, GenerationConfig

    tokenizer = byte_tokenizer(chat=kind != "gpt2")
    sizes = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": WINDOW} if kind == "gpt2" else _SMALL
    common = {"vocab_size": len(tokenizer), "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": None}
    window = {} if kind == "gpt2" else {"num_key_value_heads": 2, "max_position_embeddings": WINDOW}
    config = AutoConfig.for_model(kind, **sizes, **common, **window)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(config)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.3 * torch.randn_like(parameter))
    ends = [0, 1] if kind == "qwen2" else 0
    model.generation_config = GenerationConfig(eos_token_id=ends, bos_token_id=0)
    model.save_pretrained(folder / "model")
    tokenizer.save_pretrained(folder / "model")
    return write_manifest(folder, [], name=kind, max_tokens=WINDOW, temperature=1.0, task="text-generation")


def plain_answer(folder: Path, ids: list[int], *, most: int) -> tuple[list[int], str]:
    """Return the tokens with which plain transformers goes on, greedily and alone, and their text."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(folder / "model").eval()
    tokenizer = AutoTokenizer.from_pretrained(folder / "model")
    inputs = torch.tensor([ids])
    found = model.generate(
        inputs, attention_mask=torch.ones_like(inputs), max_new_tokens=most, do_sample=False, pad_token_id=0
    )
    tokens = found[0, len(ids) :].tolist()
    return tokens, tokenizer.decode(tokens, skip_special_tokens=True)
