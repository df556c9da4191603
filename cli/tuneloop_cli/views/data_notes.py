"""What a person should know of the data of a job. Pure."""

from __future__ import annotations

from tuneloop_cli.views.values import Manifest, at


def data_notes(job: Manifest) -> list[str]:
    """Return the notes of the condition Prepared, one sentence each: its message holds them below the numbers of rows."""
    conditions = at(job, "status.conditions") or []
    message = next((c.get("message", "") for c in conditions if c["type"] == "Prepared" and c["status"] == "True"), "")
    return [f"data: {line}" for line in message.splitlines()[1:]]
