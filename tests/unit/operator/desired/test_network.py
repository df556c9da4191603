"""`spec.network`: variables of the training pods alone, which change nothing that is computed."""

from __future__ import annotations

from typing import Any

import pytest
from desired_pods import SETTINGS, a_job, container_of, job_pods

from tuneloop_api.contract.defaults import as_set, config_hash
from tuneloop_operator.decide.accept_jobs import job_refusals
from tuneloop_operator.settings.operator import OperatorSettings
from tuneloop_operator.settings.pod_defaults import PodDefaults

INTERFACE = [{"name": "NCCL_SOCKET_IFNAME", "value": "=net1"}, {"name": "GLOO_SOCKET_IFNAME", "value": "net1"}]
NETWORK = {"interface": "net1", "ncclEnv": {"NCCL_IB_HCA": "mlx5", "NCCL_DEBUG": "INFO"}}


def added(network: dict[str, Any], settings: OperatorSettings = SETTINGS) -> dict[str, list[dict[str, Any]]]:
    """Return the variables that stand in the pods of each stage besides ours, by stage."""
    plain, given = job_pods(), job_pods(settings, network=network)
    return {
        stage: [variable for variable in container_of(given[stage])["env"] if variable not in container_of(pod)["env"]]
        for stage, pod in plain.items()
    }


@pytest.mark.parametrize(
    ("network", "variables"),
    [
        ({}, []),
        ({"interface": "net1"}, INTERFACE),
        ({"ncclEnv": {"NCCL_DEBUG": "INFO"}}, [{"name": "NCCL_DEBUG", "value": "INFO"}]),
        (NETWORK, [*INTERFACE, {"name": "NCCL_IB_HCA", "value": "mlx5"}, {"name": "NCCL_DEBUG", "value": "INFO"}]),
    ],
)
def test_the_training_pods_alone_get_the_variables(network: dict[str, Any], variables: list[dict[str, Any]]) -> None:
    assert added(network) == {"prepare": [], "train": variables, "export": []}


def test_the_object_wins_over_the_administrator() -> None:
    env = [{"name": "GLOO_SOCKET_IFNAME", "value": "eth0"}, {"name": "NCCL_DEBUG", "value": "WARN"}]
    settings = OperatorSettings(default_claim="models", pod_defaults=PodDefaults.from_wire({"env": env}))
    found = added(NETWORK, settings)
    assert {variable["name"]: variable["value"] for variable in found["train"]}["GLOO_SOCKET_IFNAME"] == "net1"
    assert len({variable["name"] for variable in found["train"]}) == len(found["train"]) == 4
    assert found["prepare"] == env


def test_a_stored_variable_that_is_ours_is_left_out() -> None:
    names = ("NCCL_SOCKET_IFNAME", "NCCL_COMM_ID", "RANK", "NCCL_")
    assert added({"ncclEnv": dict.fromkeys(names, "x")})["train"] == []


def test_the_network_is_no_part_of_a_run() -> None:
    assert config_hash(as_set(a_job(network=NETWORK).spec)) == config_hash(as_set(a_job().spec))
    assert as_set(a_job(network=NETWORK).spec) == as_set(a_job().spec)


def refusals(network: dict[str, Any], *names: str) -> list[str]:
    spec = a_job(network=network, env=[{"name": name, "value": "a"} for name in names]).spec
    return [str(refusal) for refusal in job_refusals(spec, SETTINGS)]


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("NCCL_SOCKET_IFNAME", "any other variable of NCCL is allowed: network.interface sets it, for gloo too"),
        ("NCCL_COMM_ID", "any other variable of NCCL is allowed: the ranks find each other"),
        *(
            (name, "must be a variable of NCCL")
            for name in ("NCCL_", "nccl_debug", "LD_PRELOAD", "TORCH_NCCL_A", "NCCL_A=B", "")
        ),
    ],
)
def test_names_that_are_not_nccls_are_refused(name: str, says: str) -> None:
    (sentence,) = refusals({"ncclEnv": {name: "secret"}})
    assert sentence.startswith(f"spec.network.ncclEnv: found '{name}'; {says}")
    assert sentence.endswith("; for example NCCL_IB_HCA: mlx5")
    assert "secret" not in sentence


def test_a_variable_that_stands_in_env_too_is_refused() -> None:
    (sentence,) = refusals(NETWORK, "A", "NCCL_DEBUG")
    assert sentence.startswith(
        "spec.network.ncclEnv: found 'NCCL_DEBUG'; each variable is named once; env[1] has this name, too"
    )
    for name in ("NCCL_SOCKET_IFNAME", "GLOO_SOCKET_IFNAME"):
        (sentence,) = refusals(NETWORK, "A", name)
        assert sentence.startswith(f"spec.env[1].name: found '{name}'; network.interface sets this variable")
        assert refusals({}, name) == []
    assert refusals(NETWORK, "A", "NCCL_P2P_LEVEL") == []
