"""What the administrator gives to all pods of all objects: `children.defaults` of the chart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator

from tuneloop_api.v1alpha1.pod_env import Env, EnvVariable, refused_variables
from tuneloop_api.v1alpha1.pod_keys import KeyRefusal, refused_annotations, refused_labels, refused_node_labels
from tuneloop_api.v1alpha1.pods import Annotations, Labels, PullSecrets, Tolerations
from tuneloop_api.wire.model import SpecModel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator


def _none_of(refused: Callable[[Iterable[str]], Iterator[KeyRefusal]]) -> AfterValidator:
    def check(values: dict[str, str]) -> dict[str, str]:
        for refusal in refused(values):
            raise ValueError(f"{refusal.key}: {refusal.allowed}; for example {refusal.example}")
        return values

    return AfterValidator(check)


def _variables(variables: list[EnvVariable]) -> list[EnvVariable]:
    for refusal in refused_variables(variables):
        raise ValueError(f"env[{refusal.number}].name {refusal.name}: {refusal.allowed}; for example {refusal.example}")
    return variables


class PodDefaults(SpecModel):
    """Fields of all pods. What an object says itself is added, and wins where both name the same key."""

    node_selector: Annotated[Labels, _none_of(refused_node_labels)] | None = None
    tolerations: Tolerations | None = None
    image_pull_secrets: PullSecrets | None = None
    labels: Annotated[Labels, _none_of(refused_labels)] | None = None
    annotations: Annotated[Annotations, _none_of(refused_annotations)] | None = None
    env: Annotated[Env, AfterValidator(_variables)] | None = None
