"""A base model that torch runs, with LoRA adapters in it: the base model is there once, each adapter adds its own small weights. PEFT injects them."""

from __future__ import annotations

import json
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from peft import LoraConfig, PeftModel, set_peft_model_state_dict
from peft.tuners.tuners_utils import BaseTunerLayer
from peft.utils.other import AuxiliaryTrainingWrapper
from safetensors.torch import load_file
from transformers import AutoConfig

from tuneloop_api.contract.artifact import ADAPTER_FOLDER, MODEL_FOLDER
from tuneloop_server.adapters import ADAPTER_CONFIG, ADAPTER_WEIGHTS, link_base
from tuneloop_server.artifact import link_checked_model
from tuneloop_server.load_errors import cannot_load
from tuneloop_server.runtimes.torch_model import UNREADABLE, load_weights, require_labels, require_whole

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tuneloop_api.contract.artifact import Manifest
    from tuneloop_api.contract.server_config import ServerConfig
    from tuneloop_server.adapters import Adapter, Adapters
    from tuneloop_server.runtimes.shared_tokenizers import SharedTokenizers
    from tuneloop_server.tasks.task import Task

T = TypeVar("T")
"""A tokenizer, as the task needs it."""

_READ = frozenset(
    [
        "alpha_pattern", "exclude_modules", "fan_in_fan_out", "lora_alpha", "modules_to_save", "r", "rank_pattern", "target_modules", "target_parameters",
        "use_rslora",
    ]
)  # fmt: skip
"""Settings of an adapter that say how its weights are used."""
_OF_TRAINING = frozenset(
    [
        "auto_mapping", "base_model_name_or_path", "inference_mode", "init_lora_weights", "lora_dropout", "peft_type", "peft_version", "revision",
        "task_type",
    ]
)  # fmt: skip
"""Settings that change nothing once the weights are there. All others must be PEFT's defaults: some name modules to import."""
_NOT_COMPUTED_WITH = frozenset(
    [
        "architectures", "dtype", "id2label", "label2id", "num_labels", "problem_type", "torch_dtype", "transformers_version", "use_cache",
    ]
)  # fmt: skip
"""Settings of a model that say where it comes from, or what its classes are called."""
_ENDS = frozenset(["bos_token_id", "eos_token_id", "pad_token_id"])
"""Settings that change no logits of the next token. A classifier finds the last token of a text by that which pads."""
OWN = "base"
"""Stands for the base model's own head and no adapter, where PEFT wants a name of an adapter."""


class Switch:
    """Chooses which adapter of the base model computes."""

    def __init__(self, model: PeftModel) -> None:
        self._layers: list[Any] = [
            module for module in model.modules() if isinstance(module, BaseTunerLayer | AuxiliaryTrainingWrapper)
        ]
        self._active: str | None = None

    def to(self, slot: str) -> None:
        """Let an adapter compute. slot: its name in PEFT, or `OWN`."""
        if slot == self._active:
            return
        for layer in self._layers:
            # PEFT's own way walks over all weights of all adapters to say which may be trained: that took a fifth of a pass with 8 adapters
            layer._active_adapter = [slot]  # noqa: SLF001
            layer._disable_adapters = slot == OWN  # noqa: SLF001
        self._active = slot


@dataclass(frozen=True, kw_only=True)
class _Base(Generic[T]):
    """A base model as its files have it."""

    model: Any
    absent: list[str]
    """Names of the weights that the files lack: each adapter must bring them."""
    tokenizer: T | None
    """None if the model does not answer for the task itself."""


@dataclass(frozen=True, kw_only=True)
class Part(Generic[T]):
    """One of the models on a base model."""

    name: str | None
    """By which clients ask for it; None: the base model itself."""
    slot: str
    """Its name in PEFT, or `OWN`."""
    tokenizer: T
    where: str
    """Its files, as a user names them."""


@dataclass(frozen=True, kw_only=True)
class AdaptedBase(Generic[T]):
    """A base model with all adapters in it."""

    model: PeftModel
    parts: list[Part[T]]


def load_adapted_base(
    config: ServerConfig,
    manifest: Manifest,
    adapters: Adapters,
    task: Task[Any],
    *,
    tokenizers: SharedTokenizers[T],
) -> AdaptedBase[T]:
    """Load a checked base model and its checked adapters from safetensors. Raises CannotServe, naming what was found and what is expected."""
    base = _base_model(config, manifest, adapters, task, tokenizers)
    model, loaded = _with_adapters(base, adapters, tokenizers=tokenizers, generates=task.generating is not None)
    parts = [
        Part(name=adapter.name, slot=_slot(number), tokenizer=tokenizer, where=_place(adapter))
        for number, (adapter, tokenizer) in enumerate(zip(adapters.adapters, loaded, strict=True))
    ]
    if base.tokenizer is not None:
        parts.insert(0, Part(name=None, slot=OWN, tokenizer=base.tokenizer, where=_base_place(config)))
    return AdaptedBase(model=model, parts=parts)


def _base_place(config: ServerConfig) -> str:
    return f"{config.artifact_uri}: the base model"


def _place(adapter: Adapter) -> str:
    return f"spec.adapters: {adapter.name}: {adapter.place.artifact_uri}: {ADAPTER_FOLDER}/"


def _slot(number: int) -> str:
    """Return the name of an adapter in PEFT. Names that users choose may be those of functions of torch's dictionaries, such as `update`."""
    return f"a{number}"


def _base_model(
    config: ServerConfig, manifest: Manifest, adapters: Adapters, task: Task[Any], tokenizers: SharedTokenizers[T]
) -> _Base[T]:
    """Raises CannotServe."""
    with read_as(_base_place(config)), tempfile.TemporaryDirectory(prefix="tuneloop-base-") as temporary:
        folder = Path(temporary)
        if not adapters.has_own_model:
            link_base(config, adapters, folder=folder)
            model, absent = load_weights(folder, task, ignore_mismatched_sizes=True)
            return _Base(model=model, absent=absent, tokenizer=None)
        link_checked_model(config, manifest, folder=folder)
        model, absent = load_weights(folder, task)
        require_whole(absent)
        require_labels(model.config, manifest)
        return _Base(model=model, absent=[], tokenizer=tokenizers.load(folder, manifest, name=MODEL_FOLDER))


def _with_adapters(
    base: _Base[T], adapters: Adapters, *, tokenizers: SharedTokenizers[T], generates: bool
) -> tuple[PeftModel, list[T]]:
    """Return the base model with all adapters in it, and the tokenizer of each. Raises CannotServe."""
    loaded = []
    model: PeftModel | None = None
    for number, adapter in enumerate(adapters.adapters):
        with read_as(_place(adapter)), tempfile.TemporaryDirectory(prefix="tuneloop-adapter-") as temporary:
            folder = Path(temporary)
            link_checked_model(adapter.place, adapter.manifest, folder=folder, name=ADAPTER_FOLDER)
            _check_config(folder, adapter, base=base.model, ignored=_ENDS if generates else frozenset())
            settings = _settings(folder / ADAPTER_CONFIG)
            _require_head(settings.modules_to_save or [], base.absent)
            if settings.modules_to_save and generates:
                raise ValueError(_whole_modules(settings.modules_to_save))
            if model is None:
                model = PeftModel(base.model, settings, adapter_name=_slot(number))
            else:
                model.add_adapter(_slot(number), settings)
            _fill(model, folder / ADAPTER_WEIGHTS, slot=_slot(number))
            loaded.append(tokenizers.load(folder, adapter.manifest, name=ADAPTER_FOLDER))
    assert model is not None  # the configuration names one adapter at least
    return model.eval(), loaded


def _check_config(folder: Path, adapter: Adapter, *, base: Any, ignored: frozenset[str]) -> None:
    """Raise ValueError if the adapter's configuration of the model has other labels than its manifest, or computes otherwise than that of the base model."""
    config = AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    require_labels(config, adapter.manifest)
    found, expected = config.to_dict(), base.config.to_dict()
    for name in sorted(found.keys() | expected.keys()):
        if found.get(name) != expected.get(name) and name not in ignored and _is_computed_with(name):
            raise ValueError(
                f"config.json has {name} {found.get(name)}, expected {expected.get(name)} as in the base model"
            )


def _is_computed_with(name: str) -> bool:
    """Whether a setting of a model changes what it answers. Parts of composite models are not looked into."""
    is_dropout = "dropout" in name or name.endswith("pdrop")
    return not (is_dropout or name in _NOT_COMPUTED_WITH or name.startswith("_") or name.endswith("_config"))


def _settings(path: Path) -> LoraConfig:
    """Return an adapter's settings. Raises ValueError for one that this server does not know."""
    given = json.loads(path.read_bytes())
    if not isinstance(given, dict) or given.get("peft_type") != "LORA":
        raise ValueError(f"{path.name} describes no LoRA adapter (peft_type: LORA)")
    defaults = LoraConfig().to_dict()
    for name in sorted(given.keys() - _READ - _OF_TRAINING):
        if given[name] and given[name] != defaults.get(name):
            raise ValueError(
                f"{path.name}: {name}: {str(given[name])[:60]} is not known to this server, expected {defaults.get(name)}"
            )
    for name in ("target_modules", "exclude_modules", "modules_to_save", "target_parameters"):
        if not isinstance(given.get(name) or [], list):
            raise ValueError(  # noqa: TRY004  (what every damaged file raises here)
                f"{path.name}: {name}: {str(given[name])[:60]} was given, expected a list of names"
            )
    return LoraConfig(**{name: given[name] for name in sorted(_READ & given.keys())}, inference_mode=True)


def _require_head(saved: Sequence[str], absent: Sequence[str]) -> None:
    """Raise ValueError unless an adapter brings every weight that the base model's files lack."""
    lacking = [key for key in absent if not any(f".{module}." in f".{key}" for module in saved)]
    if lacking:
        raise ValueError(f"neither the base model nor the adapter has {', '.join(lacking[:5])}")


def _whole_modules(saved: Sequence[str]) -> str:
    return f"{ADAPTER_CONFIG}: modules_to_save: {', '.join(saved)[:60]} was given; allowed are low-rank weights alone where answers of several adapters grow together"


def _fill(model: PeftModel, weights: Path, *, slot: str) -> None:
    """Read the weights of an adapter. Raises ValueError unless they are all there, and no others."""
    report = set_peft_model_state_dict(model, load_file(weights), adapter_name=slot)
    if report.unexpected_keys:
        raise ValueError(
            f"{weights.name} has weights of no layer of the base model, such as {report.unexpected_keys[0]}"
        )
    own = [key for key in report.missing_keys if f".{slot}." in f"{key}."]
    if own:
        raise ValueError(f"{weights.name} lacks {', '.join(own[:5])}")


@contextmanager
def read_as(what: str) -> Iterator[None]:
    """Turn what the libraries raise into CannotServe. what: the files, as a user names them."""
    try:
        yield
    except UNREADABLE as error:
        raise cannot_load(what, error) from error
