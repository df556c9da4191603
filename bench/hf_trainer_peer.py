"""The peer of the training benchmarks: the Hugging Face Trainer on shards that `prepare` made. One argument: JSON options.

Its settings are its best for this work: length grouping on, the loss's known multiplication by the world size off
(`average_tokens_across_devices`), no saving, no reporting, AdamW of torch.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import Dataset
from transformers import AutoModelForSequenceClassification, Trainer, TrainerCallback, TrainingArguments

from tuneloop_trainer.dataset.shards import open_split, read_manifest

SKIPPED_STEPS = 5


class Rows(Dataset):
    """A prepared split as the Trainer wants it."""

    def __init__(self, folder: Path, name: str) -> None:
        self.split = open_split(folder, name)

    def __len__(self) -> int:
        return len(self.split.lengths)

    def __getitem__(self, index: int) -> dict:
        return {
            "input_ids": self.split.tokens(index).tolist(),
            "labels": int(self.split.labels[index]),
            "length": int(self.split.lengths[index]),
        }


class Clock(TrainerCallback):
    """Times each step, and counts its tokens from the collator."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.losses: list[float] = []
        self.began = 0.0

    def on_step_begin(self, *_args: object, **_kwargs: object) -> None:
        self.began = time.monotonic()

    def on_step_end(self, *_args: object, **_kwargs: object) -> None:
        self.seconds.append(time.monotonic() - self.began)

    def on_log(self, _args: object, _state: object, _control: object, logs: dict, **_kwargs: object) -> None:
        if "loss" in logs:
            self.losses.append(float(logs["loss"]))


class Collate:
    """Pads to the longest row and counts."""

    def __init__(self, pad_id: int) -> None:
        self.pad_id = pad_id
        self.real: list[int] = []
        self.computed: list[int] = []

    def __call__(self, rows: list[dict]) -> dict:
        longest = max(len(row["input_ids"]) for row in rows)
        ids = torch.full((len(rows), longest), self.pad_id)
        for line, row in enumerate(rows):
            ids[line, : len(row["input_ids"])] = torch.tensor(row["input_ids"])
        lengths = torch.tensor([len(row["input_ids"]) for row in rows])
        mask = (torch.arange(longest) < lengths[:, None]).long()
        self.real.append(int(lengths.sum()))
        self.computed.append(ids.numel())
        return {"input_ids": ids, "attention_mask": mask, "labels": torch.tensor([row["labels"] for row in rows])}


def main(options: dict) -> None:
    """Train, and write what was measured."""
    dataset = Path(options["dataset"])
    manifest = read_manifest(dataset)
    torch.manual_seed(options["seed"])
    model = AutoModelForSequenceClassification.from_pretrained(
        options["model"], num_labels=len(manifest.labels), dtype=torch.float32
    )
    clock, collate = Clock(), Collate(manifest.tokenizer.pad_token_id)
    arguments = TrainingArguments(
        output_dir=tempfile.mkdtemp(prefix="tuneloop-bench-peer-"),
        per_device_train_batch_size=options["batch"],
        max_steps=options["steps"],
        learning_rate=options["learning_rate"],
        lr_scheduler_type="linear",
        warmup_steps=options["warmup_steps"],
        weight_decay=0.01,
        max_grad_norm=1.0,
        seed=options["seed"],
        data_seed=options["seed"],
        use_cpu=True,
        train_sampling_strategy="group_by_length",
        length_column_name="length",
        remove_unused_columns=False,
        average_tokens_across_devices=False,
        logging_steps=10,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        dataloader_num_workers=0,
    )
    trainer = Trainer(
        model=model, args=arguments, train_dataset=Rows(dataset, "train"), data_collator=collate, callbacks=[clock]
    )
    trainer.train()
    score = None
    if options.get("evaluate"):
        predicted = trainer.predict(Rows(dataset, "test"))
        score = float((predicted.predictions.argmax(axis=1) == predicted.label_ids).mean())
    if trainer.is_world_process_zero():
        ranks = trainer.args.world_size
        steps = len(clock.seconds)
        seconds = sum(clock.seconds[SKIPPED_STEPS:])
        real, computed = (
            ranks * int(np.sum(counts[SKIPPED_STEPS:steps])) for counts in (collate.real, collate.computed)
        )
        measured = {
            "tokens_per_second": real / seconds,
            "computed_per_second": computed / seconds,
            "losses": clock.losses,
            "accuracy": score,
        }
        Path(options["out"]).write_text(json.dumps(measured))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
