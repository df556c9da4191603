"""A quantity is a whole number or a text, and both are the same."""

from __future__ import annotations

from typing import Any

import pytest
from desired_pods import a_deployment, a_job, server
from pydantic import ValidationError

from tuneloop_api.contract.defaults import as_set, config_hash
from tuneloop_api.contract.server_config import BatchingSettings, ServerConfig, revision_of
from tuneloop_api.crd.generator import RESOURCES, root_schema
from tuneloop_api.v1alpha1.common import ResourceAmounts

AS_TEXT: dict[str, Any] = {"cpu": "8", "memory": "1073741824"}
AS_NUMBERS: dict[str, Any] = {"cpu": 8, "memory": 1073741824}
QUANTITIES = {"cpu", "memory", "sharedMemory", "ephemeralStorage"}


@pytest.mark.parametrize(
    ("given", "read"), [(2, "2"), ("2", "2"), (2.0, "2"), (0, "0"), ("0.5", "0.5"), (2**63 - 1, str(2**63 - 1))]
)
def test_a_number_is_read_as_its_text(given: Any, read: str) -> None:
    amounts = ResourceAmounts.from_wire({"cpu": given})
    assert (amounts.cpu, amounts.to_wire()) == (read, {"cpu": read})


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (0.5, 'must be a whole number or text: the API server takes no number with a point, so write quotes or a smaller unit; for example "0.5" or 500m'),
        (2**63, "Input should be a valid string"),
        (True, "Input should be a valid string"),
        (-1, "String should match pattern"),
        ([1], "Input should be a valid string"),
    ],
)  # fmt: skip
def test_what_is_no_quantity_is_refused(given: Any, says: str) -> None:
    with pytest.raises(ValidationError) as refused:
        ResourceAmounts.from_wire({"cpu": given})
    assert refused.value.errors()[0]["msg"].startswith(says)


def test_numbers_and_texts_make_the_same_run_the_same_pods_and_the_same_revision() -> None:
    jobs = [a_job(resources=given | {"gpusPerNode": 0}) for given in (AS_TEXT, AS_NUMBERS)]
    assert jobs[0] == jobs[1]
    assert config_hash(as_set(jobs[0].spec)) == config_hash(as_set(jobs[1].spec))
    assert a_deployment(resources=AS_TEXT).to_wire() == a_deployment(resources=AS_NUMBERS).to_wire()
    assert server(resources=AS_TEXT) == server(resources=AS_NUMBERS)


def test_the_name_of_a_revision_is_as_before() -> None:
    """Before quantities took numbers, the operator gave these servers this name."""
    config = ServerConfig(namespace="n", name="a", revision="", artifact_path="/a", artifact_uri="pvc://models/a", batching=BatchingSettings())  # fmt: skip
    deployment = a_deployment(resources={"cpu": "4", "memory": "8Gi"})
    assert deployment.spec.resources is not None
    assert revision_of(config, pod=[None, deployment.spec.resources.to_wire()]) == "5e067468"


def test_every_quantity_in_the_schema_takes_numbers() -> None:
    found = {path for resource in RESOURCES for path in quantities(root_schema(resource)["properties"]["spec"])}
    assert {"resources.cpu", "resources.prepare.memory", "resources.requests.cpu", "resources.extended.*"} <= found


def quantities(node: dict[str, Any], path: str = "") -> list[str]:
    """Return the paths of the fields that take numbers and texts."""
    if node.get("x-kubernetes-int-or-string"):
        return [path]
    assert path.rpartition(".")[2] not in QUANTITIES, path
    below = dict(node.get("properties", {}))
    if "additionalProperties" in node:
        below["*"] = node["additionalProperties"]
    return [found for name, field in below.items() for found in quantities(field, f"{path}.{name}".lstrip("."))]
