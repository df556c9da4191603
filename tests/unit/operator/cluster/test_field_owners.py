"""When an apply that names no number of pods would take it back."""

from __future__ import annotations

from typing import Any

import pytest

from tuneloop_operator.cluster.field_owners import apply_resets_replicas

OURS = ("tuneloop", "Apply")
OURS_BY_PATCH = ("tuneloop", "Update")
HANDED_OVER = ("tuneloop-handover", "Apply")
AUTOSCALER = ("kube-controller-manager", "Update")


def deployment(*owners: tuple[str, str]) -> dict[str, Any]:
    """Return a Deployment whose number of pods these field managers own; the operator owns the rest."""
    entries: list[dict[str, Any]] = [
        {"manager": manager, "operation": operation, "fieldsV1": {"f:spec": {"f:replicas": {}}}}
        for manager, operation in owners
    ]
    entries.append({"manager": "tuneloop", "operation": "Apply", "fieldsV1": {"f:spec": {"f:template": {}}}})
    entries.append({"manager": "kubelet", "operation": "Update", "subresource": "status"})
    return {"kind": "Deployment", "metadata": {"managedFields": entries}, "spec": {"replicas": 3}}


@pytest.mark.parametrize(
    ("owners", "resets"),
    [
        pytest.param((OURS,), True, id="our applies alone"),
        pytest.param((OURS, HANDED_OVER), False, id="handed over"),
        pytest.param((HANDED_OVER,), False, id="left out before"),
        pytest.param((AUTOSCALER,), False, id="changed by the autoscaler"),
        pytest.param((OURS_BY_PATCH,), False, id="our patch, which no apply takes back"),
        pytest.param((), False, id="nobody"),
    ],
)
def test_only_a_number_that_nobody_else_owns_is_taken_back(owners: tuple[tuple[str, str], ...], resets: bool) -> None:
    assert apply_resets_replicas(deployment(*owners), {"spec": {}}) is resets


def test_an_apply_that_names_the_number_takes_nothing_back() -> None:
    assert not apply_resets_replicas(deployment(OURS), {"spec": {"replicas": 3}})


def test_other_kinds_have_no_number() -> None:
    assert not apply_resets_replicas(deployment(OURS) | {"kind": "Service"}, {"spec": {}})
