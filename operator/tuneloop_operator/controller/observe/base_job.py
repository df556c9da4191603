"""A FineTuneJob that another object names: whose model is served, or is what another job begins with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import ValidationError

from tuneloop_api.v1alpha1 import FineTuneJob
from tuneloop_operator.decide.unreadable import problems_of

if TYPE_CHECKING:
    from tuneloop_operator.controller.store import Store


def job_named(store: Store, *, namespace: str, name: str | None) -> FineTuneJob | str | None:
    """Return a FineTuneJob, or why it cannot be read; None if there is none, or none is named."""
    stored = None if name is None else store.get("FineTuneJob", namespace=namespace, name=name)
    if stored is None:
        return None
    try:
        return FineTuneJob.from_wire(stored)
    except ValidationError as error:
        return problems_of(error, model=FineTuneJob).message
