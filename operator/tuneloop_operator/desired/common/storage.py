"""Claims, their mount paths, and the folder of a job on its claim."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tuneloop_api.contract.run_config import Paths
from tuneloop_api.wire.uris import FILE_SCHEME, ClaimPath, claim_path, object_path

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tuneloop_api.v1alpha1 import FineTuneJob, FineTuneJobSpec


def mount_path(claim: str) -> str:
    """Return the path at which every pod mounts a claim."""
    return f"/tuneloop/claims/{claim}"


def claim_of(uri: str) -> str | None:
    """Return the claim of `pvc://CLAIM/PATH`, None for another URI."""
    place = claim_path(uri)
    return place.claim if place else None


def path_of(uri: str) -> str:
    """Return the path in a pod of `pvc://CLAIM/PATH` or `file:///PATH`. Raises ValueError for another URI."""
    if place := claim_path(uri):
        return f"{mount_path(place.claim)}/{place.path}"
    if uri.startswith(FILE_SCHEME):
        return uri.removeprefix(FILE_SCHEME)
    raise ValueError(f"{uri} is no path: pvc://CLAIM/PATH is one")


def claims_of(spec: FineTuneJobSpec) -> frozenset[str]:
    """Return the claims that the job reads: of its model, its sources, the checkpoint that it resumes from, and the model that it is compared with."""
    beside = spec.evaluation.compare_with if spec.evaluation else None
    resumed = spec.checkpoint.resume_from if spec.checkpoint else None
    addresses = [spec.model.uri, *(source.uri for _, source in spec.sources), resumed, beside.uri if beside else None]
    claims = (claim_of(address) for address in addresses if address is not None)
    return frozenset(claim for claim in claims if claim is not None)


@dataclass(frozen=True, kw_only=True)
class JobStorage:
    """The claims of one job."""

    claim: str
    """The claim that the job writes to."""
    sub_path: str | None
    read_only: frozenset[str]
    """Claims that the job only reads."""
    feedback: Mapping[str, str] = field(default_factory=dict)
    """Address of the rows of each ModelDeployment whose feedback `prepare` reads: on a claim or in a bucket."""
    feedback_secrets: Mapping[str, str] = field(default_factory=dict)
    """Secret that opens those buckets for each kind of object storage, by scheme."""

    @property
    def feedback_claims(self) -> frozenset[str]:
        """The further claims that `prepare` reads."""
        claims = map(claim_of, self.feedback.values())
        return frozenset(claim for claim in claims if claim is not None) - self.read_only - {self.claim}

    @property
    def feedback_paths(self) -> dict[str, str] | None:
        """Folder of the rows of each ModelDeployment, or their address in a bucket; None where no feedback is read."""
        return {name: uri if object_path(uri) else path_of(uri) for name, uri in self.feedback.items()} or None

    def paths(self, job: FineTuneJob) -> Paths:
        """Return the paths that the job's stages use."""
        inside = f"{self.sub_path}/" if self.sub_path else ""
        root = f"{mount_path(self.claim)}/{inside}"
        folder = f"jobs/{job.metadata['name']}-{job.metadata['uid'][:8]}"
        return Paths(
            claims={claim: mount_path(claim) for claim in sorted({self.claim, *self.read_only})},
            datasets=f"{root}datasets",
            models=f"{root}models",
            job_dir=f"{root}{folder}",
            job_uri=ClaimPath(self.claim, f"{inside}{folder}").uri,
        )


def storage_of(
    spec: FineTuneJobSpec,
    *,
    default_claim: str | None,
    feedback: Mapping[str, str] | None = None,
    feedback_secrets: Mapping[str, str] | None = None,
) -> JobStorage | None:
    """Return the job's claims; None if neither the job nor the operator names a claim to write to. feedback, feedback_secrets: as in `JobStorage`."""
    storage = spec.storage
    claim = (storage.claim if storage else None) or default_claim
    if claim is None:
        return None
    return JobStorage(
        claim=claim,
        sub_path=storage.sub_path if storage else None,
        read_only=claims_of(spec) - {claim},
        feedback=feedback or {},
        feedback_secrets=feedback_secrets or {},
    )


def claim_volumes(*, writable: Iterable[str], read_only: Iterable[str]) -> tuple[list[dict[str, Any]], list[Any]]:
    """Return the volumes of a pod for these claims, and its container's mounts."""
    claims = {**dict.fromkeys(writable, False), **dict.fromkeys(read_only, True)}
    volumes, mounts = [], []
    for number, (claim, is_read_only) in enumerate(sorted(claims.items())):
        reads = {"readOnly": True} if is_read_only else {}
        volumes.append({"name": f"claim-{number}", "persistentVolumeClaim": {"claimName": claim, **reads}})
        mounts.append({"name": f"claim-{number}", "mountPath": mount_path(claim), **reads})
    return volumes, mounts
