"""What tools of GitOps make of our objects, by their own code: kstatus for Flux and Helm, a script on Argo CD's interpreter."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
import yaml
from tool_objects import ToolObject, every_object

OBJECTS = every_object()
IDS = [f"{found.manifest['kind']} {found.name}" for found in OBJECTS]
ARGO_CD = Path(__file__).parents[3] / "examples" / "gitops" / "argocd-cm.yaml"


def results(*command: str | Path) -> list[dict[str, str]]:
    """Return status and message of every object, in the order of `OBJECTS`."""
    lines = "".join(f"{json.dumps(found.manifest)}\n" for found in OBJECTS)
    done = subprocess.run(command, input=lines, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def kstatus(kstatus_program: Path) -> dict[str, dict[str, str]]:
    return dict(zip(IDS, results(kstatus_program), strict=True))


@pytest.fixture(scope="module")
def health(kstatus_program: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, str]]:
    checks = yaml.safe_load(yaml.safe_load(ARGO_CD.read_text())["data"]["resource.customizations"])
    script = tmp_path_factory.mktemp("argo-cd") / "health.lua"
    script.write_text(checks["tuneloop.dev/*"]["health.lua"])
    return dict(zip(IDS, results(kstatus_program, script), strict=True))


@pytest.mark.parametrize(("name", "found"), list(zip(IDS, OBJECTS, strict=True)), ids=IDS)
def test_flux_and_helm_see_every_state(kstatus: dict[str, dict[str, str]], name: str, found: ToolObject) -> None:
    assert kstatus[name]["status"] == found.kstatus
    assert kstatus[name]["message"].startswith(found.message)


@pytest.mark.parametrize(("name", "found"), list(zip(IDS, OBJECTS, strict=True)), ids=IDS)
def test_argo_cd_sees_every_state(health: dict[str, dict[str, str]], name: str, found: ToolObject) -> None:
    assert health[name]["status"] == found.health
    assert health[name]["message"].startswith(found.message)
