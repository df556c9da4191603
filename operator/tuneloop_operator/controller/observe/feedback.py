"""The ModelDeployments whose feedback is read: by sources of a FineTuneJob, or of a run that a loop will start."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from tuneloop_api.v1alpha1 import ModelDeployment
from tuneloop_api.wire.uris import feedback_deployment
from tuneloop_operator.decide.unreadable import problems_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tuneloop_operator.controller.store import Store


def deployments_named(store: Store, *, namespace: str, names: Iterable[str]) -> dict[str, ModelDeployment | str]:
    """Return ModelDeployments by name; for one that cannot be read the reason. One that does not exist is absent."""
    found: dict[str, ModelDeployment | str] = {}
    for name in names:
        manifest = store.get("ModelDeployment", namespace=namespace, name=name)
        if manifest is None:
            continue
        try:
            found[name] = ModelDeployment.from_wire(manifest)
        except ValidationError as error:
            found[name] = problems_of(error, model=ModelDeployment).message
    return found


def feedback_names(sources: Any) -> Iterator[str]:
    """Yield the deployments of `feedback://` sources in a stored list; whether it fits the model is not known."""
    for source in sources if isinstance(sources, list) else ():
        uri = source.get("uri") if isinstance(source, dict) else None
        if isinstance(uri, str) and (name := feedback_deployment(uri)):
            yield name
