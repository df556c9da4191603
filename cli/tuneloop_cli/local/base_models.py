"""The model of another job in local mode: a session knows the jobs of earlier sessions, and puts the address of what they have published in place of `job://NAME`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import ValidationError

from tuneloop_api.v1alpha1 import FineTuneJob
from tuneloop_api.wire.uris import base_job
from tuneloop_cli.local.errors import NotAccepted
from tuneloop_operator.decide.base_model import base_model_refusals, published_model
from tuneloop_operator.decide.refusal import message_of
from tuneloop_operator.decide.unreadable import problems_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from tuneloop_operator.cluster import Manifest


def with_base_model(manifest: Manifest, stored: Callable[[str], Manifest | None]) -> Manifest:
    """Return a FineTuneJob with the address of its model. stored: finds a FineTuneJob by name. Raises NotAccepted where there is no model yet.

    So the job is another run once the other job has made another model.
    """
    name = base_job(manifest["spec"]["model"]["uri"])
    if name is None:
        return manifest
    base = _read(stored(name))
    if refusals := list(base_model_refusals(FineTuneJob.from_wire(manifest), base)):
        raise NotAccepted(message_of(refusals))
    published = published_model(base)
    assert published is not None  # else it is refused
    spec = manifest["spec"]
    return manifest | {"spec": spec | {"model": spec["model"] | {"uri": published["uri"]}}}


def _read(manifest: Manifest | None) -> FineTuneJob | str | None:
    if manifest is None:
        return None
    try:
        return FineTuneJob.from_wire(manifest)
    except ValidationError as error:
        return problems_of(error, model=FineTuneJob).message
