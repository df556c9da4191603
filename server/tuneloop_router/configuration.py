"""What Envoy runs: writes its files, and changes from one split to the next without a request that finds no cluster."""

from __future__ import annotations

import http.client
import time
from typing import TYPE_CHECKING, Any

from tuneloop_router.admin import Admin
from tuneloop_router.answered import AnsweredRequests
from tuneloop_router.envoy_config import bootstrap, clusters, routes
from tuneloop_router.envoy_config.clusters import revision_cluster_name
from tuneloop_router.envoy_config.stats import (
    CLUSTERS_REFUSED,
    CLUSTERS_VERSION,
    ROUTES_REFUSED,
    ROUTES_VERSION,
    WARMING_CLUSTERS,
    healthy_servers,
)
from tuneloop_router.errors import Refused
from tuneloop_router.files import write_json
from tuneloop_router.log import say

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tuneloop_router.settings import Settings
    from tuneloop_router.split import Split

_LONGEST_SECONDS = 20.0
"""For Envoy to take a file. New clusters resolve names and check health first."""
_PAUSE_SECONDS = 0.01
_SPARE_SECONDS = 15.0
"""Clusters outlive their split until its servers have drained, and so much longer: what waits for a server is made again, by the cluster's name, when the server dies."""


def left_since(left: Mapping[float, Split], moment: float) -> dict[float, Split]:
    """Return the splits that were left later than a moment, by the time at which they were."""
    return {time_left: split for time_left, split in left.items() if time_left > moment}


class Configuration:
    """Envoy's files. `split` is the newest that was taken."""

    def __init__(self, settings: Settings, split: Split) -> None:
        self._settings, self._places = settings, settings.places
        self._admin = Admin(settings.places.admin_socket)
        self._answered = AnsweredRequests(self._admin)
        self._writes = 0
        self._found: set[str] = set()
        """Names of the revisions of which a ready server was found."""
        self.split = split
        self._left: dict[float, Split] = {}
        """Splits whose clusters are kept, the oldest first, by the time at which they were left."""

    def write_all(self) -> None:
        """Write the files that Envoy starts with."""
        settings = self._settings
        start = bootstrap(
            settings.deployment,
            self._places,
            upload_seconds=settings.upload_seconds,
            most_connections=settings.most_connections,
            memory_bytes=settings.memory_bytes,
        )
        write_json(self._places.clusters, clusters(self.split, version=self._next_version(self.split)))
        write_json(self._places.routes, self._routes(self.split))
        write_json(self._places.bootstrap, start)

    def wait_for_start(self) -> None:
        """Return when Envoy runs the split that it was started with. Raises Refused."""
        self._wait_for(ROUTES_VERSION, str(self.split.generation), refused=ROUTES_REFUSED, before={}, seconds=None)
        self._remember()

    def apply(self, split: Split) -> None:
        """Make before break: all clusters of old and new, then the routes. `drop_old_clusters` removes what only the old split needs.

        Raises Refused, and OSError where a file cannot be written; the old split then stays in force.
        """
        old = self.split
        try:
            self._put_clusters(split, also=[*self._left.values(), old])
            self._put_routes(split)
        except (Refused, OSError):
            write_json(self._places.routes, self._routes(old))
            version = self._next_version(old)
            write_json(self._places.clusters, clusters(old, version=version, also=self._left.values()))
            raise
        self._answered.begin()
        self.split = split
        self._remember()
        self._left[time.monotonic()] = old

    def drop_old_clusters(self) -> None:
        """Remove the clusters of splits whose servers have drained."""
        kept = left_since(self._left, time.monotonic() - self._settings.drain_seconds - _SPARE_SECONDS)
        if len(kept) == len(self._left):
            return
        self._left = kept
        try:
            self._put_clusters(self.split, also=kept.values())
        except (Refused, OSError) as error:
            say(f"generation {self.split.generation} is in force, and clusters of earlier ones stay: {error}")

    def answered(self) -> dict[str, int] | None:
        """Return how many requests each revision of the split has answered since the split came into force; None where Envoy does not say."""
        return self._answered.of({revision.name: self.split.hash_of(revision) for revision in self.split.revisions})

    def has_servers(self) -> bool:
        """Whether a ready server was found, at any time, for some revision that gets requests.

        One is enough: a canary without servers falls back to stable, and the way from a stable without servers must stay open.
        """
        statistics = {
            revision.name: healthy_servers(revision_cluster_name(self.split, revision))
            for revision in self.split.revisions
            if revision.weight
        }
        if not self._found & statistics.keys():
            found = self._stats(tuple(statistics.values()))
            self._found |= {name for name, statistic in statistics.items() if int(found.get(statistic, 0))}
        return bool(self._found & statistics.keys())

    def _put_clusters(self, split: Split, *, also: Iterable[Split]) -> None:
        version = self._next_version(split)
        before = self._stats(CLUSTERS_REFUSED)
        write_json(self._places.clusters, clusters(split, version=version, also=also))
        self._wait_for(CLUSTERS_VERSION, version, refused=CLUSTERS_REFUSED, before=before)
        self._wait_for(WARMING_CLUSTERS, "0", refused=(), before={})

    def _put_routes(self, split: Split) -> None:
        before = self._stats(ROUTES_REFUSED)
        write_json(self._places.routes, self._routes(split))
        self._wait_for(ROUTES_VERSION, str(split.generation), refused=ROUTES_REFUSED, before=before)

    def _wait_for(
        self,
        name: str,
        value: str,
        *,
        refused: tuple[str, ...],
        before: dict[str, str],
        seconds: float | None = _LONGEST_SECONDS,
    ) -> None:
        """Wait until a statistic has a value. Raises Refused when the counts of refused files grow, or after a while."""
        begun = time.monotonic()
        while True:
            found = self._stats((name, *refused))
            if found.get(name) == value:
                return
            if any(int(found.get(count, 0)) > int(before.get(count, 0)) for count in refused):
                raise Refused("Envoy refuses the configuration; its log says why")
            if seconds is not None and time.monotonic() - begun > seconds:
                raise Refused(
                    f"Envoy did not take the configuration within {seconds:g} s ({name} is {found.get(name)})"
                )
            time.sleep(_PAUSE_SECONDS)

    def _stats(self, names: tuple[str, ...]) -> dict[str, str]:
        """Return the statistics; none while Envoy does not answer, as when it starts."""
        try:
            return self._admin.stats(names)
        except (OSError, http.client.HTTPException):
            return {}

    def _routes(self, split: Split) -> dict[str, Any]:
        return routes(split, hosts=self._places.hosts)

    def _next_version(self, split: Split) -> str:
        """Return a version of the clusters that was never written before."""
        self._writes += 1
        return f"{split.generation}.{self._writes}"

    def _remember(self) -> None:
        try:
            write_json(self._places.state, self.split.to_json())
        except OSError as error:
            say(f"{self._places.state}: a restart would begin with an older split ({error.strerror})")
