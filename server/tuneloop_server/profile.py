"""Reads `monitoring.json` of a checked artifact: the bins that texts are counted into."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from tuneloop_api.contract.exit_codes import ExitCode
from tuneloop_api.contract.monitoring_profile import MONITORING, MonitoringProfile
from tuneloop_api.features.bins import UnusableProfile, choice_bins, usable_bins
from tuneloop_api.features.projections import PROJECTIONS, directions_of
from tuneloop_api.features.text import TEXT_FEATURES
from tuneloop_api.wire.serving_failure import ServingFailureClass
from tuneloop_server.artifact import check_files, files_in
from tuneloop_server.errors import CannotServe
from tuneloop_server.features import FeatureCounts

if TYPE_CHECKING:
    from tuneloop_api.contract.artifact import Manifest
    from tuneloop_api.features.bins import Bins
    from tuneloop_api.features.task_features import TaskFeatures
    from tuneloop_server.artifact import Place

MOST_BYTES = 2 * 1024 * 1024
"""A profile of MiniLM has some 30 KiB. 1,000 labels of 128 characters, as many and as long as are trained, make most of a megabyte; directions of a hidden state of 8,192 numbers half of one."""
_HINT = "The file is as it was published. Publish the artifact again with this release, or set spec.image to the server of the release that made it"


def read_features(config: Place, manifest: Manifest, features: TaskFeatures) -> FeatureCounts | None:
    """Return what texts are counted into; None: the artifact says no bins, as those of earlier releases.

    features: of the artifact's task. Raises CannotServe if the file is not what was published, or nothing can be counted with it.
    """
    listed = files_in(manifest, MONITORING)
    if not listed:
        return None
    if listed[0].size > MOST_BYTES:
        raise _unusable(config, f"has {listed[0].size} bytes, at most {MOST_BYTES} are allowed")
    check_files(config, manifest, name=MONITORING)
    try:
        profile = MonitoringProfile.from_wire(json.loads((Path(config.artifact_path) / MONITORING).read_bytes()))
        bins = usable_bins(profile)
        directions = directions_of(profile) if features.has_projections else {}
        _require_same_model(profile, manifest)
        _require_same_choices(bins, manifest, features)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "the document"
        raise _unusable(config, f"is no profile of version 1: {field}: {first['msg']}") from error
    except UnusableProfile as error:
        raise _unusable(config, str(error)) from error
    except (ValueError, RecursionError) as error:
        raise _unusable(config, f"is not JSON ({error})") from error
    known = {*TEXT_FEATURES, *features.names, *directions}
    return FeatureCounts(profile, {name: found for name, found in bins.items() if name in known}, directions)


def _require_same_model(profile: MonitoringProfile, manifest: Manifest) -> None:
    for field in ("task", "labels", "temperature"):
        found, expected = getattr(profile, field), getattr(manifest, field)
        if found != expected:
            raise UnusableProfile(f"{field}: {found!s:.200}, expected is what the manifest has, {expected!s:.200}")


def _require_same_choices(bins: dict[str, Bins], manifest: Manifest, features: TaskFeatures) -> None:
    """Raise UnusableProfile if a choice that the model can make has no bin, or is where a number belongs."""
    for name, choices in features.choices.items():
        expected = choice_bins(choices(manifest.labels))
        if name in bins and bins[name] != expected:
            raise UnusableProfile(f"features: the categories of {name} are not those of the model's labels")
    for name in (*TEXT_FEATURES, *features.numbers, *PROJECTIONS):
        if name in bins and not bins[name].is_of_numbers:
            raise UnusableProfile(f"features: {name} has categories, it is a number and has edges")


def _unusable(config: Place, problem: str) -> CannotServe:
    return CannotServe(
        f"{config.artifact_uri}: {MONITORING}: {problem}",
        exit_code=ExitCode.MODEL_ACCESS,
        failure_class=ServingFailureClass.MODEL_LOAD_FAILED,
        hint=_HINT,
    )
