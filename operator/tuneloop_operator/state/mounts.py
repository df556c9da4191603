"""Pods that may wait for a volume: when to read why, since only Events say that a Secret or ConfigMap is missing. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_operator.state.observed import CREATING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from tuneloop_operator.state.observed import ObservedPod

_AFTER_SECONDS = 10.0
"""How long a container may be in creation before the Events of its pod are read."""
_LONGEST_WAIT_SECONDS = 60.0


def unread_mounts(pods: Iterable[ObservedPod], *, is_expected: bool, now: datetime) -> tuple[str, ...]:
    """Return the uid of the first pod whose volumes should be mounted by now, and whose Events have not been read; else nothing.

    One pod is enough: all pods of a set have the same volumes. is_expected: whether the pods have volumes that the user or the administrator fills.
    """
    late = next((pod for pod in _waiting(pods, is_expected=is_expected) if _age(pod, now) >= _AFTER_SECONDS), None)
    return (late.uid,) if late is not None and late.mount_failure is None else ()


def mounts_in(pods: Iterable[ObservedPod], *, is_expected: bool, now: datetime) -> float | None:
    """Return the seconds until Events are to be read again; None if no pod waits. An image may take minutes, so that the waits grow."""
    ages = [_age(pod, now) for pod in _waiting(pods, is_expected=is_expected)]
    if not ages:
        return None
    oldest = max(ages)
    return _AFTER_SECONDS - oldest if oldest < _AFTER_SECONDS else min(oldest, _LONGEST_WAIT_SECONDS)


def _waiting(pods: Iterable[ObservedPod], *, is_expected: bool) -> list[ObservedPod]:
    """Return the pods whose containers are in creation; none without volumes that others fill."""
    return [pod for pod in pods if pod.waiting == CREATING] if is_expected else []


def _age(pod: ObservedPod, now: datetime) -> float:
    return (now - pod.created).total_seconds()
