"""The checker of `restricted` itself finds each offence."""

from __future__ import annotations

import copy

import pytest
from helm_chart import operator_pod
from pod_security import offences

BROKEN = [
    ("spec hostNetwork", True, "hostNetwork: must not be set"),
    ("spec hostPID", True, "hostPID: must not be set"),
    ("spec volumes 0", {"name": "x", "hostPath": {"path": "/"}}, "volumes.x: hostPath is not allowed"),
    ("spec securityContext sysctls", [{"name": "a", "value": "b"}], "securityContext.sysctls: is not allowed"),
    ("spec securityContext runAsUser", 0, "securityContext.runAsUser: must not be 0"),
    ("spec securityContext runAsNonRoot", False, "operator.runAsNonRoot: must be true"),
    ("spec securityContext seccompProfile", {"type": "Unconfined"}, "operator.seccompProfile.type: must be RuntimeDefault or Localhost"),
    ("container privileged", True, "operator.privileged: must not be true"),
    ("container allowPrivilegeEscalation", True, "operator.allowPrivilegeEscalation: must be false"),
    ("container capabilities", {"drop": ["NET_RAW"]}, "operator.capabilities.drop: must hold ALL"),
    ("container capabilities", {"drop": ["ALL"], "add": ["SYS_ADMIN"]}, "operator.capabilities.add: only NET_BIND_SERVICE"),
    ("container runAsNonRoot", False, "operator.runAsNonRoot: must be true"),
    ("container runAsUser", 0, "operator.runAsUser: must not be 0"),
    ("container procMount", "Unmasked", "operator.procMount: must be Default"),
    ("container readOnlyRootFilesystem", False, "operator.readOnlyRootFilesystem: must be true"),
]  # fmt: skip


@pytest.fixture(scope="module")
def good_pod(helm):
    return operator_pod(helm.rendered())


@pytest.mark.parametrize(("path", "value", "offence"), BROKEN, ids=[case[2] for case in BROKEN])
def test_an_offence_is_found_and_named(good_pod, path, value, offence):
    pod = copy.deepcopy(good_pod)
    node = pod
    *above, last = path.replace("container ", "spec containers 0 securityContext ").split()
    for key in above:
        node = node[int(key) if key.isdigit() else key]
    node[int(last) if last.isdigit() else last] = value
    assert offences(pod) == [offence]
