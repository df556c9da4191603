"""Our Helm chart, rendered by the real Helm, and what can be read from the result."""

from __future__ import annotations

import json
import os
import pickle
import re
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

import yaml

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "charts" / "tuneloop"
KUBERNETES = "1.31.0"
"""The oldest version that the chart says it supports."""


class HelmError(Exception):
    """Helm refused; the message is what it wrote."""


class Right(NamedTuple):
    """One thing that the operator may do; `where` is watched, release or cluster."""

    where: str
    group: str
    resource: str
    verb: str


@dataclass(frozen=True, kw_only=True)
class Helm:
    """One helm program with settings of its own, so that nothing of the user's is read or written."""

    program: Path
    home: Path
    kubeconfig: Path = Path("/dev/null")

    def run(self, *arguments, values=None):
        """Run helm; `values` become a values file. Return the finished process, whatever its exit status."""
        given = ("--values", "-") if values is not None else ()
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "KUBECONFIG": str(self.kubeconfig),
        }
        return subprocess.run(
            [str(self.program), *arguments, *given],
            input=json.dumps(values) if values is not None else "",
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
            env=environment,
        )

    def must(self, *arguments, values=None):
        """Run helm and return what it wrote. Raises HelmError."""
        done = self.run(*arguments, values=values)
        if done.returncode != 0:
            raise HelmError(done.stderr)
        return done.stdout

    def rendered(self, values=None, *, release="tuneloop", namespace="tuneloop-system", served=()):
        """Return the objects of `helm template`: the same ones, certificate and all, for the same arguments. Raises HelmError."""
        apis = [argument for api in served for argument in ("--api-versions", api)]
        words = ("template", release, str(CHART), "--namespace", namespace, "--kube-version", KUBERNETES, *apis)
        return pickle.loads(_rendered(self, words, json.dumps(values or {})))


@cache
def _rendered(helm, words, values):
    """Return the pickled objects of a rendering, of which every test gets a copy: to render takes half a second of work, and tests share variants."""
    return pickle.dumps(parsed(helm.must(*words, values=json.loads(values))))


def parsed(text):
    """Return the objects of a YAML stream."""
    return [document for document in yaml.load_all(text, Loader=yaml.CSafeLoader) if document is not None]


def of_kind(objects, kind):
    """Return the objects of a kind."""
    return [found for found in objects if found["kind"] == kind]


def identity(found):
    """Return what tells an object from all others."""
    metadata = found["metadata"]
    return found["kind"], metadata.get("namespace"), metadata["name"]


def operator_pod(objects):
    """Return the pod template of the operator."""
    (deployment,) = of_kind(objects, "Deployment")
    return deployment["spec"]["template"]


def environment_of(pod):
    """Return the environment of the operator's container; what comes from the downward API gets a plausible value."""
    fields = {
        "metadata.namespace": "tuneloop-system",
        "metadata.name": "tuneloop-6d4b75cb6d-hwwvt",
        "status.podIP": "10.0.0.7",
    }
    (container,) = pod["spec"]["containers"]
    return {
        entry["name"]: entry["value"] if "value" in entry else fields[entry["valueFrom"]["fieldRef"]["fieldPath"]]
        for entry in container["env"]
    }


def rights_of(objects, *, release_namespace="tuneloop-system"):
    """Return the rights that the roles bound to the operator's account give, each with the names that it is limited to."""
    roles = {identity(role): role for role in [*of_kind(objects, "Role"), *of_kind(objects, "ClusterRole")]}
    rights = {}
    for binding in [*of_kind(objects, "RoleBinding"), *of_kind(objects, "ClusterRoleBinding")]:
        namespace = binding["metadata"].get("namespace")
        role = roles[binding["roleRef"]["kind"], namespace, binding["roleRef"]["name"]]
        where = _where(role, release_namespace=release_namespace)
        for rule in role["rules"]:
            for right in _rights(rule, where=where):
                rights.setdefault(right, set()).add((namespace, tuple(rule.get("resourceNames", ()))))
    return rights


def _where(role, *, release_namespace):
    name = role["metadata"]["name"]
    if name.endswith("-leader"):
        assert role["metadata"]["namespace"] == release_namespace
        return "release"
    return "cluster" if name.endswith(":tokenreviews") else "watched"


def _rights(rule, *, where):
    assert set(rule) <= {"apiGroups", "resources", "resourceNames", "verbs"}, rule
    for group in rule["apiGroups"]:
        for resource in rule["resources"]:
            for verb in rule["verbs"]:
                yield Right(where, group, resource, verb)


def reviewed_rights():
    """Return the rights that RBAC.md lists, with their reasons."""
    rows = re.findall(
        r"^\| (watched|release|cluster) \| *(\S*) \| (\S+) \| (\S+) \| (.+) \|$",
        (CHART / "RBAC.md").read_text(),
        re.MULTILINE,
    )
    reasons = {Right(*row[:4]): row[4] for row in rows}
    assert len(reasons) == len(rows), "a right is listed twice"
    return reasons
