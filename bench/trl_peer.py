"""The peer of `sft.py`: TRL's SFTTrainer on the tokens that `prepare` made. One argument: JSON options."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import SFTConfig, SFTTrainer

from tuneloop_trainer.dataset.shards import open_split


class Counted:
    """A collator that counts the tokens of the rows that it gets."""

    def __init__(self, collate: object) -> None:
        self._collate = collate
        self.tokens: list[int] = []

    def __call__(self, rows: list[dict]) -> dict:
        self.tokens.append(sum(len(row["input_ids"]) for row in rows))
        return self._collate(rows)


def main(options: dict) -> None:
    """Train, and write how many tokens were trained."""
    split = open_split(Path(options["dataset"]), "train")
    rows = [split.tokens(row).tolist() for row in range(len(split.rows))]
    micro_batches, most = options["rows"] // options["micro_batch"], options["most_tokens"]
    lines = options["micro_batch"]
    if options["packed"]:  # as many tokens in a step as rows have that are not packed
        lines = max(1, round(options["micro_batch"] * float(np.mean(split.lengths)) / most))
    arguments = SFTConfig(
        output_dir=tempfile.mkdtemp(prefix="tuneloop-bench-trl-"),
        packing=options["packed"],
        max_length=most,
        per_device_train_batch_size=lines,
        gradient_accumulation_steps=micro_batches,
        max_steps=options["steps"],
        learning_rate=2e-4,
        lr_scheduler_type="linear",
        weight_decay=0.01,
        train_sampling_strategy="random" if options["packed"] else "group_by_length",
        gradient_checkpointing=False,
        bf16=False,
        use_cpu=True,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        dataloader_num_workers=0,
    )
    model = AutoModelForCausalLM.from_pretrained(options["model"], dtype=torch.float32)
    trainer = SFTTrainer(
        model=model,
        args=arguments,
        train_dataset=Dataset.from_dict({"input_ids": rows}),
        processing_class=AutoTokenizer.from_pretrained(options["model"]),
        peft_config=LoraConfig(
            r=16, lora_alpha=32, lora_dropout=0.0, target_modules="all-linear", task_type="CAUSAL_LM"
        ),
    )
    trainer.data_collator = counted = Counted(trainer.data_collator)
    trainer.train()
    trained = counted.tokens[: options["steps"] * micro_batches]
    Path(options["out"]).write_text(json.dumps({"tokens": sum(trained)}))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
