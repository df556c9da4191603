"""Virtual tokens before each text, in three ways; the head is trained in full.

Prefix tuning trains keys and values of every layer (Li and Liang 2021, arXiv:2101.00190), prompt tuning embeddings (Lester et al. 2021, arXiv:2104.08691),
and p-tuning a small network that writes the embeddings (Liu et al. 2021, arXiv:2103.10385).
"""

from __future__ import annotations

import inspect
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from tuneloop_trainer.methods.combinations import refuse_combination
from tuneloop_trainer.methods.method import Method

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import nn

    from tuneloop_api.contract.settings import MethodSettings
    from tuneloop_trainer.tasks.task import Task

_KINDS = {"prefix": "PrefixTuningConfig", "prompt": "PromptTuningConfig", "p-tuning": "PromptEncoderConfig"}
_FORWARD = "past_key_values"


def _build(model: Any, settings: MethodSettings, *, task: Task, seed: int) -> nn.Module:
    """Return the model behind its virtual tokens; these and the head are trainable.

    Raises ConfigError if the model takes no keys and values of a prefix, or fails with virtual tokens.
    """
    import peft  # noqa: PLC0415  (seconds)
    import torch  # noqa: PLC0415

    kind, lacks = task.name.partition("/")[0], () if _takes_prefix(model) else (_FORWARD,)
    refuse_combination(settings, task=kind, model_type=model.config.model_type, lacks=lacks)
    torch.manual_seed(seed)
    built: Any = peft.get_peft_model(model, _config(peft, model, settings, task=task), autocast_adapter_dtype=False)
    built.prompt_encoder.to(model.dtype)  # ZeRO-3 wants one type for all weights
    answer_for_text_alone(built)
    trained: nn.Module = built
    return trained


def answer_for_text_alone(model: Any) -> None:
    """Let a decoder behind prompts give the logits of the tokens of a text alone. PEFT's own come first: prompts, then the text. Generation does not pass here."""
    if model.peft_config["default"].task_type != "CAUSAL_LM":
        return

    def cut(_model: nn.Module, _arguments: Any, inputs: dict[str, Any], output: Any) -> Any:
        output.logits = output.logits[:, -inputs["input_ids"].shape[1] :]
        return output

    model.register_forward_hook(cut, with_kwargs=True)


@contextmanager
def _without_virtual_tokens(model: Any) -> Iterator[None]:
    """Let the model read texts alone in this context. PEFT's own way asks every model for a function of generation, which classifiers lack (PEFT 0.21.2)."""
    kept, model.forward = model.forward, model.base_model.forward
    try:
        yield
    finally:
        model.forward = kept


def _config(peft: Any, model: Any, settings: MethodSettings, *, task: Task) -> Any:
    """Return PEFT's settings. The sizes are given: PEFT reads them by names that not every configuration has, and takes the hidden size for that of embeddings."""
    text = model.config.get_text_config()
    is_prefix = settings.type == "prefix"
    return getattr(peft, _KINDS[settings.type])(
        task_type=peft.TaskType[task.peft_type],
        num_virtual_tokens=settings.virtual_tokens,
        token_dim=text.hidden_size if is_prefix else model.get_input_embeddings().embedding_dim,
        num_layers=text.num_hidden_layers,
        num_attention_heads=text.num_attention_heads,
        modules_to_save=[*model.head_modules],
    )


def _takes_prefix(model: Any) -> bool:
    body = getattr(model, model.base_model_prefix)
    return any(_FORWARD in inspect.signature(part.forward).parameters for part in (model, body))


def _describe(settings: MethodSettings, _merged: bool) -> str:  # noqa: FBT001  (`Method.describe` is called by position)
    return f"{settings.virtual_tokens} virtual tokens"


_method = partial(
    Method,
    build=_build,
    merge=None,
    is_adapter=True,
    describe=_describe,
    as_base=_without_virtual_tokens,
    reserves=lambda settings: settings.virtual_tokens,
    larger=("method.virtualTokens: 50", "method.type: lora"),
)
PREFIX = _method(name="prefix", learning_rates={"encoder": 1e-2, "decoder": 1e-2, "encoder-decoder": 1e-2})
PROMPT = _method(name="prompt", learning_rates={"encoder": 1e-2, "decoder": 1e-2, "encoder-decoder": 1e-2})
P_TUNING = _method(name="p-tuning", learning_rates={"encoder": 1e-3, "decoder": 1e-3, "encoder-decoder": 1e-3})
