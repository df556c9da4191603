"""What somebody tries who has stolen the operator's token: `ATTEMPTS`, each a manifest that the chart's admission policies refuse."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import yaml
from helm_chart import ROOT

Manifest = dict[str, Any]
_GOLDEN = ROOT / "tests" / "golden" / "operator"


def _golden(file: str, kind: str, *, stage: str | None = None) -> Manifest:
    manifests = yaml.safe_load_all((_GOLDEN / file).read_text(encoding="utf-8"))
    return next(
        manifest
        for manifest in manifests
        if manifest["kind"] == kind and (stage is None or manifest["metadata"]["labels"]["tuneloop.dev/stage"] == stage)
    )


CONFIG_MAP, JOB = _golden("minimal.yaml", "ConfigMap"), _golden("minimal.yaml", "Job")
NETWORK_POLICY = _golden("minimal.yaml", "NetworkPolicy")
GANG = _golden("host-network.yaml", "Job", stage="train")
"""Training pods on the network of their nodes."""
SERVICE, DEPLOYMENT = _golden("serving.yaml", "Service"), _golden("serving.yaml", "Deployment")
BUDGET = _golden("serving.yaml", "PodDisruptionBudget")
AUTOSCALER = _golden("autoscaled.yaml", "HorizontalPodAutoscaler")
ROUTERS, ROUTER_CONFIG = _golden("routed.yaml", "Deployment"), _golden("routed.yaml", "ConfigMap")
LEASE = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "tuneloop-operator"}, "spec": {}}
SLICE = {
    "apiVersion": "discovery.k8s.io/v1",
    "kind": "EndpointSlice",
    "metadata": {"name": "tuneloop-progress", "labels": {"kubernetes.io/service-name": "tuneloop-progress"}},
    "addressType": "IPv4",
    "endpoints": [{"addresses": ["10.0.0.7"]}],
    "ports": [],
}


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One request of a thief, and what the answer says."""

    name: str
    manifest: Manifest
    namespace: str
    """`home` is the release namespace, `team` a namespace with jobs."""
    message: str


def _attempt(
    name: str, manifest: Manifest, change: Callable[[Manifest], object], message: str, *, namespace: str = "team"
) -> Attempt:
    changed = copy.deepcopy(manifest)
    change(changed)
    return Attempt(name=name, manifest=changed, namespace=namespace, message=message)


def _in_pod(change: Callable[[Manifest], object]) -> Callable[[Manifest], object]:
    return lambda manifest: change(manifest["spec"]["template"]["spec"])


def _in_container(change: Callable[[Manifest], object]) -> Callable[[Manifest], object]:
    return _in_pod(lambda pod: change(pod["containers"][0]))


def _secure(**fields: Any) -> Callable[[Manifest], object]:
    return _in_container(lambda container: container["securityContext"].update(fields))


def _volume(**source: Any) -> Callable[[Manifest], object]:
    return _in_pod(lambda pod: pod["volumes"].append({"name": "loot", **source}))


def _token(**fields: Any) -> Callable[[Manifest], object]:
    token = {"audience": f"tuneloop.dev/{_UID}", "expirationSeconds": 3600, "path": "loot"} | fields
    given = {name: value for name, value in token.items() if value is not None}
    return _volume(projected={"sources": [{"serviceAccountToken": given}]})


def _in_token(**fields: Any) -> Callable[[Manifest], object]:
    """Change the token that the pods of routers have."""

    def change(pod: Manifest) -> None:
        (volume,) = (found for found in pod["volumes"] if "projected" in found)
        token = volume["projected"]["sources"][0]["serviceAccountToken"] | fields
        given = {name: value for name, value in token.items() if value is not None}
        volume["projected"]["sources"][0]["serviceAccountToken"] = given

    return _in_pod(change)


def _owner(**fields: Any) -> Callable[[Manifest], object]:
    return lambda manifest: manifest["metadata"]["ownerReferences"][0].update(fields)


def _labels(**fields: Any) -> Callable[[Manifest], object]:
    return lambda manifest: manifest["metadata"]["labels"].update(fields)


def _nothing(_: Manifest) -> None: ...


_UID = JOB["metadata"]["ownerReferences"][0]["uid"]
_PRIVILEGED = {"name": "first", "image": "none", "securityContext": {"privileged": True}}
_MANAGED, _OF_JOB = "app.kubernetes.io/managed-by", "tuneloop.dev/job"
_ELSEWHERE = "may write only in namespaces that are watched, and never in"
_UNOWNED = "may write only objects whose controller is a FineTuneJob or a ModelDeployment"
_UNLABELLED = "may write only objects with the labels app.kubernetes.io/managed-by=tuneloop"
_NODE = "the pods may use neither network, processes, IPC nor ports of the node"
_TOKEN = "a token of the pods must have the audience tuneloop.dev/UID-OF-THE-OWNER"
_ROOT = "the pods must run as a user other than root"
_ESCALATION = "the containers must set allowPrivilegeEscalation: false"
_CAPABILITIES = "the containers must drop all capabilities"
_OPTIONS = "may set none of "
_CLUSTER_IP = "a Service must be of type ClusterIP, without externalIPs"


def _on_the_node(name: str, manifest: Manifest, change: Callable[[Manifest], object]) -> Attempt:
    return _attempt(name, manifest, change, _NODE)


_OF_THE_NODE = [
    _on_the_node("the network of the node", JOB, _in_pod(lambda pod: pod.update(hostNetwork=True))),
    _on_the_node("the processes of the node", DEPLOYMENT, _in_pod(lambda pod: pod.update(hostPID=True))),
    _on_the_node("the IPC of the node", JOB, _in_pod(lambda pod: pod.update(hostIPC=True))),
    _on_the_node(
        "a port of the node", DEPLOYMENT, _in_container(lambda found: found["ports"][0].update(hostPort=8000))
    ),
    _on_the_node("the network of the node for servers", DEPLOYMENT, _in_pod(lambda pod: pod.update(hostNetwork=True))),
    _on_the_node("the processes of the node for a gang", GANG, _in_pod(lambda pod: pod.update(hostPID=True))),
    _on_the_node("the IPC of the node for a gang", GANG, _in_pod(lambda pod: pod.update(hostIPC=True))),
    _on_the_node(
        "a port of the node for a gang with addresses of its own", GANG, _in_pod(lambda pod: pod.pop("hostNetwork"))
    ),
]
_IPC_LOCK = {"drop": ["ALL"], "add": ["IPC_LOCK"]}
NOT_EVEN_BESIDE_GANGS = [
    *_OF_THE_NODE,
    _attempt("a capability for a gang", GANG, _secure(capabilities=_IPC_LOCK), _CAPABILITIES),
]
"""Refused also where the chart allows the network of the node to training pods."""
ATTEMPTS = [
    *_OF_THE_NODE,
    _on_the_node("the network of the node for a gang", GANG, _nothing),
    _attempt("a Job in kube-system", JOB, _nothing, _ELSEWHERE, namespace="kube-system"),
    _attempt("a Deployment in kube-public", DEPLOYMENT, _nothing, _ELSEWHERE, namespace="kube-public"),
    _attempt("a ConfigMap beside the operator", CONFIG_MAP, _nothing, _ELSEWHERE, namespace="home"),
    _attempt("a Deployment without an owner", DEPLOYMENT, lambda found: found["metadata"].pop("ownerReferences"), _UNOWNED),
    _attempt("an owner that does not control", CONFIG_MAP, _owner(controller=False), _UNOWNED),
    _attempt("an owner of another kind", CONFIG_MAP, _owner(kind="Queue"), _UNOWNED),
    _attempt("an owner of another group", CONFIG_MAP, _owner(apiVersion="batch/v1"), _UNOWNED),
    _attempt("no labels", CONFIG_MAP, lambda found: found["metadata"].pop("labels"), _UNLABELLED),
    _attempt("managed by another", SERVICE, _labels(**{_MANAGED: "Helm"}), _UNLABELLED),
    _attempt("the label of another job", CONFIG_MAP, _labels(**{_OF_JOB: "others"}), _UNLABELLED),
    _attempt("pods without our labels", JOB, lambda found: found["spec"]["template"]["metadata"].update(labels={}), "the pods must have our labels"),
    _attempt("a folder of the node", JOB, _volume(hostPath={"path": "/"}), "volumes of the pods may be"),
    _attempt("a volume of a driver that was not allowed", JOB, _volume(csi={"driver": "tokens.csi.example.com"}), "volumes of the pods may be"),
    _attempt("the token of the account", JOB, _in_pod(lambda pod: pod.update(automountServiceAccountToken=True)), "must set automountServiceAccountToken: false"),
    _attempt("the token by default", DEPLOYMENT, _in_pod(lambda pod: pod.pop("automountServiceAccountToken")), "must set automountServiceAccountToken: false"),
    _attempt("a token for the API server", JOB, _token(audience=None), _TOKEN),
    _attempt("a token for another job", JOB, _token(audience="tuneloop.dev/another"), _TOKEN),
    _attempt("a token for a day", JOB, _token(expirationSeconds=86400), _TOKEN),
    _attempt("a token for the API server in a router", ROUTERS, _in_token(audience=None), _TOKEN),
    _attempt("a token for another deployment in a router", ROUTERS, _in_token(audience="tuneloop.dev/another"), _TOKEN),
    _attempt("a token for a day in a router", ROUTERS, _in_token(expirationSeconds=86400), _TOKEN),
    _attempt("a folder of the node in a router", ROUTERS, _volume(hostPath={"path": "/"}), "volumes of the pods may be"),
    _attempt("a configuration of routers beside the operator", ROUTER_CONFIG, _nothing, _ELSEWHERE, namespace="home"),
    _attempt("root", JOB, _secure(runAsUser=0), _ROOT),
    _attempt("root, for all containers", JOB, _in_pod(lambda pod: pod["securityContext"].update(runAsUser=0)), _ROOT),
    _attempt("perhaps root", JOB, _secure(runAsNonRoot=False), _ROOT),
    _attempt("a privileged container", JOB, _secure(privileged=True, allowPrivilegeEscalation=True), _ESCALATION),
    _attempt("a privileged first container", JOB, _in_pod(lambda pod: pod.update(initContainers=[_PRIVILEGED])), _ESCALATION),
    _attempt("a set-uid program", JOB, _in_container(lambda found: found["securityContext"].pop("allowPrivilegeEscalation")), _ESCALATION),
    _attempt("a capability", JOB, _secure(capabilities={"drop": ["ALL"], "add": ["SYS_ADMIN"]}), _CAPABILITIES),
    _attempt("the usual capabilities", JOB, _in_container(lambda found: found["securityContext"].pop("capabilities")), _CAPABILITIES),
    _attempt("no seccomp profile", JOB, _secure(seccompProfile={"type": "Unconfined"}), "the seccomp profile RuntimeDefault"),
    _attempt("a sysctl", JOB, _in_pod(lambda pod: pod["securityContext"].update(sysctls=[{"name": "kernel.shm_rmid_forced", "value": "1"}])), _OPTIONS),
    _attempt("no AppArmor", JOB, _secure(appArmorProfile={"type": "Unconfined"}), _OPTIONS),
    _attempt("another SELinux type", JOB, _secure(seLinuxOptions={"type": "spc_t"}), _OPTIONS),
    _attempt("no AppArmor by annotation", JOB, lambda job: job["spec"]["template"]["metadata"].update(annotations={"container.apparmor.security.beta.kubernetes.io/trainer": "unconfined"}), "no annotation of AppArmor"),
    _attempt("a program before the end", DEPLOYMENT, _in_container(lambda found: found.update(lifecycle={"preStop": {"exec": {"command": ["id"]}}})), "no lifecycle hooks but a sleep"),
    _attempt("a request before the end", DEPLOYMENT, _in_container(lambda found: found.update(lifecycle={"preStop": {"httpGet": {"host": "169.254.169.254", "port": 80}}})), "no lifecycle hooks but a sleep"),
    _attempt("a hook at the start, beside a pause", DEPLOYMENT, _in_container(lambda found: found.update(lifecycle={"preStop": {"sleep": {"seconds": 1}}, "postStart": {"sleep": {"seconds": 1}}})), "no lifecycle hooks but a sleep"),
    _attempt("a probe of another host", DEPLOYMENT, _in_container(lambda found: found["livenessProbe"]["httpGet"].update(host="169.254.169.254")), "probes of their own pod alone"),
    _attempt("a Service of others' pods", SERVICE, lambda found: found["spec"].update(selector={"app": "payments"}), "a Service must select pods by our label"),
    _attempt("a Service of another deployment's pods", SERVICE, lambda found: found["spec"]["selector"].update({"tuneloop.dev/deployment": "others"}), "a Service must select pods by our label"),
    _attempt("a load balancer", SERVICE, lambda found: found["spec"].update(type="LoadBalancer"), _CLUSTER_IP),
    _attempt("an address of another", SERVICE, lambda found: found["spec"].update(externalIPs=["10.0.0.1"]), _CLUSTER_IP),
    _attempt("a NetworkPolicy for others' pods", NETWORK_POLICY, lambda found: found["spec"].update(podSelector={}), "a NetworkPolicy must select pods by our label"),
    _attempt("a budget for others' pods", BUDGET, lambda found: found["spec"].update(selector={}), "a PodDisruptionBudget must select pods by our label"),
    _attempt("a budget for another deployment's pods", BUDGET, lambda found: found["spec"]["selector"]["matchLabels"].update({"tuneloop.dev/deployment": "others"}), "a PodDisruptionBudget must select pods by our label"),
    _attempt("a budget by which no node is ever drained", BUDGET, lambda found: found["spec"].update(maxUnavailable=0), "a PodDisruptionBudget must let one pod be away"),
    _attempt("an autoscaler of others' servers", AUTOSCALER, lambda found: found["spec"]["scaleTargetRef"].update(name="others-1a2b3c4d"), "a HorizontalPodAutoscaler must aim at the Deployment of a revision"),
    _attempt("an autoscaler of a Deployment with a name like ours", AUTOSCALER, lambda found: found["spec"]["scaleTargetRef"].update(name="reviews-frontend"), "a HorizontalPodAutoscaler must aim at the Deployment of a revision"),
    _attempt("an autoscaler of a StatefulSet", AUTOSCALER, lambda found: found["spec"]["scaleTargetRef"].update(kind="StatefulSet"), "a HorizontalPodAutoscaler must aim at the Deployment of a revision"),
    _attempt("the Lease of another program", LEASE, lambda found: found["metadata"].update(name="others"), "may write only the Leases owner.tuneloop.dev, and tuneloop-operator in", namespace="home"),
    _attempt("a Lease in kube-system", LEASE, _nothing, "may write only the Leases owner.tuneloop.dev, and tuneloop-operator in", namespace="kube-system"),
    _attempt("addresses of another Service", SLICE, lambda found: found["metadata"]["labels"].update({"kubernetes.io/service-name": "others"}), "may write only the EndpointSlice of the Service tuneloop-progress", namespace="home"),
]  # fmt: skip
