"""The operator's rights are those that were reviewed, and nothing else."""

from __future__ import annotations

import pytest
from chart_values import VARIANTS
from helm_chart import of_kind, reviewed_rights, rights_of

from tuneloop_operator.names import NAMESPACE_LEASE

WATCHED_IN = {"the defaults": {"tuneloop-system"}, "two namespaces": {"team-a", "team-b"}, "all namespaces": {None}}
NEVER = {"secrets", "serviceaccounts", "serviceaccounts/token", "nodes", "persistentvolumes", "customresourcedefinitions", "pods/exec", "pods/log", "pods/proxy", "pods/portforward", "pods/ephemeralcontainers"}  # fmt: skip


@pytest.mark.parametrize("variant", WATCHED_IN)
def test_every_right_has_a_reason_and_every_reason_a_right(helm, variant):
    rights = rights_of(helm.rendered(VARIANTS[variant]))
    reviewed = reviewed_rights()
    assert set(rights) - set(reviewed) == set(), "rights without a reason in RBAC.md"
    assert set(reviewed) - set(rights) == set(), "reasons in RBAC.md without a right"


@pytest.mark.parametrize(("variant", "namespaces"), WATCHED_IN.items(), ids=WATCHED_IN)
def test_a_right_holds_in_the_namespaces_of_its_scope(helm, variant, namespaces):
    holds_in = {"watched": namespaces, "release": {"tuneloop-system"}, "cluster": {None}}
    for right, places in rights_of(helm.rendered(VARIANTS[variant])).items():
        assert {namespace for namespace, _ in places} == holds_in[right.where], right


def test_rights_in_the_release_namespace_are_limited_to_one_name(helm):
    rights = rights_of(helm.rendered({"leaseName": "a", "progress": {"service": "b"}}))
    names = {right[2:]: places for right, places in rights.items() if right.where == "release"}
    assert {key: only for key, places in names.items() for _, only in places} == {
        ("leases", "create"): (),
        ("leases", "get"): ("a",),
        ("leases", "update"): ("a",),
        ("endpointslices", "create"): (),
        ("endpointslices", "patch"): ("b",),
    }


def test_leases_of_watched_namespaces_are_limited_to_one_name(helm):
    rights = rights_of(helm.rendered(VARIANTS["two namespaces"]))
    names = {
        right.verb: {only for _, only in places}
        for right, places in rights.items()
        if right[::2] == ("watched", "leases")
    }
    assert names == {"create": {()}, "get": {(NAMESPACE_LEASE,)}, "update": {(NAMESPACE_LEASE,)}}


@pytest.mark.parametrize("variant", VARIANTS)
def test_no_role_has_a_wildcard_or_a_right_that_leads_to_others(helm, variant):
    objects = helm.rendered(VARIANTS[variant])
    for role in [*of_kind(objects, "Role"), *of_kind(objects, "ClusterRole")]:
        for rule in role["rules"]:
            words = {*rule["apiGroups"], *rule["resources"], *rule["verbs"]}
            assert not words & ({"*", "rbac.authorization.k8s.io", "escalate", "bind", "impersonate"} | NEVER), role


def test_users_roles_reach_only_our_kinds(helm):
    roles = [
        role
        for role in of_kind(helm.rendered(), "ClusterRole")
        if "rbac.authorization.k8s.io/aggregate-to-admin" in role["metadata"]["labels"]
    ]
    assert len(roles) == 2
    for role in roles:
        assert [(rule["apiGroups"], rule["resources"]) for rule in role["rules"]] == [
            (["tuneloop.dev"], ["finetunejobs", "modeldeployments"]),
            (["tuneloop.dev"], ["modeldeployments/scale"]),
        ]
    assert {role["metadata"]["name"].rsplit(":")[-1]: role["rules"][1]["verbs"] for role in roles} == {
        "view": ["get"],
        "edit": ["update", "patch"],
    }
