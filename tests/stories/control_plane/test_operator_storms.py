"""The API server answers with errors, breaks watches off and lets them lie: every job still ends as it should, and nobody else waits."""

from __future__ import annotations

import pytest
from cluster_tier import fresh_namespace
from fault_proxy import CutWatch, Delay, FaultProxy, Invoke, Match, Rule, StallWatch, Status, WatchError, writes
from namespace_client import NamespaceClient
from operator_process import RunningOperator
from pod_status_patcher import PodStatusPatcher
from waiting import until

STATUS_WRITE = {"verb": "patch", "resource": "finetunejobs", "subresource": "status"}
ALL_BUT_WATCHES = r"(?!watch$).*"
ORDINARY = {"verb": ALL_BUT_WATCHES, "resource": "(?!leases).*"}
"""The API server keeps room of its own for Leases; and calls that fail at fixed intervals must not coincide with calls that are repeated at fixed intervals."""
WRITES = {"verb": "create|apply|patch|delete", "resource": "(?!leases).*"}
ALL_BUT_LISTS = r"(?!watch$|list$).*"
RETRY_AFTER = 1
OTHERS = (
    "services", "configmaps", "deployments", "networkpolicies", "poddisruptionbudgets", "horizontalpodautoscalers", "leases", "endpointslices", "events", "finetunejobs",
    "finetunejobs/status", "modeldeployments", "modeldeployments/status",
)  # fmt: skip


@pytest.fixture(scope="module")
def kubelet(custom_resources):
    """All pods succeed, unless a test says otherwise."""
    with PodStatusPatcher(custom_resources) as playing:
        yield playing


@pytest.fixture
def client(custom_resources, namespace, kubelet):
    return NamespaceClient(custom_resources, namespace)


@pytest.fixture
def other(custom_resources, kubelet):
    """Another namespace of the same operator."""
    with fresh_namespace(custom_resources) as name:
        yield NamespaceClient(custom_resources, name)


@pytest.fixture
def proxy(custom_resources, tmp_path):
    with FaultProxy(custom_resources, folder=tmp_path / "proxy") as between:
        yield between


@pytest.fixture
def operator(proxy, client, other, tmp_path):
    """A leader of both namespaces behind the proxy."""
    namespaces = f"{client.namespace},{other.namespace}"
    with RunningOperator(
        None, tmp_path, kubeconfig=proxy.kubeconfig, pod_namespace=client.namespace, namespaces=namespaces
    ) as running:
        yield running.wait_ready().wait_leading()


@pytest.mark.parametrize(
    "rules",
    [
        pytest.param([Rule(Match(**STATUS_WRITE, first=5), Status(409))], id="5 conflicts in a row"),
        pytest.param([Rule(Match(**ORDINARY, every=3), Status(500))], id="each third call fails"),
        pytest.param([Rule(Match(verb=ALL_BUT_WATCHES), Delay(1.0, after=True))], id="each call takes a second more"),
        pytest.param(
            [Rule(Match(**WRITES, every=2), Invoke(lambda _: Status(504), after=True))],
            id="each second write lands, and its answer is that it took too long",
        ),
        pytest.param(
            [Rule(Match(**ORDINARY, every=2), Status(429, retry_after=RETRY_AFTER))],
            id="each second call is too much",
            marks=pytest.mark.full,
        ),
        pytest.param([Rule(Match(event="MODIFIED", every=4), CutWatch(half=True))], id="watches are cut in an event"),
        pytest.param([Rule(Match(event="MODIFIED", every=4), WatchError(410))], id="watches expire"),
        pytest.param([Rule(Match(event="ADDED", every=3), WatchError(500))], id="watches fail"),
    ],
)
def test_a_job_ends_well_in_spite_of(operator, proxy, client, rules):
    active = [proxy.add(rule) for rule in rules]
    client.submit()
    client.wait_for_phase("reviews", "Succeeded", seconds=120)
    assert all(rule.fired for rule in active)
    assert client.names("Job") == {"reviews-prepare", "reviews-a1", "reviews-export"}
    assert client.status().get("restarts") is None
    assert operator.process.poll() is None


def test_a_job_that_landed_although_the_answer_was_that_it_took_too_long_is_ours_before_any_watch_shows_it(
    operator, proxy, client
):
    stalled = proxy.add(Rule(Match(verb="watch", resource="jobs", namespace=client.namespace), StallWatch()))
    landed = proxy.add(
        Rule(
            Match(verb="create", resource="jobs", namespace=client.namespace, first=1),
            Invoke(lambda _: Status(504), after=True),
        )
    )
    client.submit()
    landed.wait()
    uid = client.stored("Job", "reviews-prepare")["metadata"]["uid"]
    until(lambda: known_uid(client) == uid, seconds=60, what="the uid of the Job in the status")
    assert warnings(operator) == []
    stalled.remove()
    client.wait_for_phase("reviews", "Succeeded", seconds=120)
    assert client.names("Job") == {"reviews-prepare", "reviews-a1", "reviews-export"}


def known_uid(client: NamespaceClient) -> str | None:
    """Return the uid of the prepare Job as the operator has written it down."""
    return client.status().get("children", {}).get("prepare", {}).get("uid")


def test_an_operator_of_two_namespaces_reads_no_object_of_the_cluster(operator, proxy, client):
    """kopf would list and watch custom resource definitions and namespaces, to find out what else it could watch."""
    client.submit()
    client.wait_for_phase("reviews", "Succeeded", seconds=120)
    read = {call.resource for call in proxy.trace if call.verb in {"get", "list", "watch"}}
    assert read >= {"finetunejobs", "jobs", "pods"}
    assert read & {"customresourcedefinitions", "namespaces"} == set()


def test_a_watch_that_lay_still_and_breaks_off_is_caught_up_with(operator, proxy, client):
    watches = Match(verb="watch", resource="jobs|pods", namespace=client.namespace)
    stalled = proxy.add(Rule(watches, StallWatch()))
    client.submit()
    until(lambda: pods_are_over(client), seconds=60, what="a stage whose end is not reported")
    expired = proxy.add(Rule(watches, WatchError(410)))
    expired.wait(2)
    expired.remove()
    stalled.remove()
    client.wait_for_phase("reviews", "Succeeded", seconds=120)


def pods_are_over(client: NamespaceClient) -> bool:
    pods = client.all("Pod")
    return bool(pods) and all(pod["status"]["phase"] == "Succeeded" for pod in pods)


def test_after_too_many_requests_nothing_is_asked_for_as_long_as_the_api_server_says(operator, proxy, client):
    proxy.add(Rule(Match(verb=ALL_BUT_LISTS, resource="(?!leases).*", every=2), Status(429, retry_after=RETRY_AFTER)))
    client.submit()
    client.wait_for_phase("reviews", "Succeeded", seconds=120)
    asked = sorted(
        (call for call in proxy.trace if call.resource not in {"leases", ""} and call.verb not in {"list", "watch"}),
        key=lambda call: call.at,
    )
    refused = [call for call in asked if call.code == 429]
    too_soon = [
        (refusal.at, call.at, call.path)
        for refusal in refused
        for call in asked
        if refusal.at + refusal.seconds + 0.2 < call.at < refusal.at + refusal.seconds + RETRY_AFTER - 0.2
    ]
    assert refused
    assert too_soon == []


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(Status(500), id="errors"),
        pytest.param(Status(429, retry_after=RETRY_AFTER), id="429", marks=pytest.mark.full),
    ],
)
def test_other_namespaces_do_not_wait_for_one_that_fails(operator, proxy, client, other, answer):
    broken = proxy.add(
        Rule(Match(verb=ALL_BUT_LISTS, resource="(?!leases|endpointslices).*", namespace=client.namespace), answer)
    )
    for number in range(5):
        client.submit(f"stuck-{number}")
    broken.wait()
    other.submit()
    other.wait_for_phase("reviews", "Succeeded", seconds=120)
    assert client.names("Job") == set()
    broken.remove()
    for number in range(5):
        client.wait_for_phase(f"stuck-{number}", "Succeeded", seconds=120)


def test_a_job_whose_deletion_was_missed_gets_no_children(operator, proxy, client, kubelet):
    """The operator sees the children go and does not know why: it must read the job before it makes them again."""
    kubelet.scripts["ghost/train"] = "hang"
    client.submit("ghost")
    client.wait_for_phase("ghost", "Running")
    jobs = Match(verb="watch", resource="finetunejobs", namespace=client.namespace)
    stalled = proxy.add(Rule(jobs, StallWatch()))
    before = len(proxy.trace)
    client.delete("FineTuneJob", "ghost")
    until(
        lambda: not (client.names("Job") | client.names("Pod") | client.names("ConfigMap")),
        seconds=60,
        what="no children",
    )
    until(
        lambda: has_read(proxy.trace[before:], "ghost"), seconds=60, what="a live read of the job whose children went"
    )
    expired = proxy.add(Rule(jobs, WatchError(410)))
    expired.wait()
    expired.remove()
    stalled.remove()
    client.submit("next")  # once it has ended, all earlier events have been worked off
    client.wait_for_phase("next", "Succeeded", seconds=120)
    calls = [call for call in writes(proxy.trace[before:]) if call.namespace == client.namespace and call.is_applied]
    assert [call for call in calls if call.name.startswith("ghost")] == []


def has_read(calls, name: str) -> bool:
    """Return whether the operator has read a FineTuneJob itself, past its watch."""
    return any((call.verb, call.resource, call.name) == ("get", "finetunejobs", name) for call in calls)


def test_a_list_that_is_not_allowed_is_named_in_the_log(custom_resources, namespace, tmp_path):
    """One line says verb, resource and namespace; the operator waits for the right, and is ready once it has it."""
    token = user_without_pods(custom_resources, namespace)
    with (
        FaultProxy(custom_resources, folder=tmp_path / "proxy", token=token) as proxy,
        RunningOperator(
            None, tmp_path, kubeconfig=proxy.kubeconfig, pod_namespace=namespace, namespaces=namespace
        ) as operator,
    ):
        until(
            lambda: lines_about_the_list(operator, namespace), seconds=60, what=f"a line that names it:\n{operator.log}"
        )
        assert operator.get("/readyz")[0] == 503
        assert operator.process.poll() is None
        allow(custom_resources, namespace, name="pods", resources=["pods"])
        operator.wait_ready()


def lines_about_the_list(operator: RunningOperator, namespace: str) -> list[str]:
    return [line for line in warnings(operator) if all(word in line for word in ("list", '"pods"', f'"{namespace}"'))]


def test_a_right_that_is_taken_away_stops_that_namespace_alone_until_it_is_given_back(
    custom_resources, client, other, tmp_path
):
    token = user_of(custom_resources, client.namespace)
    for namespace in (client.namespace, other.namespace):
        for name, resources in (("jobs", ["jobs"]), ("others", [*OTHERS, "pods"])):
            allow(custom_resources, namespace, name=name, resources=resources, user=client.namespace)
    namespaces = f"{client.namespace},{other.namespace}"
    with (
        FaultProxy(custom_resources, folder=tmp_path / "proxy", token=token) as proxy,
        RunningOperator(
            None, tmp_path, kubeconfig=proxy.kubeconfig, pod_namespace=client.namespace, namespaces=namespaces
        ) as operator,
    ):
        operator.wait_ready().wait_leading()
        roles = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{client.namespace}"
        assert custom_resources.request("DELETE", f"{roles}/rolebindings/jobs").status == 200
        client.submit()
        until(
            lambda: [line for line in warnings(operator) if "jobs" in line and f'"{client.namespace}"' in line],
            seconds=60,
            what="a line that names the right",
        )
        refused = until(lambda: client.condition("reviews", "Refused"), seconds=60, what="a condition that names it")
        assert 'cannot create resource "jobs"' in refused["message"]
        other.submit()
        other.wait_for_phase("reviews", "Succeeded", seconds=120)
        assert client.names("Job") == set()
        assert operator.process.poll() is None
        binding = binding_of("jobs", user=client.namespace)
        assert custom_resources.request("POST", f"{roles}/rolebindings", binding).status == 201
        client.wait_for_phase("reviews", "Succeeded", seconds=180)
        assert client.condition("reviews", "Refused") is None


def warnings(operator: RunningOperator) -> list[str]:
    return [record["message"] for record in operator.log_lines if record["level"] in {"ERROR", "WARNING"}]


def user_without_pods(plane, namespace: str) -> str:
    """Return the token of a service account that may do everything in a namespace, but nothing with pods."""
    allow(plane, namespace, name="others", resources=[*OTHERS, "jobs"])
    return user_of(plane, namespace)


def user_of(plane, namespace: str) -> str:
    """Return a token of the namespace's default service account."""
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 3600}}
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts/default/token"
    reply = plane.request("POST", path, request)
    assert reply.status == 201, reply.body
    return reply.body["status"]["token"]


def allow(plane, namespace: str, *, name: str, resources: list[str], user: str | None = None) -> None:
    """Let the default service account of the namespace `user` (default: of the same one) do everything with these resources."""
    path = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}"
    rules = [{"apiGroups": ["*"], "resources": resources, "verbs": ["*"]}]
    role = {"metadata": {"name": name}, "rules": rules}
    for plural, body in (("roles", role), ("rolebindings", binding_of(name, user=user or namespace))):
        reply = plane.request("POST", f"{path}/{plural}", body)
        assert reply.status == 201, reply.body


def binding_of(name: str, *, user: str) -> dict:
    return {
        "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": "default", "namespace": user}],
    }
