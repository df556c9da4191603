"""The seam of local mode: what a session needs to know of one kind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from tuneloop_cli.local.kubelet.pod_plan import Folders
    from tuneloop_cli.local.overlay import Hardware, Overlay
    from tuneloop_cli.local.submission import Submission
    from tuneloop_operator.cluster import Manifest


@dataclass(frozen=True, kw_only=True)
class LocalKind:
    """The life of one kind's objects in local mode."""

    with_base_model: Callable[[Manifest, Callable[[str], Manifest | None]], Manifest]
    """Returns the manifest with the address of its model in place of `job://NAME`, given what finds a stored FineTuneJob. Raises NotAccepted where there is none."""
    fit: Callable[[Manifest, Hardware, Manifest | None], Overlay]
    """Returns the manifest as this machine can run it, given the stored object; with its uid if that is derived from the spec."""
    submission: Callable[[Manifest, Manifest | None], Submission]
    """Returns what submitting a fitted manifest does, given the stored object."""
    first_status: Callable[[Manifest, Folders, Manifest | None], dict[str, Any] | None]
    """Returns the status that a new object begins with, given the object that it replaces; None: no status."""
    feedback_places: Callable[[Manifest, Callable[[str], Manifest | None]], dict[str, str]]
    """Returns where the feedback is that the object reads, by ModelDeployment, given what finds a stored one. Raises NotAccepted where one keeps none."""
    remarks: Callable[[Manifest, Folders, Manifest | None], list[str]]
    """Returns lines for people about a fitted manifest that replaces the stored object."""
    claim_written: Callable[[Manifest], str | None]
    """Returns the claim whose folder is made for the object."""
    jobs_read: Callable[[Manifest], list[str]]
    """Returns the names of the FineTuneJobs whose artifacts the object uses."""
    can_suspend: bool
    """Whether the object has `spec.suspend`: it saves a checkpoint and stops before the session ends."""
