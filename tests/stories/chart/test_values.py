"""Values that are wrong are refused with their path; values that are hostile change no structure."""

from __future__ import annotations

import json
import re

import pytest
import yaml
from helm_chart import CHART, HelmError, identity

SCHEMA = json.loads((CHART / "values.schema.json").read_text())
VALUES = (CHART / "values.yaml").read_text()
OPEN = {("global",)}
"""What Helm passes down from a parent chart is not ours to describe."""

REFUSED = [
    ({"replica": 2}, "", "replica"),
    ({"replicas": "2"}, "replicas", "integer"),
    ({"replicas": -1}, "replicas", "0"),
    ({"replicas": 1.5}, "replicas", "integer"),
    ({"image": {"tags": "v1"}}, "image", "tags"),
    ({"image": {"tag": "v1\nlatest"}}, "image/tag", "pattern"),
    ({"image": {"tag": 1.1}}, "image/tag", "string"),
    ({"image": {"repository": "Registry/Operator"}}, "image/repository", "pattern"),
    ({"image": {"repository": "registry/operator:v1@sha256:0"}}, "image/repository", "pattern"),
    ({"image": {"digest": "sha256:0"}}, "image/digest", "pattern"),
    ({"image": {"pullPolicy": "always"}}, "image/pullPolicy", "Always"),
    ({"trainer": {"image": {"tag": "a b"}}}, "trainer/image/tag", "pattern"),
    ({"router": {"image": {"digest": "sha256:0"}}}, "router/image/digest", "pattern"),
    ({"router": {"port": 443}}, "router/port", "1,024"),
    ({"router": {"replicas": 2}}, "router", "replicas"),
    ({"children": {"uid": 0}}, "children/uid", "1"),
    ({"children": {"defaultClaim": "My Claim"}}, "children/defaultClaim", "pattern"),
    ({"children": {"defaults": {"nodeselector": {}}}}, "children/defaults", "nodeselector"),
    ({"children": {"defaults": {"tolerations": [{"operator": "Is"}]}}}, "children/defaults/tolerations/0/operator", "Exists"),
    ({"children": {"defaults": {"env": {"A": "1"}}}}, "children/defaults/env", "array"),
    ({"children": {"defaults": {"env": [{"name": "A B", "value": "1"}]}}}, "children/defaults/env/0/name", "pattern"),
    ({"children": {"defaults": {"env": [{"name": "A"}]}}}, "children/defaults/env/0", "2"),
    ({"children": {"defaults": {"env": [{"name": "A", "value": 1}]}}}, "children/defaults/env/0/value", "string"),
    ({"children": {"defaults": {"env": [{"name": "A", "secretKeyRef": {"name": "a"}}]}}}, "children/defaults/env/0/secretKeyRef", "key"),
    ({"children": {"disruptionBudgets": "no"}}, "children/disruptionBudgets", "boolean"),
    ({"retraining": {"maxParallelRuns": 0}}, "retraining/maxParallelRuns", "1"),
    ({"children": {"allow": {"hostNetwork": "yes"}}}, "children/allow/hostNetwork", "boolean"),
    ({"children": {"allow": {"ipcLock": True}}}, "children/allow", "ipcLock"),
    ({"children": {"networkPolicy": {"egress": {"to": [{}]}}}}, "children/networkPolicy/egress/to/0", "1"),
    ({"children": {"networkPolicy": {"egress": {"to": [{"cidr": "10.0.0.0"}]}}}}, "children/networkPolicy/egress/to/0/cidr", "pattern"),
    ({"children": {"networkPolicy": {"egress": {"to": [{"cidr": "10.0.0.0/8", "namespace": "a"}]}}}}, "children/networkPolicy/egress/to/0", "not"),
    ({"children": {"networkPolicy": {"egress": {"to": [{"ports": [1], "except": ["10.0.0.0/8"]}]}}}}, "children/networkPolicy/egress/to/0", "cidr"),
    ({"proxy": {"http": "proxy:3128"}}, "proxy/http", "pattern"),
    ({"proxy": {"https": "http://user:password@proxy:3128"}}, "proxy/https", "pattern"),
    ({"proxy": {"noProxy": "a, b"}}, "proxy/noProxy", "pattern"),
    ({"proxy": {"no": "a"}}, "proxy", "'no' not allowed"),
    ({"trustedCA": {"configMap": "a", "secret": "b"}}, "trustedCA/secret", "0"),
    ({"trustedCA": {"configMap": "My CA"}}, "trustedCA/configMap", "pattern"),
    ({"trustedCA": {"secret": "a", "key": "../ca"}}, "trustedCA/key", "pattern"),
    ({"watchNamespaces": "team-a"}, "watchNamespaces", "array"),
    ({"watchNamespaces": ["team-a", "team-a"]}, "watchNamespaces", "1"),
    ({"watchNamespaces": ["a,b"]}, "watchNamespaces/0", "pattern"),
    ({"watchNamespaces": ["team-a"], "rbac": {"scope": "cluster"}}, "watchNamespaces", "0"),
    ({"rbac": {"scope": "all"}}, "rbac/scope", "namespaced"),
    ({"rbac": {"create": False}}, "rbac", "create"),
    ({"admissionPolicy": {"create": True}}, "admissionPolicy/create", "auto"),
    ({"admissionPolicy": {"neverIn": ["a'b"]}}, "admissionPolicy/neverIn/0", "pattern"),
    ({"admissionPolicy": {"namespaceLabels": {"a": "b c"}}}, "admissionPolicy/namespaceLabels/a", "pattern"),
    ({"crds": {"keep": "yes"}}, "crds/keep", "boolean"),
    ({"logLevel": "verbose"}, "logLevel", "DEBUG"),
    ({"workers": 1000}, "workers", "64"),
    ({"leaseName": "owner.tuneloop.dev"}, "leaseName", "allOf"),
    ({"namespaceLeaseSeconds": 9}, "namespaceLeaseSeconds", "10"),
    ({"progress": {"service": "tuneloop.progress"}}, "progress/service", "pattern"),
    ({"progress": {"port": 443}}, "progress/port", "1,024"),
    ({"progress": {"authentication": "none"}}, "progress/authentication", "TokenReview"),
    ({"progress": {"jwks": {"configMap": "keys"}}}, "progress/jwks/issuer", "1"),
    ({"progress": {"jwks": {"issuer": "https://issuer"}}}, "progress/jwks/issuer", "0"),
    ({"progress": {"tls": {"source": "none"}}}, "progress/tls/source", "generated"),
    ({"progress": {"tls": {"certManager": {"issuerRef": {"names": "x"}}}}}, "progress/tls/certManager/issuerRef", "names"),
    ({"monitor": {"interval": "30"}}, "monitor/interval", "pattern"),
    ({"monitor": {"labels": {"release": 'a"b'}}}, "monitor/labels/release", "pattern"),
    ({"monitor": {"models": {"create": True}}}, "monitor/models/create", "auto"),
    ({"monitor": {"rules": {"enabled": True}}}, "monitor/rules", "enabled"),
    ({"monitor": {"rules": {"labels": {"role": 1}}}}, "monitor/rules/labels/role", "string"),
    ({"monitor": {"dashboards": {"create": True}}}, "monitor/dashboards/create", "auto"),
    ({"monitor": {"dashboards": {"folder": "a: b"}}}, "monitor/dashboards/folder", "pattern"),
    ({"monitor": {"dashboards": {"labels": {"grafana_dashboard": 1}}}}, "monitor/dashboards/labels/grafana_dashboard", "string"),
    ({"monitor": {"alerts": {"enabled": True}}}, "monitor/alerts", "enabled"),
    ({"monitor": {"alerts": {"create": "yes"}}}, "monitor/alerts/create", "auto"),
    ({"monitor": {"alerts": {"runbooks": "a b"}}}, "monitor/alerts/runbooks", "pattern"),
    ({"networkPolicy": {"apiServerPorts": []}}, "networkPolicy/apiServerPorts", "1"),
    ({"networkPolicy": {"prometheusPorts": [0]}}, "networkPolicy/prometheusPorts/0", "1"),
    ({"prometheus": {"url": "prometheus:9090"}}, "prometheus/url", "pattern"),
    ({"prometheus": {"url": "https://user:word@prometheus"}}, "prometheus/url", "pattern"),
    ({"prometheus": {"url": "http://prometheus:9090", "tokenSecret": "reader"}}, "prometheus/url", "pattern"),
    ({"prometheus": {"tokenSecret": "reader"}}, "prometheus/url", "pattern"),
    ({"prometheus": {"url": "http://prometheus:9090", "caConfigMap": "ca"}}, "prometheus/url", "pattern"),
    ({"prometheus": {"token": "abc"}}, "prometheus", "token"),
    ({"resources": {"limits": {"memory": "512 MB"}}}, "resources/limits/memory", "pattern"),
    ({"resources": {"limit": {}}}, "resources", "limit"),
    ({"podLabels": {"team": "a b"}}, "podLabels/team", "pattern"),
    ({"podLabels": {"{{ .Release.Name }}": "a"}}, "podLabels", "not allowed"),
    ({"podAnnotations": {"a": 1}}, "podAnnotations/a", "string"),
    ({"tolerations": [{"keys": "pool"}]}, "tolerations/0", "keys"),
    ({"affinity": {"podAffinity": {"required": []}}}, "affinity/podAffinity", "required"),
    ({"topologySpreadConstraints": [{"maxSkew": 1}]}, "topologySpreadConstraints/0", "topologyKey"),
    ({"runAsUser": 0}, "runAsUser", "1"),
]  # fmt: skip
HOSTILE = [
    "a\nb: c",
    'a"b',
    "a'b",
    "{{ .Values }}",
    "{{ fail `x` }}",
    "a: b # c",
    "---\nkind: Secret",
    "*a",
    "\\",
    "${HOME}",
    "a\u2028b",
    "!!int 1",
]


@pytest.mark.parametrize(
    ("values", "path", "complaint"), REFUSED, ids=lambda case: json.dumps(case) if isinstance(case, dict) else None
)
def test_a_wrong_value_is_refused_with_its_path(helm, values, path, complaint):
    with pytest.raises(HelmError) as caught:
        helm.rendered(values)
    at = f"- at '/{path}'" if path else "- at ''"
    complaints = [line.strip() for line in str(caught.value).splitlines() if line.strip().startswith(at)]
    assert complaints, str(caught.value)
    assert complaint in complaints[0]


@pytest.mark.parametrize("payload", HOSTILE)
def test_a_hostile_string_is_refused_or_stays_a_string(helm, payload):
    """All free strings at once: those that the schema refuses are taken back, and the rest must change nothing but themselves."""
    usual = sorted(map(str, map(identity, helm.rendered(_with_note("harmless")))))
    paths = {path for path, value in _leaves(yaml.safe_load(VALUES)) if isinstance(value, str)}
    with pytest.raises(HelmError) as caught:
        helm.rendered(_put_all(paths, payload))
    refused = {tuple(found.split("/")) for found in re.findall(r"- at '/(\S+)'", str(caught.value))}
    assert paths <= refused, f"accepted as free text: {paths - refused}"
    objects = helm.rendered(_with_note(payload))
    assert sorted(map(str, map(identity, objects))) == usual
    annotated = [found for found in objects if payload in _strings(found)]
    assert [found["kind"] for found in annotated] == ["ServiceAccount", "Deployment"]


def test_a_patterned_string_has_no_line_break_at_its_end(helm):
    """`$` also stands before a last line break in some dialects of regular expressions."""
    with pytest.raises(HelmError, match="at '/leaseName'"):
        helm.rendered({"leaseName": "tuneloop\n"})


def test_every_object_of_the_schema_is_closed():
    for path, node in _nodes(SCHEMA):
        if node.get("type") == "object" and path not in OPEN:
            assert node.get("additionalProperties") is False, path


def test_every_string_of_the_schema_is_bounded():
    of_any_length = {("annotations", "*")}
    for path, node in _nodes(SCHEMA):
        if node.get("type") == "string" and path not in of_any_length:
            assert "maxLength" in node, path


def test_the_schema_knows_each_value_and_each_known_value_has_a_default():
    given = {path for path, _ in _leaves(yaml.safe_load(VALUES))}
    known = {path for path, _ in _nodes(SCHEMA) if path[0] not in SCHEMA["definitions"]} - OPEN
    assert {
        path for path in known if not any(_is_above(path, leaf) or _is_above(leaf, path) for leaf in given)
    } == set()
    assert {path for path in given if not _is_known(path)} == set()


def test_every_value_is_explained_in_the_line_above():
    lines = VALUES.splitlines()
    for number, line in enumerate(lines):
        opens_a_block = re.fullmatch(r" *[A-Za-z]+:", line)
        if line and not line.lstrip().startswith("#") and not opens_a_block:
            assert lines[number - 1].lstrip().startswith("#"), line


def _with_note(text):
    return {"podAnnotations": {"note": text}, "serviceAccount": {"annotations": {"note": text}}}


def _put_all(paths, value):
    values = {}
    for path in paths:
        node = values
        for key in path[:-1]:
            node = node.setdefault(key, {})
        node[path[-1]] = value
    return values


def _leaves(node, path=()):
    """Yield (path, value) of all that is no block of values."""
    if isinstance(node, dict) and node:
        for key, below in node.items():
            yield from _leaves(below, (*path, key))
    else:
        yield path, node


def _nodes(node, path=()):
    """Yield (path, schema) of all values; definitions stand at their own names, items and map values at `*`."""
    if path:
        yield path, node
    for name, below in (node.get("properties") or {}).items():
        yield from _nodes(below, (*path, name))
    for below in [node[key] for key in ("items",) if key in node] + list(node.get("patternProperties", {}).values()):
        yield from _nodes(below, (*path, "*"))
    if not path:
        for name, below in node["definitions"].items():
            yield from _nodes(below, (name,))


def _is_above(path, other):
    return other[: len(path)] == path


def _resolved(node):
    reference = node.get("$ref")
    return SCHEMA["definitions"][reference.rsplit("/", 1)[-1]] if reference else node


def _is_known(path):
    node = SCHEMA
    for key in path:
        node = _resolved(node)
        node = node.get("properties", {}).get(key) or next(iter(node.get("patternProperties", {}).values()), None)
        if not node:
            return False
    return True


def _strings(node):
    if isinstance(node, dict):
        return [text for key, below in node.items() for text in (key, *_strings(below))]
    if isinstance(node, list):
        return [text for below in node for text in _strings(below)]
    return [node]
