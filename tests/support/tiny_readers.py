"""Tiny models that answer questions, of several architectures and all kinds of tokenizers, as artifacts in the layout that `export` publishes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from artifact import write_manifest
from tiny_taggers import ARCHITECTURES, BYTE_LEVEL_BPE, CORPUS, tiny_tagger_tokenizer

from tuneloop_api.contract.artifact import MANIFEST, AnswerSpans
from tuneloop_api.wire.model import changed

if TYPE_CHECKING:
    from pathlib import Path

    from tuneloop_api.contract.artifact import Manifest

MODELS = ("bert", "roberta", "electra", "albert", "deberta-v2", "distilbert", "modernbert", "xlm-roberta")
QUESTIONS = [
    ("Who met Charles Babbage?", CORPUS[0]),
    ("Wo liegt\ndie Zugspitze?", CORPUS[1]),
    ("Où vont Zoë et François?", f"{CORPUS[2]} {CORPUS[3]}"),
    ("東京は?", CORPUS[3]),
    ("What is beyond the plane?", " ".join(CORPUS)),
]
LABELS = ("LABEL_0", "LABEL_1")
MAX_TOKENS, STRIDE, LONGEST = 48, 8, 6
_OF_THE_TOKENIZER = ("model_inputs", "first_type_id", "prefix_space", "special", "padding_side")


def pair_tokenizer(architecture: str, *, max_tokens: int = MAX_TOKENS) -> Any:
    """Return a tokenizer of the architecture's kind that makes pairs."""
    from tokenizers import processors

    tokenizer = tiny_tagger_tokenizer(architecture, max_tokens=max_tokens)
    if architecture not in BYTE_LEVEL_BPE:
        tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
            single="<s> $A </s>",
            pair="<s> $A </s> $B:1 </s>:1",
            special_tokens=[(token, tokenizer.convert_tokens_to_ids(token)) for token in ("<s>", "</s>")],
        )
    return tokenizer


def tiny_reader(folder: Path, architecture: str, *, spans: AnswerSpans | None = None, seed: int = 0) -> Manifest:
    """Write an artifact whose model has random weights; returns its manifest."""
    import torch
    from transformers import AutoConfig, AutoModelForQuestionAnswering

    options = {name: value for name, value in ARCHITECTURES[architecture].items() if name not in _OF_THE_TOKENIZER}
    tokenizer = pair_tokenizer(architecture)
    config = AutoConfig.for_model(
        architecture,
        vocab_size=len(tokenizer),
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=None,
        eos_token_id=None,
        num_labels=2,
        **options,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = AutoModelForQuestionAnswering.from_config(config).eval()
        for parameter in model.parameters():
            if parameter.dim() > 1:
                torch.nn.init.normal_(parameter, std=0.35)
    model.save_pretrained(folder / "model")
    tokenizer.save_pretrained(folder / "model")
    written = write_manifest(
        folder, LABELS, name="reader", max_tokens=MAX_TOKENS, temperature=1.0, task="question-answering"
    )
    manifest = changed(written, answer_spans=spans or AnswerSpans(doc_stride=STRIDE, max_answer_tokens=LONGEST))
    (folder / MANIFEST).write_text(json.dumps(manifest.to_wire()), encoding="utf-8")
    return manifest
