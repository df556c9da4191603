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
WINDOW = {"gpt2": 160, "llama": 4096, "qwen2": 160, "mamba": 160, "wide-llama": 256}
"""Tokens of prompt and answer. Llama's answers take seconds, so that a client has time to leave."""
_SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
_WIDE = _SMALL | {"hidden_size": 128, "num_attention_heads": 2, "head_dim": 64}
"""Heads of 64 numbers, as most models have them: kernels of other servers have no smaller ones."""
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
    sizes = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": WINDOW[kind]} if kind == "gpt2" else _SMALL
    common = {"vocab_size": len(tokenizer), "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": None}
    window = {} if kind == "gpt2" else {"num_key_value_heads": 2, "max_position_embeddings": WINDOW[kind]}
    if kind == "wide-llama":
        sizes, window = _WIDE, window | {"num_key_value_heads": 1}
    config = AutoConfig.for_model(kind.removeprefix("wide-"), **sizes, **common, **window)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(config)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.3 * torch.randn_like(parameter))
            if kind == "llama":
                model.lm_head.weight[0] = 0  # its answers never end by themselves
    ends = [0, 1] if kind == "qwen2" else 0
    model.generation_config = GenerationConfig(eos_token_id=ends, bos_token_id=0)
    model.save_pretrained(folder / "model")
    tokenizer.save_pretrained(folder / "model")
    return write_manifest(folder, [], name=kind, max_tokens=WINDOW[kind], temperature=1.0, task="text-generation")


class PlainTransformers:
    """The same model by transformers alone: one prompt at a time, greedily."""

    def __init__(self, folder: Path) -> None:
        from transformers import AutoModelForCausalLM, AutoTokenizer

        self.model = AutoModelForCausalLM.from_pretrained(folder / "model").eval()
        self.tokenizer = AutoTokenizer.from_pretrained(folder / "model")
        self._found: dict[tuple[str, int], list[int]] = {}

    def tokens(self, prompt: str | list[dict[str, str]], *, most: int) -> list[int]:
        """Return the tokens with which the model goes on. prompt: a text, or the messages of a chat."""
        key = (str(prompt), most)
        if key not in self._found:
            self._found[key] = self._generated(prompt, most=most)
        return self._found[key]

    def _generated(self, prompt: str | list[dict[str, str]], *, most: int) -> list[int]:
        import torch

        ids = (
            self.tokenizer(prompt).input_ids
            if isinstance(prompt, str)
            else self.tokenizer.apply_chat_template(prompt, add_generation_prompt=True, return_dict=True).input_ids
        )
        inputs = torch.tensor([ids])
        mask = torch.ones_like(inputs)
        found = self.model.generate(inputs, attention_mask=mask, max_new_tokens=most, do_sample=False, pad_token_id=0)
        return found[0, len(ids) :].tolist()

    def text(self, prompt: str | list[dict[str, str]], *, most: int) -> str:
        """Return the text of these tokens."""
        return self.tokenizer.decode(self.tokens(prompt, most=most), skip_special_tokens=True)
