"""The data report, for people and programs, and the progress while it is made."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

from run_configs import run_config
from tiny_models import sentences, write_csv

from tuneloop_trainer.prepare import prepare


def test_report_and_progress_say_what_each_step_did(tmp_path, model):
    rows, posts = sentences(400), []
    reporter = SimpleNamespace(post=lambda **fields: posts.append(fields))
    write_csv(tmp_path / "train.csv", [*rows, (rows[0][0].upper(), rows[0][1])])
    result = prepare(run_config(tmp_path, model=model, method={"type": "full"}), reporter)
    written = Path(result.report_path).read_text()
    assert written.startswith('{\n  "version": 2,\n')
    report = json.loads(written)
    assert [(step["name"], step["version"]) for step in report["steps"]] == [
        ("exact-duplicates", 1),
        ("split", 1),
        ("keep-splits-apart", 1),
        ("label-ids", 1),
    ]
    shards = {f"{split}-00000.{kind}" for split in report["rows"] for kind in ("parquet", "safetensors")}
    there = {path.name for path in Path(result.dataset_path).iterdir()}
    assert there == shards | {"dataset.json", "report.json", "tokenizer"}
    assert report["steps"][0]["withinSplit"] == report["duplicates"]["withinSplit"] == 1
    assert report["steps"][1]["moved"] == report["rows"]["validation"] + report["rows"]["test"]
    assert (report["format"]["name"], report["dropped"]) == ("text-label", 0)
    (source,) = report["sources"]
    assert source.pop("uri") == f"file://{tmp_path}/train.csv"
    assert source == {"for": "train", "files": 1, "read": 401, "usable": 401, "bad": 0, "dropped": 0}
    assert report["bad"] == {"count": 0, "reasons": {}, "samples": []}
    assert list(report["tokens"]["percentiles"]["train"]) == [
        "1",
        "5",
        "25",
        "50",
        "75",
        "90",
        "95",
        "99",
        "99.5",
        "100",
    ]
    starts = {
        "finding the sources": 0.0,
        "checking the model": 0.02,
        "reading the sources' contents": 0.05,
        "checking the room on the claim": 0.1,
        "reading rows": 0.12,
        "dividing rows": 0.35,
        "tokenizing": 0.4,
        "writing": 0.85,
        "publishing": 0.95,
        "prepared": 1.0,
    }
    assert list(report["seconds"]) == list(starts)[:-2]
    assert {post["detail"]: post["fraction"] for post in reversed(posts)} == starts
    ends = {post["detail"]: post["fraction"] for post in posts}
    assert (ends["reading rows"], ends["tokenizing"], ends["writing"]) == (0.35, 0.85, 0.95)
    fractions = [post["fraction"] for post in posts]
    assert fractions == sorted(fractions)
