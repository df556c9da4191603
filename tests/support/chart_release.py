"""A release of our chart on a real API server: `Release`, and the whole life of one as `Life`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from helm_chart import CHART, ROOT, Helm, identity, parsed
from waiting import until

Manifest = dict[str, Any]
CRD_NAMES = ["finetunejobs.tuneloop.dev", "modeldeployments.tuneloop.dev"]
JOB = ROOT / "examples/reviews/job.yaml"
OURS = "app.kubernetes.io/instance=tuneloop"
NO_PODS = {"replicas": 0}
"""No pod ever becomes ready here, because there is no kubelet."""
_KINDS = "deployments,services,secrets,configmaps,serviceaccounts,roles,rolebindings,networkpolicies,clusterroles,clusterrolebindings,validatingadmissionpolicies,validatingadmissionpolicybindings,crds"


class Release:
    """A release named `tuneloop`."""

    def __init__(self, helm: Helm, plane: Any, namespace: str) -> None:
        self._helm, self.plane, self.namespace = helm, plane, namespace

    def install(self, values: Manifest | None = None) -> str:
        """Install; returns what Helm says."""
        return self._must("install", "tuneloop", str(CHART), values=NO_PODS | (values or {}))

    def upgrade(self, values: Manifest) -> str:
        """Upgrade to other values."""
        return self._must("upgrade", "tuneloop", str(CHART), values=NO_PODS | values)

    def uninstall(self) -> str:
        """Take the release away."""
        return self._must("uninstall", "tuneloop")

    def stored(self) -> list[Manifest]:
        """Return the objects that Helm keeps as those of the release."""
        return parsed(self._helm.must("get", "manifest", "tuneloop", "--namespace", self.namespace))

    def get(self, *arguments: str) -> Any:
        """Return what kubectl gets in the release's namespace."""
        found = self.plane.kubectl("get", "-n", self.namespace, *arguments, "-o", "json")
        assert found.returncode == 0, found.stderr
        return json.loads(found.stdout)

    def apply_job(self) -> None:
        """Apply the job of the examples."""
        applied = self.plane.kubectl("apply", "-n", self.namespace, "-f", str(JOB))
        assert applied.returncode == 0, applied.stderr

    def _must(self, *arguments: str, values: Manifest | None = None) -> str:
        return self._helm.must(*arguments, "--wait", "--timeout", "60s", "--namespace", self.namespace, values=values)


@dataclass(frozen=True, kw_only=True)
class Upgrades:
    """What two upgrades did: one with other values, and one to another name of the service."""

    certificates: list[Manifest]
    """The secret's data before both, between them, and after both."""
    crd: Manifest
    """A CRD after both; something had been taken from it before."""


@dataclass(frozen=True, kw_only=True)
class Life:
    """What was found in the life of a release: installed, upgraded, uninstalled with a job that stays, installed again, uninstalled."""

    release: Release
    notes: str
    """What the first install said."""
    stored: list[Manifest]
    """The objects of the first install, as Helm keeps them."""
    live: list[Manifest]
    """The same objects in the same order, as the API server keeps them."""
    crds_beside: list[Manifest]
    """Our CRDs after another release, which brings none, has come and gone."""
    upgrades: Upgrades
    left: list[Manifest]
    """What has the release's label after the uninstall, in any namespace."""
    secrets_left: list[Manifest]
    certificates: list[Manifest]
    """The secret's data before the first uninstall, and after the second install."""
    jobs: list[list[Manifest]]
    """The jobs before the uninstall, after it, and after the second install."""


def live_through(release: Release, beside: Release) -> Life:
    """Let a release live. `beside`: another one, in a namespace of its own."""
    notes, stored = release.install(), release.stored()
    live = [release.get(kind, name, *_namespace_flag(home, release)) for kind, home, name in map(identity, stored)]
    beside.install({"crds": {"install": False}})
    beside.uninstall()
    crds_beside = release.get("crds", "-l", OURS)["items"]
    upgrades = _upgrade_twice(release)
    release.apply_job()
    jobs, certificates = [_jobs(release)], [_certificate(release)]
    release.uninstall()
    jobs.append(_jobs(release))
    left, secrets_left = release.get(_KINDS, "-A", "-l", OURS)["items"], release.get("secrets")["items"]
    release.install({"progress": {"service": "ml-progress"}})
    jobs.append(_jobs(release))
    certificates.append(_certificate(release))
    release.uninstall()
    return Life(
        release=release,
        notes=notes,
        stored=stored,
        live=live,
        crds_beside=crds_beside,
        upgrades=upgrades,
        left=left,
        secrets_left=secrets_left,
        certificates=certificates,
        jobs=jobs,
    )


def _namespace_flag(home: str | None, release: Release) -> tuple[str, ...]:
    return () if home == release.namespace else ("-A",)


def _jobs(release: Release) -> list[Manifest]:
    found: list[Manifest] = release.get("finetunejobs")["items"]
    return found


def _upgrade_twice(release: Release) -> Upgrades:
    patch = '[{"op": "remove", "path": "/spec/versions/0/additionalPrinterColumns"}]'
    patched = release.plane.kubectl("patch", "crd", CRD_NAMES[0], "--type=json", "-p", patch)
    assert patched.returncode == 0, patched.stderr
    certificates = [_certificate(release)]
    for values in ({"workers": 3}, {"progress": {"service": "ml-progress"}}):
        release.upgrade(values)
        certificates.append(_certificate(release))
    return Upgrades(certificates=certificates, crd=release.get("crd", CRD_NAMES[0]))


def _certificate(release: Release) -> Manifest:
    data: Manifest = release.get("secret", "tuneloop-progress-tls")["data"]
    return data


def remove_crds(plane: Any) -> None:
    """Delete the CRDs, with all objects of our kinds."""
    if plane.kubectl("get", "crd", *CRD_NAMES).returncode != 0:
        return
    wait_for_storage(plane)
    deleted = plane.kubectl("delete", "crd", *CRD_NAMES, "--timeout=120s")
    assert deleted.returncode == 0, deleted.stderr


def wait_for_storage(plane: Any) -> None:
    """Wait for the storage of our kinds: where a CRD is deleted earlier, the API server's own finalizer waits for minutes."""
    for name in CRD_NAMES:
        path = f"/apis/tuneloop.dev/v1alpha1/{name.partition('.')[0]}?resourceVersion=0"
        until(lambda path=path: plane.request("GET", path).status == 200, seconds=30, what=f"the storage of {name}")
