from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import yaml
from local_manifests import config_map

from tuneloop_api.contract.run_config import RUN_CONFIG_PATH
from tuneloop_cli.local.kubelet.pod_plan import Folders, devices_of, plan_process, service_hosts_of

ROOT = Path("/folder")
CLAIM = "/tuneloop/claims/demo"


def pod(**container):
    spec = {
        "containers": [
            {
                "name": "main",
                "command": ["python", "-m", "tuneloop_trainer", "prepare", RUN_CONFIG_PATH],
                "volumeMounts": [
                    {"name": "config", "mountPath": "/etc/tuneloop"},
                    {"name": "tmp", "mountPath": "/tmp"},
                    {"name": "home", "mountPath": "/home/tuneloop"},
                    {"name": "token", "mountPath": "/var/run/secrets/tuneloop"},
                    {"name": "claim", "mountPath": CLAIM},
                ],
            }
            | container
        ],
        "volumes": [
            {"name": "config", "configMap": {"name": "settings"}},
            {"name": "tmp", "emptyDir": {}},
            {"name": "home", "emptyDir": {}},
            {"name": "token", "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}},
            {"name": "claim", "persistentVolumeClaim": {"claimName": "demo"}},
        ],
    }
    metadata = {
        "name": "gang-1-abcde",
        "namespace": "default",
        "uid": "u1",
        "labels": {"batch.kubernetes.io/job-completion-index": "1"},
        "annotations": {"batch.kubernetes.io/job-completion-index": "1"},
    }
    return {"metadata": metadata, "spec": spec}


def run_json(**fields):
    return {
        "stage": "train",
        "settings": {"gang": {"nodes": 2, "processesPerNode": 3, "gpusPerNode": 0}},
        "paths": {"claims": {"demo": CLAIM}, "job": f"{CLAIM}/jobs/one", "jobUri": "pvc://demo/jobs/one"},
        "rendezvous": {"address": "gang-0.gang", "port": 29500},
        "progress": {"url": "http://127.0.0.1:1/v1", "tokenPath": "/var/run/secrets/tuneloop/token"},
    } | fields


def plan(given=None, *, data=None, inherited=None, ports=None, runtime=None, services=None):
    maps = {"settings": config_map(data=data or {"run.json": json.dumps(run_json())})}
    return plan_process(
        given or pod(),
        config_maps=maps,
        folders=Folders(root=ROOT),
        ports={"rendezvous": 40000} if ports is None else ports,
        devices="",
        inherited=inherited or {},
        runtime=runtime,
        services=services,
    )


def read(given, name):
    return json.loads(given.files[ROOT / "pods/default/gang-1-abcde/config" / name])


def test_python_is_this_interpreter_and_the_configuration_lies_in_the_pods_folder():
    config = "/folder/pods/default/gang-1-abcde/config/run.json"
    assert plan().command == (sys.executable, "-m", "tuneloop_trainer", "prepare", config)


def test_another_program_is_left_as_it_is():
    assert plan(pod(command=["/bin/echo", "/etc/other"], args=[CLAIM])).command == (
        "/bin/echo",
        "/etc/other",
        "/folder/claims/demo",
    )


def test_paths_of_the_configuration_lead_to_this_machine():
    config = read(plan(), "run.json")
    assert config["paths"] == {
        "claims": {"demo": "/folder/claims/demo"},
        "job": "/folder/claims/demo/jobs/one",
        "jobUri": "pvc://demo/jobs/one",
        "terminationMessage": "/folder/pods/default/gang-1-abcde/termination-message",
    }
    assert config["progress"] == {"url": "http://127.0.0.1:1/v1", "tokenPath": "/folder/secrets/token"}


def test_the_rendezvous_is_on_loopback_at_the_jobs_port():
    assert read(plan(ports={"rendezvous": 41234}), "run.json")["rendezvous"] == {"address": "127.0.0.1", "port": 41234}


def test_a_stage_without_rendezvous_gets_none():
    alone = {name: value for name, value in run_json(stage="prepare").items() if name != "rendezvous"}
    assert "rendezvous" not in read(plan(data={"run.json": json.dumps(alone)}), "run.json")


def test_a_server_listens_on_loopback_at_its_port():
    config = {
        "host": "0.0.0.0",
        "port": 8080,
        "artifactPath": f"{CLAIM}/artifact",
        "artifactUri": "pvc://demo/artifact",
    }
    assert read(plan(data={"server.json": json.dumps(config)}, ports={"http": 8081}), "server.json") == {
        "host": "127.0.0.1",
        "port": 8081,
        "artifactPath": "/folder/claims/demo/artifact",
        "artifactUri": "pvc://demo/artifact",
        "terminationMessage": "/folder/pods/default/gang-1-abcde/termination-message",
    }


COMPARATOR = {
    "stable": {"name": "03ab", "host": "reviews-03ab.default.svc", "port": 80},
    "canary": {"name": "7d1f", "host": "reviews-7d1f.default.svc", "port": 80},
    "golden": {"path": f"{CLAIM}/golden.jsonl", "times": 1},
}


def test_a_comparator_listens_on_loopback_and_asks_the_servers_of_both_revisions_there():
    made = plan(
        data={"comparator.json": json.dumps(COMPARATOR)},
        ports={"http": 8000, "metrics": 8001},
        services={"reviews-03ab.default.svc": 8002, "reviews-7d1f.default.svc": 8003},
    )
    assert read(made, "comparator.json") == {
        "host": "127.0.0.1",
        "port": 8000,
        "controlPort": 8001,
        "stable": {"name": "03ab", "host": "127.0.0.1", "port": 8002},
        "canary": {"name": "7d1f", "host": "127.0.0.1", "port": 8003},
        "golden": {"path": "/folder/claims/demo/golden.jsonl", "times": 1},
    }


def test_a_comparator_alone_connects_to_services():
    maps = [config_map(data={"comparator.json": json.dumps(COMPARATOR)}), config_map(data={"server.json": "{}"}), {}]
    assert service_hosts_of(maps) == {"reviews-03ab.default.svc", "reviews-7d1f.default.svc"}
    assert service_hosts_of(maps[1:]) == set()


def router_json(example="routed"):
    """Return the router's pod and its ConfigMap, as the operator writes them."""
    golden = Path(__file__).parents[3] / "golden/operator" / f"{example}.yaml"
    found = {manifest["kind"]: manifest for manifest in yaml.safe_load_all(golden.read_text())}
    return found["Deployment"]["spec"]["template"]["spec"], found["ConfigMap"]["data"]


def test_a_router_finds_its_files_on_this_machine_and_listens_on_loopback():
    spec, data = router_json()
    spec["volumes"][0]["configMap"]["name"] = "settings"
    runtime = Path("/run/user/1000/tuneloop-0123456789abcdef")
    made = plan(pod() | {"spec": spec}, data=data, ports={"http": 8000, "metrics": 8001}, runtime=runtime)
    own = "/folder/pods/default/gang-1-abcde/config"
    assert made.command == (sys.executable, "-m", "tuneloop_router", f"{own}/router.json")
    settings = read(made, "router.json")
    assert settings["operator"].pop("url").startswith("https://")
    assert settings == {
        "version": 1,
        "deployment": "reviews",
        "folder": str(runtime),
        "splitPath": f"{own}/split.json",
        "host": "127.0.0.1",
        "port": 8000,
        "metricsPort": 8001,
        "operator": {"caPath": f"{own}/ca.crt", "tokenPath": "/folder/secrets/token"},
        "memoryBytes": 512 * 1024 * 1024,
        "drainSeconds": 30,
        "quietSeconds": 0,
    }
    assert read(made, "split.json") == json.loads(data["split.json"])


def test_a_router_reads_the_keys_of_its_own_secret():
    spec, data = router_json("limited-access")
    spec["volumes"][0]["configMap"]["name"] = "settings"
    made = plan(pod() | {"spec": spec}, data=data, ports={"http": 8000, "metrics": 8001}, runtime=Path("/run/a"))
    keys = "/folder/secret-volumes/api-keys/reviews-clients/api-keys/keys"
    assert read(made, "router.json")["apiKeysPath"] == keys


@pytest.mark.parametrize(
    "path", ["/tmp/rows.csv", "/tuneloop/claims/demo2/x", "/home/tuneloop", "file:///tmp/x", "/etc/tuneloop.d"]
)
def test_a_path_of_the_machine_stays(path):
    assert read(plan(data={"run.json": json.dumps(run_json(file=path))}), "run.json")["file"] == path


def test_other_files_of_a_config_map_are_copied():
    made = plan(data={"ca.crt": "PEM /etc/tuneloop"})
    assert made.files[ROOT / "pods/default/gang-1-abcde/config/ca.crt"] == "PEM /etc/tuneloop"


def test_the_environment_comes_from_the_pod_and_the_session():
    fields = {
        "NODE_RANK": "metadata.annotations['batch.kubernetes.io/job-completion-index']",
        "LABEL": "metadata.labels['batch.kubernetes.io/job-completion-index']",
        "POD_NAME": "metadata.name",
        "POD_UID": "metadata.uid",
    }
    env = [{"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}} for name, path in fields.items()]
    env += [{"name": "HOME", "value": "/home/tuneloop"}, {"name": "PLAIN", "value": "x"}]
    assert plan(pod(env=env), inherited={"PATH": "/bin", "PLAIN": "y"}).environment == {
        "PATH": "/bin",
        "PLAIN": "x",
        "HOME": "/folder/pods/default/gang-1-abcde/home",
        "NODE_RANK": "1",
        "LABEL": "1",
        "POD_NAME": "gang-1-abcde",
        "POD_UID": "u1",
        "CUDA_VISIBLE_DEVICES": "",
        "TUNELOOP_POD_UID": "u1",
    }


def reference(kind="secretKeyRef", **fields):
    return {"name": "A", "valueFrom": {kind: {"name": "trackers", "key": "a"} | fields}}


@pytest.mark.parametrize("kind", ["secretKeyRef", "configMapKeyRef"])
def test_a_reference_is_the_variable_of_the_environment_as_it_is(kind):
    made = plan(pod(env=[reference(kind)]), inherited={"A": "/tmp/canary.json", "B": "b"})
    assert (made.environment["A"], made.environment["B"]) == ("/tmp/canary.json", "b")
    assert "canary" not in str((made.command, made.files, made.folders))


def test_a_reference_that_may_be_missing_sets_nothing():
    assert "A" not in plan(pod(env=[reference(optional=True)])).environment


def test_a_reference_that_may_not_be_missing_is_an_error():
    with pytest.raises(ValueError, match="env A: not in the environment of this command"):
        plan(pod(env=[reference()]))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("$(FIRST)/b", "a/b"),
        ("$$(FIRST) $$5", "$(FIRST) $5"),
        ("$(LATER) $(PATH) $FIRST $", "$(LATER) $(PATH) $FIRST $"),
        ("$(HOME)/x", "/folder/pods/default/gang-1-abcde/home/x"),
    ],
)
def test_a_value_may_name_earlier_variables_of_the_pod(text, value):
    env = [{"name": "HOME", "value": "/home/tuneloop"}, {"name": "FIRST", "value": "a"}]
    env += [{"name": "GIVEN", "value": text}, {"name": "LATER", "value": "c"}]
    assert plan(pod(env=env), inherited={"PATH": "/bin"}).environment["GIVEN"] == value


def test_a_field_that_is_not_known_is_an_error():
    env = [{"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}]
    with pytest.raises(ValueError, match=r"env IP: the field status\.podIP"):
        plan(pod(env=env))


@pytest.mark.parametrize(
    ("limits", "devices"), [({}, ""), ({"cpu": "4"}, ""), ({"nvidia.com/gpu": "2", "cpu": "1"}, "2,5")]
)
def test_pods_of_a_gang_share_the_gpus_by_their_index(limits, devices):
    assert devices_of(pod(resources={"limits": limits}), ("0", "1", "2", "5")) == devices
