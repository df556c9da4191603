"""The admission policies hold for the operator's account alone, and for each of its writes."""

from __future__ import annotations

import pytest
from chart_values import VARIANTS
from helm_chart import CHART, of_kind, operator_pod, reviewed_rights

OPERATIONS = {"create": "CREATE", "update": "UPDATE", "patch": "UPDATE", "delete": "DELETE"}
WITHOUT_A_POLICY = {
    "finetunejobs create",
    "finetunejobs delete",
    "finetunejobs/status patch",
    "modeldeployments/status patch",
    "finetunejobs/finalizers update",
    "modeldeployments/finalizers update",
    "events create",
    "tokenreviews create",
}
"""Writes that no policy looks at: RBAC.md says why."""


@pytest.mark.parametrize("variant", ["the defaults", "all namespaces"])
def test_each_write_is_looked_at_or_named_as_harmless(helm, variant):
    looked_at = {
        (group, resource, operation)
        for policy in _policies(helm, variant)
        for rule in policy["spec"]["matchConstraints"]["resourceRules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for operation in rule["operations"]
    }
    writes = [right for right in reviewed_rights() if right.verb in OPERATIONS]
    free = {
        f"{right.resource} {right.verb}"
        for right in writes
        if (right.group, right.resource, OPERATIONS[right.verb]) not in looked_at
    }
    assert free == WITHOUT_A_POLICY
    assert all(f"`{write}`" in (CHART / "RBAC.md").read_text() for write in WITHOUT_A_POLICY)


@pytest.mark.parametrize("variant", ["the defaults", "an account that exists", "names of its own"])
def test_a_policy_is_for_the_operators_account(helm, variant):
    account = operator_pod(helm.rendered(VARIANTS[variant]))["spec"]["serviceAccountName"]
    for policy in _policies(helm, variant):
        first = policy["spec"]["matchConditions"][0]["expression"]
        assert first == f"request.userInfo.username == 'system:serviceaccount:tuneloop-system:{account}'"
        assert policy["spec"]["failurePolicy"] == "Fail"


def test_each_policy_is_bound_and_refuses(helm):
    bindings = of_kind(helm.rendered(), "ValidatingAdmissionPolicyBinding")
    assert {binding["spec"]["policyName"] for binding in bindings} == {
        policy["metadata"]["name"] for policy in _policies(helm, "the defaults")
    }
    assert all(binding["spec"]["validationActions"] == ["Deny"] for binding in bindings)


@pytest.mark.parametrize(
    ("variant", "expression"),
    [
        ("two namespaces", '!(request.namespace in ["kube-system","kube-public","kube-node-lease"]) && request.namespace in ["team-a","team-b"]'),
        ("all namespaces", '!(request.namespace in ["kube-system","kube-public","kube-node-lease","tuneloop-system"])'),
        (
            "all namespaces of teams",
            '!(request.namespace in ["kube-system","payments","tuneloop-system"]) && namespaceObject.metadata.?labels[?"example.com/team"].orValue("") == "ml"',
        ),
    ],
)  # fmt: skip
def test_the_operator_writes_where_it_watches(helm, variant, expression):
    children = next(found for found in _policies(helm, variant) if found["metadata"]["name"].endswith(".children"))
    assert children["spec"]["validations"][0]["expression"] == expression


def _policies(helm, variant):
    policies = of_kind(helm.rendered(VARIANTS[variant]), "ValidatingAdmissionPolicy")
    assert policies
    return policies
