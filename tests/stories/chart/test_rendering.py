"""What the chart makes of values: objects that are whole, safe and fit together."""

from __future__ import annotations

import copy

import pytest
import yaml
from chart_values import PROMETHEUS, VARIANTS
from helm_chart import CHART, ROOT, HelmError, environment_of, identity, of_kind, operator_pod
from pod_security import offences

from tuneloop_api.contract.server_config import METRICS_PORT
from tuneloop_api.crd import generator as crd
from tuneloop_operator.desired.common.endpoint_slice import PROGRESS, ROUTERS
from tuneloop_operator.desired.common.volumes import CA_DIRECTORY
from tuneloop_operator.names import COMPARATOR, COMPONENT_LABEL, DEPLOYMENT_LABEL
from tuneloop_operator.settings.operator import OperatorSettings
from tuneloop_operator.settings.process import ProcessSettings

EACH_VARIANT = pytest.mark.parametrize("values", VARIANTS.values(), ids=VARIANTS.keys())
CRDS = {"CustomResourceDefinition finetunejobs.tuneloop.dev", "CustomResourceDefinition modeldeployments.tuneloop.dev"}
POLICY_KINDS = ("ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding")
POLICIES = ("children", "pods", "services", "networks", "disruptions", "autoscalers", "leader")
ADMISSION = {f"{kind} tuneloop-system.tuneloop.{name}" for kind in POLICY_KINDS for name in POLICIES}
# What each variant adds to the defaults, and what it takes away.
DIFFERENCES = [
    ("three replicas", {"PodDisruptionBudget tuneloop"}, set()),
    ("CRDs installed by others", set(), CRDS),
    ("a ServiceMonitor", {"ServiceMonitor tuneloop"}, set()),
    ("a PodMonitor", {"PodMonitor tuneloop"}, set()),
    ("no admission policies", set(), ADMISSION),
    ("no network policy", set(), {"NetworkPolicy tuneloop"}),
    ("an account that exists", set(), {"ServiceAccount tuneloop"}),
    ("no roles for users", set(), {"ClusterRole tuneloop-system:tuneloop:view", "ClusterRole tuneloop-system:tuneloop:edit"}),
    (
        "rights in one namespace",
        set(),
        CRDS
        | ADMISSION
        | {f"{kind} tuneloop-system:tuneloop:tokenreviews" for kind in ("ClusterRole", "ClusterRoleBinding")}
        | {f"ClusterRole tuneloop-system:tuneloop:{role}" for role in ("view", "edit")},
    ),
    ("certificate in a secret", set(), {"Secret tuneloop-progress-tls"}),
    ("certificate by an issuer of the cluster", {"Certificate tuneloop-progress-tls"}, {"Secret tuneloop-progress-tls"}),
    (
        "certificate by cert-manager",
        {"Issuer tuneloop-progress-ca-root", "Certificate tuneloop-progress-ca", "Issuer tuneloop-progress-ca", "Certificate tuneloop-progress-tls"},
        {"Secret tuneloop-progress-tls"},
    ),
]  # fmt: skip


def test_the_chart_has_no_lint(helm):
    helm.must("lint", "--strict", str(CHART), "--kube-version", "1.31.0")


def test_an_older_kubernetes_is_refused(helm):
    done = helm.run("template", "tuneloop", str(CHART), "--kube-version", "1.30.9")
    assert done.returncode != 0
    assert "requires kubeVersion: >=1.31.0-0" in done.stderr


@EACH_VARIANT
def test_each_object_is_named_once_and_labelled(helm, values):
    objects = helm.rendered(values)
    assert len({identity(found) for found in objects}) == len(objects)
    for found in objects:
        labels = found["metadata"]["labels"]
        assert found["apiVersion"], identity(found)
        assert labels["app.kubernetes.io/instance"] == "tuneloop", identity(found)
        assert labels["app.kubernetes.io/managed-by"] == "Helm", identity(found)


@pytest.mark.parametrize(("variant", "added", "removed"), DIFFERENCES, ids=[case[0] for case in DIFFERENCES])
def test_a_switch_adds_and_removes_exactly_its_objects(helm, variant, added, removed):
    usual, here = _names(helm.rendered()), _names(helm.rendered(VARIANTS[variant]))
    assert (here - usual, usual - here) == (added, removed)


@EACH_VARIANT
def test_the_operators_pod_is_restricted(helm, values):
    assert offences(operator_pod(helm.rendered(values))) == []


def test_the_loader_is_restricted():
    assert offences(yaml.safe_load((ROOT / "examples/cluster/loader.yaml").read_text())) == []


@EACH_VARIANT
def test_the_operator_accepts_its_environment(helm, values):
    environment = environment_of(operator_pod(helm.rendered(values)))
    ProcessSettings.from_environment(environment)
    OperatorSettings.from_environment(environment)


def test_the_environment_says_what_the_defaults_of_the_program_say(helm):
    environment = environment_of(operator_pod(helm.rendered()))
    assert OperatorSettings.from_environment(environment) == OperatorSettings()


def test_values_reach_the_program(helm):
    process = ProcessSettings.from_environment(
        _environment(helm, "two namespaces") | _environment(helm, "names of its own")
    )
    own = OperatorSettings.from_environment(_environment(helm, "names of its own"))
    images = OperatorSettings.from_environment(_environment(helm, "images by digest"))
    assert (process.lease_name, process.progress_service, process.progress_port) == ("ml-operator", "ml-progress", 9443)
    assert own.progress_url == "https://ml-progress.tuneloop-system.svc:9443"
    assert (process.router_port, own.router_url) == (9444, "https://ml-progress.tuneloop-system.svc:9444")
    assert images.trainer_image == f"registry.example.com:5000/tuneloop/trainer:0.1.0@sha256:{64 * 'b'}"
    assert images.router_image == f"registry.example.com:5000/tuneloop/router:v1@sha256:{64 * 'c'}"
    assert (images.image_pull_policy, images.default_claim) == ("Always", "models")
    platform = OperatorSettings.from_environment(_environment(helm, "user and group chosen by the platform"))
    assert (platform.uid, platform.gid) == (None, None)


def test_the_network_of_the_nodes_is_allowed_by_its_switch_alone(helm):
    allowed = OperatorSettings.from_environment(_environment(helm, "training pods on the network of their nodes"))
    assert allowed == OperatorSettings(allow_host_network=True)
    assert not OperatorSettings.from_environment(_environment(helm, "the defaults")).allow_host_network


def test_an_administrator_who_has_budgets_can_do_without_ours(helm):
    without = OperatorSettings.from_environment(_environment(helm, "no disruption budgets"))
    assert without == OperatorSettings(disruption_budgets=False)
    assert OperatorSettings.from_environment(_environment(helm, "the defaults")).disruption_budgets


def test_destinations_of_pods_reach_the_program(helm):
    first, *others = OperatorSettings.from_environment(_environment(helm, "pods that connect to little")).egress or ()
    assert first.to_wire() == {"namespace": "tuneloop-system", "ports": [8443, 8444]}, "the ports for pods"
    assert [found.to_wire() for found in others] == [
        {"cidr": "10.20.0.0/16", "except": ["10.20.1.0/24"], "ports": [443, 9000]},
        {"namespace": "minio", "ports": [9000]},
        {"cidr": "fd00::/8"},
    ]


def test_proxies_reach_the_operator_and_all_pods(helm):
    proxies = {"HTTP_PROXY": "http://proxy.example.com:3128", "HTTPS_PROXY": "http://[fd00::1]:3128"}
    both = proxies | {name.lower(): value for name, value in proxies.items()}
    environment = _environment(helm, "proxies and authorities")
    assert both.items() <= environment.items()
    none = "$(KUBERNETES_SERVICE_HOST),localhost,127.0.0.1,.svc,.cluster.local,10.0.0.0/8,.corp"
    assert (environment["NO_PROXY"], environment["no_proxy"]) == (none, none)
    defaults = OperatorSettings.from_environment(environment).pod_defaults
    # a variable of the administrator stands in place of the chart's, in capitals and in small letters
    assert {variable.name: variable.value for variable in defaults.env} == both | {"NO_PROXY": ".example.com"}
    only_https = _environment(helm, "authorities in a secret, and no proxy for http")
    assert {name for name in only_https if name.upper().endswith("_PROXY")} == {"HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy"}  # fmt: skip
    assert not any(name.upper().endswith("_PROXY") for name in _environment(helm, "the defaults"))


@pytest.mark.parametrize(
    ("variant", "source", "setting"),
    [
        (
            "proxies and authorities",
            {"configMap": {"name": "company-ca", "items": [{"key": "bundle.pem", "path": "ca.crt"}]}},
            {"configMap": "company-ca", "key": "bundle.pem"},
        ),
        (
            "authorities in a secret, and no proxy for http",
            {"secret": {"secretName": "company-ca", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
            {"secret": "company-ca", "key": "ca.crt"},
        ),
    ],
)
def test_the_operator_trusts_the_authorities_and_gives_them_to_all_pods(helm, variant, source, setting):
    pod = operator_pod(helm.rendered(VARIANTS[variant]))
    environment = environment_of(pod)
    trusted = OperatorSettings.from_environment(environment).trusted_ca
    assert trusted.to_wire() == setting
    (volume,) = [volume for volume in pod["spec"]["volumes"] if volume["name"] == "trusted-ca"]
    assert volume == {"name": "trusted-ca"} | source
    (mount,) = [mount for mount in pod["spec"]["containers"][0]["volumeMounts"] if mount["name"] == "trusted-ca"]
    assert (mount["mountPath"], mount["readOnly"]) == (CA_DIRECTORY, True)
    for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        assert environment[name] == f"{CA_DIRECTORY}/ca.crt"


def test_the_operator_asks_the_prometheus_of_the_values_with_its_token_and_authority(helm):
    pod = operator_pod(helm.rendered(VARIANTS["a Prometheus with a token and an authority"]))
    process = ProcessSettings.from_environment(environment_of(pod))
    assert process.prometheus_url == "https://prometheus.monitoring.svc:9090/tenant"
    volumes = {volume["name"]: volume for volume in pod["spec"]["volumes"]}
    mounts = {mount["name"]: mount for mount in pod["spec"]["containers"][0]["volumeMounts"]}
    assert volumes["prometheus-token"]["secret"]["items"] == [{"key": "bearer", "path": "token"}]
    assert volumes["prometheus-ca"]["configMap"]["items"] == [{"key": "ca.crt", "path": "ca.crt"}]
    assert str(process.prometheus_token_file) == f"{mounts['prometheus-token']['mountPath']}/token"
    assert str(process.prometheus_ca_file) == f"{mounts['prometheus-ca']['mountPath']}/ca.crt"


@pytest.mark.parametrize(
    ("variant", "ports"),
    [
        ("the defaults", []),
        ("a Prometheus with a token and an authority", [9090]),
        ("a Prometheus behind a Service of another port", [9090]),
    ],
)
def test_the_operator_may_connect_to_the_prometheus_of_the_values(helm, variant, ports):
    (policy,) = of_kind(helm.rendered(VARIANTS[variant]), "NetworkPolicy")
    _dns, _api_server, _comparators, *others = policy["spec"]["egress"]
    assert [port["port"] for rule in others for port in rule["ports"]] == ports


@pytest.mark.parametrize(
    ("variant", "namespaces"),
    [("the defaults", "tuneloop-system"), ("two namespaces", "team-a,team-b"), ("all namespaces", "")],
)
def test_the_operator_watches_what_it_has_rights_in(helm, variant, namespaces):
    objects = helm.rendered(VARIANTS[variant])
    roles = [
        role["metadata"]["namespace"]
        for role in of_kind(objects, "Role")
        if role["metadata"]["name"] == "tuneloop-tuneloop-system"
    ]
    assert environment_of(operator_pod(objects))["TUNELOOP_NAMESPACES"] == namespaces
    assert sorted(roles) == [namespace for namespace in namespaces.split(",") if namespace]


@pytest.mark.parametrize("variant", ["the defaults", "names of its own"])
def test_ports_that_are_named_are_there(helm, variant):
    objects = helm.rendered(VARIANTS[variant], served=[PROMETHEUS])
    (container,) = operator_pod(objects)["spec"]["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    environment = environment_of(operator_pod(objects))
    variables = {"progress": "PROGRESS", "routers": "ROUTER", "metrics": "METRICS", "health": "HEALTH"}
    assert {name: str(number) for name, number in ports.items()} == {
        name: environment[f"TUNELOOP_{variable}_PORT"] for name, variable in variables.items()
    }
    (policy,) = of_kind(objects, "NetworkPolicy")
    assert {port["port"] for port in policy["spec"]["ingress"][0]["ports"]} == set(ports)
    assert {container[f"{kind}Probe"]["httpGet"]["port"] for kind in ("liveness", "readiness")} <= set(ports)
    services = {service["metadata"]["name"]: service["spec"] for service in of_kind(objects, "Service")}
    progress = services.pop(environment["TUNELOOP_PROGRESS_SERVICE"])
    (metrics,) = services.values()
    (monitor,) = of_kind(objects, "ServiceMonitor")
    assert "selector" not in progress
    # a slice's port belongs to the Service's port of the same name
    for_pods = {port["name"]: (port["port"], port["targetPort"]) for port in progress["ports"]}
    assert for_pods == {name: (ports[own], ports[own]) for name, own in ((PROGRESS, "progress"), (ROUTERS, "routers"))}
    assert metrics["ports"][0]["targetPort"] in ports
    assert monitor["spec"]["endpoints"][0]["port"] == metrics["ports"][0]["name"]


def test_the_operator_may_connect_to_the_counts_of_comparators_alone(helm):
    (policy,) = of_kind(helm.rendered(VARIANTS["the defaults"], served=[PROMETHEUS]), "NetworkPolicy")
    *_, counts = policy["spec"]["egress"]
    (peer,) = counts["to"]
    assert peer == {"namespaceSelector": {}, "podSelector": {"matchLabels": {COMPONENT_LABEL: COMPARATOR}}}
    assert counts["ports"] == [{"port": METRICS_PORT, "protocol": "TCP"}]


@EACH_VARIANT
def test_selectors_find_the_operators_pods(helm, values):
    objects = helm.rendered(values, served=[PROMETHEUS])
    labels = operator_pod(objects)["metadata"]["labels"].items()
    services = {service["metadata"]["name"]: service for service in of_kind(objects, "Service")}
    for found in objects:
        spec = found.get("spec") or {}
        if found["kind"] == "Service":
            assert (spec.get("selector") or {}).items() <= labels
        elif found["kind"] == "ServiceMonitor":
            chosen = [
                s
                for s in services.values()
                if spec["selector"]["matchLabels"].items() <= s["metadata"]["labels"].items()
            ]
            assert len(chosen) == 1
        elif found["metadata"]["name"].endswith("-models"):
            assert found["spec"]["selector"] == {"matchExpressions": [{"key": DEPLOYMENT_LABEL, "operator": "Exists"}]}
        elif found["kind"] in {"Deployment", "NetworkPolicy", "PodDisruptionBudget", "PodMonitor"}:
            selector = spec.get("podSelector") or spec["selector"]
            assert selector["matchLabels"].items() <= labels


@pytest.mark.parametrize("values", [{}, {"crds": {"keep": False}}], ids=["kept", "removed with the release"])
def test_the_crds_are_those_of_the_models(helm, values):
    wanted = {crd.definition(resource)["metadata"]["name"]: crd.definition(resource) for resource in crd.RESOURCES}
    for found in of_kind(helm.rendered(values), "CustomResourceDefinition"):
        bare = copy.deepcopy(found)
        assert bare["metadata"].pop("labels")
        policy = bare["metadata"].pop("annotations", {}).get("helm.sh/resource-policy")
        assert policy == (None if values else "keep")
        assert bare == wanted.pop(found["metadata"]["name"])
    assert wanted == {}


def test_the_charts_copy_of_the_crds_is_current():
    copied = {path.name: path.read_text() for path in (CHART / "crds-files").iterdir()}
    assert copied == crd.files(), "run `make crds`"


@pytest.mark.parametrize("release", ["1st.release", "a" * 53, "tuneloop"])
def test_names_and_labels_are_good_for_any_release_name(helm, release):
    for found in helm.rendered(release=release):
        name = found["metadata"]["name"]
        if found["kind"] in {"Service", "Deployment"}:
            assert len(name) <= 63, name
            assert "." not in name
        assert all(len(value) <= 63 for value in found["metadata"]["labels"].values()), identity(found)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"progress": {"tls": {"source": "existingSecret"}}}, "progress.tls.existingSecret: must name a Secret"),
        ({"serviceAccount": {"create": False}}, "serviceAccount.name: must name an account"),
        (
            {"watchNamespaces": ["kube-system"]},
            "watchNamespaces: kube-system is watched, and admissionPolicy.neverIn names it",
        ),
        ({"router": {"port": 8443}}, "router.port: 8443 is progress.port, too; give each a port of its own"),
    ],
)
def test_values_that_contradict_each_other_are_refused(helm, values, message):
    with pytest.raises(HelmError, match=message):
        helm.rendered(values)


def test_two_releases_share_no_object_but_the_crds(helm):
    first = {identity(found) for found in helm.rendered(namespace="team-a")}
    second = {identity(found) for found in helm.rendered(namespace="team-b")}
    assert {name for _, _, name in first & second} == {text.split()[1] for text in CRDS}


def _names(objects):
    return {f"{found['kind']} {found['metadata']['name']}" for found in objects}


def _environment(helm, variant):
    return environment_of(operator_pod(helm.rendered(VARIANTS[variant])))
