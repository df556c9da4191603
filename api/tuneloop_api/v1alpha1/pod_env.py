"""Environment variables of the pods of both kinds: what a spec may set, and the names that are ours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, TypeAlias

from pydantic import Field

from tuneloop_api.v1alpha1.common import Name
from tuneloop_api.wire.model import SpecModel
from tuneloop_api.wire.rules import exactly_one
from tuneloop_api.wire.text_formats import OBJECT_KEY, VARIABLE_NAME, VARIABLE_VALUE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ObjectKey: TypeAlias = Annotated[str, OBJECT_KEY.text(most=253)]

_PREFIX = "TUNELOOP_"
_LINKER_PREFIX = "LD_"
_BY_OPERATOR = "the operator sets it"
_BY_SUPERVISOR = "the supervisor of the ranks sets it"
_BY_DEVICES = "it follows from the GPUs that the pod asks for"
_BY_IMAGE = "the programs of the image rely on it"
_RESERVED = (
    dict.fromkeys(("HOME", "POD_NAME", "POD_UID", "NODE_RANK", "JOB_COMPLETION_INDEX"), _BY_OPERATOR)
    | dict.fromkeys(("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"), _BY_SUPERVISOR)
    | dict.fromkeys(("CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "DS_ACCELERATOR"), _BY_DEVICES)
    | dict.fromkeys(("PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "PYTHONUSERBASE", "PYTHONINSPECT", "PATH"), _BY_IMAGE)
    | dict.fromkeys(("TORCH_FORCE_WEIGHTS_ONLY_LOAD", "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"), "a file of weights must not run code")
    | {
        "HF_HUB_OFFLINE": "only prepare reads the hub, and only for hf:// models",
    }
)  # fmt: skip


class KeyReference(SpecModel):
    """One key of a Secret or ConfigMap in this namespace."""

    name: Name
    """Name of the Secret or ConfigMap in this namespace. For example `trackers`."""
    key: ObjectKey
    """Key in it whose value the variable gets. For example `api-key`."""
    optional: bool | None = None
    """Whether the pods start without the variable where the object or its key is missing. Default: false, they wait and say what is missing."""


class EnvVariable(SpecModel):
    """One environment variable: a value, or where the kubelet finds the value."""

    name: Annotated[str, VARIABLE_NAME.text(most=256)]
    """Name of the variable, each at most once. Names that our programs set or rely on are refused. For example `WANDB_API_KEY`."""
    value: Annotated[str, VARIABLE_VALUE.text(most=4096)] | None = None
    """Text of the variable, which everyone may read who may read this object; `$(NAME)` stands for an earlier variable. Not together with a reference.
    For example `http://proxy.example.com:3128`."""
    secret_key_ref: KeyReference | None = None
    """Key of a Secret that holds the value; only the kubelet reads it. Not together with `value`. For example `{name: trackers, key: api-key}`."""
    config_map_key_ref: KeyReference | None = None
    """Key of a ConfigMap that holds the value. Not together with `value`. For example `{name: proxies, key: https}`."""

    rules = (exactly_one("value", "secret_key_ref", "config_map_key_ref"),)


Env: TypeAlias = Annotated[list[EnvVariable], Field(max_length=64)]


@dataclass(frozen=True, kw_only=True)
class VariableRefusal:
    """A variable that cannot be set, and why."""

    number: int
    """Place in the list, from 0."""
    name: str
    allowed: str
    """What is allowed, as part of a sentence."""
    example: str = "WANDB_API_KEY"


def refused_variables(variables: Sequence[EnvVariable]) -> Iterator[VariableRefusal]:
    """Yield the variables whose names are ours, or repeat an earlier one."""
    first: dict[str, int] = {}
    for number, variable in enumerate(variables):
        name = variable.name
        earlier = first.setdefault(name, number)
        if why := reserved(name):
            yield VariableRefusal(number=number, name=name, allowed=f"any other name is allowed: {why}")
        elif earlier != number:
            allowed = f"each variable is named once; env[{earlier}] has this name, too"
            yield VariableRefusal(number=number, name=name, allowed=allowed)


def reserved(name: str) -> str | None:
    """Return why a spec may not set the variable; None if it may."""
    if name.startswith(_PREFIX):
        return f"names with {_PREFIX} are those of our programs"
    if name.startswith(_LINKER_PREFIX):
        return f"names with {_LINKER_PREFIX} are those of the dynamic linker, on which the programs of the image rely"
    return _RESERVED.get(name)
