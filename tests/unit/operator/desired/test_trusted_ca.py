"""The authorities of the administrator reach all pods, as a bundle and as the variables that name it."""

from __future__ import annotations

from typing import Any

import pytest
from desired_pods import SETTINGS, all_pods, container_of, server

from tuneloop_operator.settings.environment import SettingsError
from tuneloop_operator.settings.operator import OperatorSettings
from tuneloop_operator.settings.trusted_ca import TrustedCa

FILE = "/etc/tuneloop-ca/ca.crt"
ITEMS = [{"key": "bundle.pem", "path": "ca.crt"}]
VARIABLES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


def trusting(**fields: Any) -> OperatorSettings:
    trusted = TrustedCa.from_wire({"key": "bundle.pem"} | fields)
    return OperatorSettings(default_claim="models", trusted_ca=trusted)


@pytest.mark.parametrize(
    ("fields", "source"),
    [
        ({"configMap": "company-ca"}, {"configMap": {"name": "company-ca", "items": ITEMS}}),
        ({"secret": "company-ca"}, {"secret": {"secretName": "company-ca", "items": ITEMS}}),
    ],
)
def test_all_pods_mount_the_bundle_and_name_it(fields: dict[str, Any], source: dict[str, Any]) -> None:
    for pod in all_pods(trusting(**fields)).values():
        container = container_of(pod)
        assert {"name": "tuneloop-ca"} | source in pod["volumes"]
        assert {"name": "tuneloop-ca", "mountPath": "/etc/tuneloop-ca", "readOnly": True} in container["volumeMounts"]
        assert [variable["value"] for variable in container["env"] if variable["name"] in VARIABLES] == [FILE] * 3


def test_a_variable_of_the_object_wins() -> None:
    for pod in all_pods(trusting(secret="a"), env=[{"name": "SSL_CERT_FILE", "value": "/mine"}]).values():
        values = {variable["name"]: variable.get("value") for variable in container_of(pod)["env"]}
        assert (values["SSL_CERT_FILE"], values["CURL_CA_BUNDLE"]) == ("/mine", FILE)


def test_the_authorities_make_no_other_revision() -> None:
    assert server(trusting(secret="a"))["metadata"]["name"] == server(SETTINGS)["metadata"]["name"]


@pytest.mark.parametrize(
    "text",
    [
        "company-ca",
        "{}",
        '{"configMap": "a", "secret": "b"}',
        '{"secret": "A b"}',
        '{"secret": "a", "key": "../b"}',
        '{"secret": "a", "x": 1}',
    ],
)
def test_a_setting_that_is_wrong_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(
        SettingsError, match=r"TUNELOOP_TRUSTED_CA=.*for example \{\"configMap\": \"company-ca\", \"key\": \"ca.crt\"\}"
    ):
        OperatorSettings.from_environment({"TUNELOOP_TRUSTED_CA": text})
