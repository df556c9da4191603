"""Settings from the environment: what is read, and the message about a wrong value."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tuneloop_operator.process import prometheus_place
from tuneloop_operator.prometheus.door import Place
from tuneloop_operator.settings.environment import SettingsError
from tuneloop_operator.settings.operator import OperatorSettings
from tuneloop_operator.settings.pod_defaults import PodDefaults
from tuneloop_operator.settings.process import ProcessSettings, explained_variables

POD = {
    "TUNELOOP_POD_NAMESPACE": "tuneloop-system",
    "TUNELOOP_POD_NAME": "tuneloop-operator-7d9-x",
    "TUNELOOP_POD_IP": "10.0.0.7",
}


def process(**variables: str) -> ProcessSettings:
    return ProcessSettings.from_environment(POD | variables)


def test_the_pod_alone_is_enough() -> None:
    settings = process()
    assert (settings.namespaces, settings.workers, settings.lease_name) == ((), 8, "tuneloop-operator")


@pytest.mark.parametrize(
    ("variable", "value", "field", "read"),
    [
        ("TUNELOOP_NAMESPACES", "team-a, team-b", "namespaces", ("team-a", "team-b")),
        ("TUNELOOP_NAMESPACES", "", "namespaces", ()),
        ("TUNELOOP_TLS_DIRECTORY", "/tls", "tls_directory", Path("/tls")),
        ("TUNELOOP_METRICS_PORT", "9090", "metrics_port", 9090),
        ("TUNELOOP_ROUTER_PORT", "", "router_port", 8444),
        ("TUNELOOP_POD_IP", "fd00::7", "pod_ip", "fd00::7"),
        ("TUNELOOP_LOG_LEVEL", "debug", "log_level", "DEBUG"),
        ("TUNELOOP_WORKERS", " 16 ", "workers", 16),
        ("TUNELOOP_WORKERS", "", "workers", 8),
        ("TUNELOOP_NAMESPACE_LEASE_SECONDS", "60", "namespace_lease_seconds", 60.0),
        ("TUNELOOP_PROGRESS_AUTHENTICATION", "JWKS", "progress_authentication", "JWKS"),
        ("TUNELOOP_LEASE_NAME", "second", "release", "tuneloop-system/second"),
        ("TUNELOOP_PROMETHEUS_URL", "http://prometheus:9090/", "prometheus_url", "http://prometheus:9090"),
        ("TUNELOOP_PROMETHEUS_URL", "", "prometheus_url", None),
    ],
)
def test_a_variable_sets_its_field(variable: str, value: str, field: str, read: object) -> None:
    assert getattr(process(**{variable: value}), field) == read


@pytest.mark.parametrize(
    ("variable", "value", "field", "read"),
    [
        ("TUNELOOP_TRAINER_IMAGE", "r/trainer@sha256:0", "trainer_image", "r/trainer@sha256:0"),
        ("TUNELOOP_IMAGE_PULL_POLICY", "Never", "image_pull_policy", "Never"),
        ("TUNELOOP_IMAGE_PULL_POLICY", "", "image_pull_policy", None),
        ("TUNELOOP_DEFAULT_CLAIM", "models", "default_claim", "models"),
        ("TUNELOOP_PROGRESS_URL", "https://p:8443", "progress_url", "https://p:8443"),
        ("TUNELOOP_UID", "2000", "uid", 2000),
        ("TUNELOOP_UID", "platform", "uid", None),
        ("TUNELOOP_GID", "platform", "gid", None),
        ("TUNELOOP_START_DEADLINE_SECONDS", "60", "start_deadline_seconds", 60.0),
        ("TUNELOOP_ALLOW_HOST_NETWORK", "true", "allow_host_network", True),
        ("TUNELOOP_ALLOW_HOST_NETWORK", "", "allow_host_network", False),
        ("TUNELOOP_MAX_PARALLEL_RETRAININGS", "4", "max_parallel_retrainings", 4),
        ("TUNELOOP_MAX_PARALLEL_RETRAININGS", "", "max_parallel_retrainings", None),
        ("TUNELOOP_POD_DEFAULTS", "", "pod_defaults", None),
        (
            "TUNELOOP_POD_DEFAULTS",
            '{"nodeSelector": {"a": "b"}}',
            "pod_defaults",
            PodDefaults(node_selector={"a": "b"}),
        ),
        (
            "TUNELOOP_POD_DEFAULTS",
            '{"env": [{"name": "NO_PROXY", "value": ".svc"}]}',
            "pod_defaults",
            PodDefaults.from_wire({"env": [{"name": "NO_PROXY", "value": ".svc"}]}),
        ),
    ],
)
def test_a_variable_sets_a_field_of_decisions(variable: str, value: str, field: str, read: object) -> None:
    assert getattr(OperatorSettings.from_environment({variable: value}), field) == read


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("TUNELOOP_NAMESPACES", "Team-A"),
        ("TUNELOOP_METRICS_PORT", "0"),
        ("TUNELOOP_METRICS_PORT", "65536"),
        ("TUNELOOP_POD_IP", "10.0.0.300"),
        ("TUNELOOP_POD_NAME", "Operator_0"),
        ("TUNELOOP_LOG_LEVEL", "TRACE"),
        ("TUNELOOP_WORKERS", "eight"),
        ("TUNELOOP_WORKERS", "8.5"),
        ("TUNELOOP_LEASE_NAME", "owner.tuneloop.dev"),
        ("TUNELOOP_NAMESPACE_LEASE_SECONDS", "9"),
        ("TUNELOOP_PROGRESS_AUTHENTICATION", "none"),
        ("TUNELOOP_TOKEN_ISSUER", "https://kubernetes.default.svc"),
        ("TUNELOOP_PROMETHEUS_URL", "prometheus:9090"),
        ("TUNELOOP_PROMETHEUS_URL", "http://prometheus/#x"),
        ("TUNELOOP_PROMETHEUS_TOKEN_FILE", "/token"),
        ("TUNELOOP_PROMETHEUS_CA_FILE", "/ca.crt"),
        ("TUNELOOP_TRAINER_IMAGE", "an image"),
        ("TUNELOOP_IMAGE_PULL_POLICY", "Sometimes"),
        ("TUNELOOP_ALLOW_HOST_NETWORK", "perhaps"),
        ("TUNELOOP_MAX_PARALLEL_RETRAININGS", "0"),
        ("TUNELOOP_POD_DEFAULTS", "{"),
        ("TUNELOOP_POD_DEFAULTS", '{"nodeSelectors": {}}'),
        ("TUNELOOP_POD_DEFAULTS", '{"labels": {"tuneloop.dev/job": "a"}}'),
        ("TUNELOOP_POD_DEFAULTS", '{"tolerations": [{}]}'),
        ("TUNELOOP_POD_DEFAULTS", '{"env": [{"name": "HOME", "value": "/"}]}'),
        ("TUNELOOP_POD_DEFAULTS", '{"env": [{"name": "A"}]}'),
        ("TUNELOOP_PROGRESS_URL", "tuneloop-progress:8443"),
        ("TUNELOOP_UID", "0"),
        ("TUNELOOP_UID", "2147483648"),
        ("TUNELOOP_GID", "Platform"),
        ("TUNELOOP_PROGRESS_INTERVAL_SECONDS", "nan"),
        ("TUNELOOP_PROGRESS_WRITES_PER_SECOND", "0"),
    ],
)
def test_a_value_that_is_not_allowed_is_named_with_what_is(variable: str, value: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read_both({variable: value})
    message = str(caught.value)
    assert message.startswith(f"{variable}={value!r}: allowed is ")
    assert ", for example " in message
    assert "\n" not in message


def read_both(variables: dict[str, str]) -> None:
    process(**variables)
    OperatorSettings.from_environment(variables)


@pytest.mark.parametrize("variable", list(POD))
def test_a_missing_required_variable_is_named(variable: str) -> None:
    with pytest.raises(SettingsError, match=f"{variable} is not set; allowed is .*, for example "):
        process(**{variable: ""})


@pytest.mark.parametrize(
    ("variable", "nearest"),
    [("TUNELOOP_WORKER", "TUNELOOP_WORKERS"), ("TUNELOOP_TRAINER_IMG", "TUNELOOP_TRAINER_IMAGE")],
)
def test_an_unknown_variable_is_refused_with_the_nearest_name(variable: str, nearest: str) -> None:
    with pytest.raises(SettingsError, match=f"{variable} is not a setting; the nearest one is {nearest}$"):
        process(**{variable: "1"})


@pytest.mark.parametrize(
    ("variable", "value"),
    [("TUNELOOP_PROGRESS_SERVICE_HOST", "10.1.1.1"), ("TUNELOOP_PROGRESS_PORT", "tcp://10.1.1.1:8443")],
)
def test_a_variable_that_kubernetes_sets_for_a_service_is_explained(variable: str, value: str) -> None:
    with pytest.raises(SettingsError, match="enableServiceLinks: false"):
        process(**{variable: value})


def test_other_programs_variables_are_left_alone() -> None:
    assert process(PATH="/bin", KUBERNETES_SERVICE_HOST="10.0.0.1").workers == 8


def test_a_long_value_is_not_repeated_whole() -> None:
    with pytest.raises(SettingsError) as caught:
        process(TUNELOOP_WORKERS="x" * 5000)
    assert len(str(caught.value)) < 300


def test_each_variable_is_explained() -> None:
    lines = list(explained_variables())
    by_program = {"token_path", "progress_ca", "local", "has_prometheus"}  # the operator sets these itself
    fields = {*ProcessSettings.model_fields, *OperatorSettings.model_fields} - by_program
    assert sorted(line.split()[0] for line in lines) == sorted(f"TUNELOOP_{field.upper()}" for field in fields)
    assert all(line.count("\n") == 1 and line.endswith(".") for line in lines)


def test_help_explains_the_variables() -> None:
    asked = [sys.executable, "-m", "tuneloop_operator", "--help"]
    done = subprocess.run(asked, capture_output=True, text=True, check=True, env={"PYTHONPATH": ":".join(sys.path)})
    assert "TUNELOOP_POD_IP (required)" in done.stdout


def test_a_file_of_keys_needs_the_issuer_of_tokens() -> None:
    file = {"TUNELOOP_JWKS_FILE": "/etc/tuneloop/jwks/jwks.json"}
    with pytest.raises(SettingsError, match="TUNELOOP_TOKEN_ISSUER is not set; allowed is an https address, together"):
        process(**file)
    assert process(**file, TUNELOOP_TOKEN_ISSUER="https://issuer").token_issuer == "https://issuer"


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("https://me:s3cret@prometheus", "https://…@prometheus"),
        ("https://me:s3/cret@prometheus", "https://…@prometheus"),
        ("https://s3cret@prometheus", "https://…@prometheus"),
        ("https://prometheus/?token=s3cret", "https://prometheus/?…"),
    ],
)
def test_a_credential_in_an_address_is_refused_and_not_repeated(address: str, shown: str) -> None:
    with pytest.raises(SettingsError) as caught:
        process(TUNELOOP_PROMETHEUS_URL=address)
    assert str(caught.value).startswith(f"TUNELOOP_PROMETHEUS_URL={shown!r}: allowed is an http or https address")
    assert "cret" not in str(caught.value)


@pytest.mark.parametrize("address", ["https://prometheus", "http://127.0.0.1:9090"])
def test_a_token_for_prometheus_may_go_where_nobody_reads_it(address: str) -> None:
    settings = process(TUNELOOP_PROMETHEUS_URL=address, TUNELOOP_PROMETHEUS_TOKEN_FILE="/token")
    assert settings.prometheus_token_file == Path("/token")


def test_a_token_for_prometheus_is_not_sent_over_http() -> None:
    with pytest.raises(
        SettingsError, match=r"TUNELOOP_PROMETHEUS_TOKEN_FILE='/token': allowed is .* of https or of this machine"
    ):
        process(TUNELOOP_PROMETHEUS_URL="http://prometheus", TUNELOOP_PROMETHEUS_TOKEN_FILE="/token")


def test_authorities_of_prometheus_need_https() -> None:
    file = {"TUNELOOP_PROMETHEUS_CA_FILE": "/ca.crt"}
    assert process(**file, TUNELOOP_PROMETHEUS_URL="https://prometheus").prometheus_ca_file == Path("/ca.crt")
    with pytest.raises(SettingsError, match="TUNELOOP_PROMETHEUS_CA_FILE='/ca.crt': allowed is a file, together with"):
        process(**file, TUNELOOP_PROMETHEUS_URL="http://127.0.0.1:9090")


def test_prometheus_is_asked_with_all_that_the_settings_name() -> None:
    assert prometheus_place(process()) is None
    files = {"TUNELOOP_PROMETHEUS_TOKEN_FILE": "/token", "TUNELOOP_PROMETHEUS_CA_FILE": "/ca.crt"}
    found = prometheus_place(process(**files, TUNELOOP_PROMETHEUS_URL="https://prometheus"))
    assert found == Place(address="https://prometheus", token_file=Path("/token"), ca_file=Path("/ca.crt"))
