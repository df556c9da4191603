"""Tokenizers of adapters: what is alike is loaded once, and nothing else is."""

from __future__ import annotations

from pathlib import Path

import pytest
from artifact import manifest_of

from tuneloop_api.contract.artifact import ArtifactFile
from tuneloop_server.runtimes.shared_tokenizers import SharedTokenizers

FILES = {"tokenizer.json": "t", "config.json": "c", "adapter_config.json": "a", "adapter_model.safetensors": "w"}


@pytest.mark.parametrize(
    ("reads_config", "other", "loads"),
    [
        pytest.param(False, {}, 1, id="alike"),
        pytest.param(False, {"adapter_model.safetensors": "x", "adapter_config.json": "y"}, 1, id="other weights"),
        pytest.param(False, {"tokenizer.json": "x"}, 2, id="another tokenizer"),
        pytest.param(False, {"config.json": "x"}, 1, id="another configuration of the model, which is not read"),
        pytest.param(True, {"config.json": "x"}, 2, id="another one, in which ends of answers stand"),
        pytest.param(True, {"adapter_model.safetensors": "x"}, 1, id="other weights of a model that generates"),
    ],
)
def test_what_is_read_of_two_adapters_is_loaded_once_where_it_is_alike(reads_config, other, loads):
    shared = SharedTokenizers(lambda folder, _: folder, reads_config=reads_config)
    for files, folder in ((FILES, "first"), (FILES | other, "second")):
        listed = [ArtifactFile(path=f"adapter/{name}", size=1, sha256=digest) for name, digest in files.items()]
        loaded = shared.load(Path(folder), manifest_of([], files=listed), name="adapter")
    assert loaded == Path("first" if loads == 1 else "second")
