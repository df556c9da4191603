"""Nobody is asked who we are: without credentials of the job's own, no bucket is opened."""

from __future__ import annotations

import pytest

from tuneloop_api.objects.credentials import credentials_hint, endpoint_of, has_credentials
from tuneloop_api.wire.object_credentials import CREDENTIALS

KEYS = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
ACCOUNT = {"AZURE_STORAGE_ACCOUNT_NAME": "a"}


@pytest.mark.parametrize(
    ("scheme", "environment", "expected"),
    [
        pytest.param("s3://", {}, False, id="S3 without anything, where a client would ask the node"),
        pytest.param("s3://", KEYS, True, id="S3 with keys"),
        pytest.param("s3://", {"AWS_ACCESS_KEY_ID": "a"}, False, id="S3 with half of the keys"),
        pytest.param("s3://", KEYS | {"AWS_SECRET_ACCESS_KEY": ""}, False, id="S3 with an empty key"),
        pytest.param("s3://", {"AWS_ROLE_ARN": "a", "AWS_WEB_IDENTITY_TOKEN_FILE": "/a"}, True, id="S3 with a role of the service account"),
        pytest.param("s3://", {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://a"}, True, id="S3 with a pod identity"),
        pytest.param("s3://", {"AWS_SKIP_SIGNATURE": "true"}, True, id="a public bucket"),
        pytest.param("az://", KEYS, False, id="Azure with the keys of S3"),
        pytest.param("az://", ACCOUNT, False, id="Azure with an account alone, where a client would ask the node"),
        pytest.param("az://", ACCOUNT | {"AZURE_STORAGE_ACCOUNT_KEY": "a"}, True, id="Azure with a key"),
        pytest.param("az://", ACCOUNT | {"AZURE_STORAGE_SAS_TOKEN": "a"}, True, id="Azure with a shared access signature"),
        pytest.param("gs://", {}, True, id="Google, whose workload identity no variable shows"),
    ],
)  # fmt: skip
def test_the_environment_says_who_asks(scheme, environment, expected):
    assert has_credentials(scheme, environment) is expected


@pytest.mark.parametrize("scheme", CREDENTIALS)
def test_the_advice_names_what_a_secret_needs_and_such_a_secret_is_enough(scheme):
    names = CREDENTIALS[scheme]
    assert all(name in credentials_hint(scheme) for name in names.required)
    assert has_credentials(scheme, dict.fromkeys(names.credentials, "a"))


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:9000", "https://minio.example.com/s3", "https://[::1]:9000"])
def test_an_address_of_the_storage_is_taken(endpoint):
    assert endpoint_of("s3://", {"AWS_ENDPOINT_URL": endpoint}) == endpoint


@pytest.mark.parametrize("environment", [{}, {"AWS_ENDPOINT_URL": ""}, {"AZURE_STORAGE_ENDPOINT": "https://a"}])
def test_without_an_address_the_clouds_own_is_asked(environment):
    assert endpoint_of("s3://", environment) is None


@pytest.mark.parametrize(
    "endpoint",
    ["nonsense", "minio:9000", "ftp://a", "http://", "http://a b", "http://a:99999", "http://a:b", "http://key:secret@a", "http://a/?b=c", "http://a/#b", "http://ä", "http://[::1"],
)  # fmt: skip
def test_what_is_no_address_is_refused_before_the_client_sees_it_and_without_its_text(endpoint):
    with pytest.raises(ValueError, match="^AWS_ENDPOINT_URL must be the address of the storage") as refused:
        endpoint_of("s3://", {"AWS_ENDPOINT_URL": endpoint})
    assert "secret" not in str(refused.value)
