"""Model folders that try to run code, to read files of others or to reach a network; run as a program: opens each and reports what happened.

`python -m hostile_models FOLDER`: makes every folder of `HOSTILE` below FOLDER, opens it as training and as the server do, and prints a line of JSON for each:
its name, the answers of both, and every audit event that only code or data of the folder can cause.
"""

from __future__ import annotations

import io
import json
import os
import pickle
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from artifact import make_artifact, write_manifest
from run_configs import run_config
from tiny_models import tiny_bert

from tuneloop_api.contract.server_config import ServerConfig
from tuneloop_server.runtimes.torch_model import load
from tuneloop_server.tasks import task_of
from tuneloop_trainer.models.load import load_model
from tuneloop_trainer.models.source import open_model
from tuneloop_trainer.tasks.text_classification import TEXT_CLASSIFICATION

CANARY = "canary"
"""File that every payload writes into the working directory."""
Spoil = Callable[[Path], object]
LABELS = ("no", "yes")
_CODE = f"open({CANARY!r}, 'w').write('code of the model folder ran')\n"
_CLASSES = (
    "from transformers import BertConfig, BertForSequenceClassification, BertTokenizerFast\n"
    "class Config(BertConfig): pass\nclass Model(BertForSequenceClassification): config_class = Config\nclass Tokenizer(BertTokenizerFast): pass\n"
)
_WATCHED = (
    "pickle.find_class",
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "subprocess.Popen",
    "socket.connect",
    "socket.getaddrinfo",
)


class Payload:
    """Writes the canary when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return exec, (_CODE,)


def _pickled(protocol: int) -> bytes:
    return pickle.dumps({"weight": Payload()}, protocol=protocol)


def _saved_by_torch(*, as_zip: bool) -> bytes:
    buffer = io.BytesIO()
    torch.save({"weight": Payload()}, buffer, _use_new_zipfile_serialization=as_zip)
    return buffer.getvalue()


PICKLES: dict[str, Callable[[], bytes]] = {
    **{f"pickle {protocol}": (lambda protocol=protocol: _pickled(protocol)) for protocol in (0, 2, 4, 5)},
    "a zip of torch": lambda: _saved_by_torch(as_zip=True),
    "an old file of torch": lambda: _saved_by_torch(as_zip=False),
}
_BESIDE = (
    "pytorch_model.bin",
    "training_args.bin",
    "optimizer.pt",
    "scheduler.pt",
    "rng_state.pth",
    "model.ckpt",
    "adapter_model.bin",
    "tokenizer.pkl",
    "consolidated.00.pth",
    "global_step1/mp_rank_00_model_states.pt",
    "vocab.pkl",
)
_CODE_FILES = (
    "__init__.py",
    "modeling_bert.py",
    "configuration_bert.py",
    "tokenization_bert.py",
    "transformers.py",
    "torch.py",
    "sitecustomize.py",
    "zero_to_fp32.py",
    "custom_generate/generate.py",
)


def _write(folder: Path, name: str, content: bytes | str) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)


def _edit(folder: Path, name: str, **changes: Any) -> None:
    path = folder / name
    path.write_text(json.dumps((json.loads(path.read_text()) if path.exists() else {}) | changes))


def _beside(name: str, content: Callable[[], bytes | str]) -> Spoil:
    return lambda folder: _write(folder, name, content())


def _instead(name: str, content: Callable[[], bytes]) -> Spoil:
    """The pickle takes the place of the weights; an index names it, too."""

    def spoil(folder: Path) -> None:
        (folder / "model.safetensors").unlink()
        _write(folder, name, content())
        if name != "model.safetensors":
            _write(folder, "model.safetensors.index.json", json.dumps({"metadata": {}, "weight_map": {"weight": name}}))

    return spoil


def _code_named_by(file: str, **changes: Any) -> Spoil:
    def spoil(folder: Path) -> None:
        for name in ("modeling_x.py", "configuration_x.py", "tokenization_x.py"):
            _write(folder, name, _CODE + _CLASSES)
        _edit(folder, file, **changes)

    return spoil


def _setting(file: str, **changes: Any) -> Spoil:
    return lambda folder: _edit(folder, file, **changes)


_CLASS_MAP = {
    "AutoConfig": "configuration_x.Config",
    "AutoModel": "modeling_x.Model",
    "AutoModelForSequenceClassification": "modeling_x.Model",
}
_HOSTILE_TEMPLATE = "{{ ''.__class__.__mro__[1].__subclasses__() }}{% include '/etc/passwd' %}"

HOSTILE: dict[str, Spoil] = {
    **{f"{kind} instead of the weights": _instead("pytorch_model.bin", make) for kind, make in PICKLES.items()},
    **{f"{kind} named model.safetensors": _instead("model.safetensors", make) for kind, make in PICKLES.items()},
    **{f"{name} beside the weights": _beside(name, PICKLES["a zip of torch"]) for name in _BESIDE},
    **{f"code in {name}": _beside(name, lambda: _CODE) for name in _CODE_FILES},
    "code for the model": _code_named_by("config.json", auto_map=_CLASS_MAP),
    "code for a model of a new type": _code_named_by("config.json", auto_map=_CLASS_MAP, model_type="x"),
    "code for a model without a type": _code_named_by("config.json", auto_map=_CLASS_MAP, model_type=None),
    "code of another repository": _setting(
        "config.json", auto_map={name: f"org/repo--{path}" for name, path in _CLASS_MAP.items()}
    ),
    "code for the tokenizer": _code_named_by(
        "tokenizer_config.json",
        auto_map={"AutoTokenizer": ["tokenization_x.Tokenizer", "tokenization_x.Tokenizer"]},
        tokenizer_class="Tokenizer",
    ),
    "code for the tokenizer, named by the model": _code_named_by(
        "config.json", auto_map={"AutoTokenizer": ["tokenization_x.Tokenizer", "tokenization_x.Tokenizer"]}
    ),
    "a tokenizer of another module": _setting("tokenizer_config.json", tokenizer_class="subprocess.Popen"),
    "a kernel of a hub": _setting("config.json", attn_implementation="org/kernel"),
    "a kernel of a hub, in the private name": _setting("config.json", _attn_implementation="org/kernel:function"),
    "a kernel of a hub, in the internal name": _setting("config.json", _attn_implementation_internal="org/kernel"),
    "experts of a hub": _setting("config.json", _experts_implementation="org/kernel", use_kernels=True),
    "a type of numbers that is an expression": _setting(
        "config.json", dtype="float32); open('canary', 'w'", torch_dtype="os.system('touch canary')"
    ),
    "another repository as its name": _setting("config.json", _name_or_path="org/repo", name_or_path="org/repo"),
    **{
        f"quantized by {method}": _setting("config.json", quantization_config={"quant_method": method, "bits": 4})
        for method in ("gptq", "bitsandbytes", "quanto", "torchao", "compressed-tensors", "unknown")
    },
    "a template in the tokenizer": _setting("tokenizer_config.json", chat_template=_HOSTILE_TEMPLATE),
    "a template beside the tokenizer": _beside("chat_template.jinja", lambda: _HOSTILE_TEMPLATE),
    "a vocabulary of the system": _setting(
        "tokenizer_config.json", vocab_file="/etc/passwd", tokenizer_file="/etc/passwd", name_or_path="org/repo"
    ),
    "an adapter of a hub": _setting("adapter_config.json", base_model_name_or_path="org/repo", peft_type="LORA"),
    "a generation of a hub": _setting("generation_config.json", custom_generate="org/repo", trust_remote_code=True),
    "a switch that asks for trust": _setting("config.json", trust_remote_code=True, auto_map=_CLASS_MAP),
}


def main(root: Path) -> None:
    """Open each folder, and print what happened."""
    events: list[str] = []
    os.chdir(root)
    _watch_torch_load(events)
    make_artifact(root / "good", tiny_bert(root / "base"), LABELS)
    for number, (name, spoil) in enumerate({"nothing": lambda folder: None, **HOSTILE}.items()):
        artifact = root / str(number)
        shutil.copytree(root / "good", artifact)
        spoil(artifact / "model")
        if not number:
            _answers(artifact)  # the first time imports libraries and fills caches: not watched
            sys.addaudithook(lambda event, arguments: _note(events, event, arguments, root=str(root)))
        events.clear()
        answers = _answers(artifact)
        print(json.dumps({"name": name, **answers, "events": events}), flush=True)


def _answers(artifact: Path) -> dict[str, str]:
    return {
        "prepare": _answer(lambda: _prepared(artifact)),
        "train": _answer(lambda: _trained(artifact)),
        "serve": _answer(lambda: _served(artifact)),
    }


def _answer(opened: Callable[[], object]) -> str:
    try:
        opened()
    except Exception as error:  # noqa: BLE001  (whatever it is, the test shows it)
        return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
    return "opened"


def _prepared(artifact: Path) -> None:
    config = run_config(artifact)
    open_model(config.settings.model, task=TEXT_CLASSIFICATION, paths=config.paths)


def _trained(artifact: Path) -> None:
    """As a rank does. It leaves the checks to `prepare`, but must not run code either: the folder may change in between."""
    load_model(artifact / "model", task=TEXT_CLASSIFICATION, labels=LABELS, pad_token_id=0, dropout=None, seed=1)


def _served(artifact: Path) -> None:
    """As the server does with an artifact whose manifest lists every file."""
    manifest = write_manifest(artifact, LABELS, name="reviews", max_tokens=64, temperature=1.0)
    config = ServerConfig(
        namespace="default",
        name="reviews",
        revision="1",
        artifact_path=str(artifact),
        artifact_uri="pvc://work/artifact",
    )
    load(config, manifest, task_of(config, manifest))


def _watch_torch_load(events: list[str]) -> None:
    """Its own unpickler, for weights only, raises no audit event."""
    original = torch.load

    def noted(file: Any, *arguments: Any, **options: Any) -> Any:
        events.append(f"torch.load {file}")
        return original(file, *arguments, **options)

    torch.load = noted


def _note(events: list[str], event: str, arguments: tuple[Any, ...], *, root: str) -> None:
    is_code_of_folder = event == "exec" and str(getattr(arguments[0], "co_filename", "")).startswith(root)
    is_file_of_others = event == "open" and str(arguments[0]) in {"/etc/passwd", CANARY}
    if event in _WATCHED or is_code_of_folder or is_file_of_others:
        events.append(f"{event} {arguments!r}"[:200])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
