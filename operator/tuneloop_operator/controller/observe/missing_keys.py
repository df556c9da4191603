"""Which keys of a Secret or ConfigMap a pod needs that the kubelet does not find: the kubelet names the object alone."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tuneloop_api.wire.names import HUB_TOKEN
from tuneloop_operator.desired.fine_tune_job.stage_job import TOKEN_KEY

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tuneloop_api.v1alpha1 import FineTuneJob
    from tuneloop_api.v1alpha1.pods import PodOptions
    from tuneloop_api.wire.names import Stage

_NOT_FOUND = re.compile(r'(secret|configmap) "([^"]+)" not found')
"""The kubelet's words."""


@dataclass(frozen=True, kw_only=True)
class Needed:
    """One variable that the kubelet reads from an object."""

    variable: str
    kind: str
    """In the kubelet's words: secret or configmap."""
    name: str
    key: str


def with_keys(message: str, needed: Iterable[Needed]) -> str:
    """Return what the kubelet says of a pod that waits, with the keys that are needed of the object which is not there."""
    missing = _NOT_FOUND.search(message)
    if missing is None:
        return message
    keys = [f"key {need.key} for {need.variable}" for need in needed if (need.kind, need.name) == missing.groups()]
    return f"{message}; needed: {', '.join(keys)}" if keys else message


def variables_of_job(job: FineTuneJob, *, stage: Stage) -> Iterator[Needed]:
    """Yield what the pods of a stage need for the variables that the job names."""
    token = job.spec.model.secret_ref
    if token is not None and stage == "prepare":
        yield Needed(variable=HUB_TOKEN, kind="secret", name=token.name, key=token.key or TOKEN_KEY)
    yield from variables_of(job.spec)


def variables_of(options: PodOptions) -> Iterator[Needed]:
    """Yield what the pods of an object need for the variables in its `env`."""
    for variable in options.env or ():
        references = {"secret": variable.secret_key_ref, "configmap": variable.config_map_key_ref}
        for kind, reference in references.items():
            if reference is not None and not reference.optional:
                yield Needed(variable=variable.name, kind=kind, name=reference.name, key=reference.key)
