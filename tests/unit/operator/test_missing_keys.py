"""The kubelet names a Secret or ConfigMap that is missing; the status adds which key of it our variables need."""

from __future__ import annotations

import pytest
from observed_jobs import a_job

from tuneloop_operator.controller.observe.missing_keys import variables_of_job, with_keys

TRACKER = {"name": "WANDB_API_KEY", "secretKeyRef": {"name": "trackers", "key": "api-key"}}
USER = {"name": "WANDB_USER", "secretKeyRef": {"name": "trackers", "key": "user"}}
PROXY = {"name": "HTTPS_PROXY", "configMapKeyRef": {"name": "trackers", "key": "https"}}
OPTIONAL = {"name": "MAY_BE", "secretKeyRef": {"name": "trackers", "key": "other", "optional": True}}
VALUE = {"name": "PLAIN", "value": "trackers"}
TOKEN = {"uri": "hf://a/b", "secretRef": {"name": "hub"}}


@pytest.mark.parametrize(
    ("spec", "stage", "message", "added"),
    [
        ({"env": [TRACKER]}, "train", 'secret "trackers" not found', "; needed: key api-key for WANDB_API_KEY"),
        ({"env": [TRACKER, USER, PROXY, OPTIONAL, VALUE]}, "train", 'secret "trackers" not found',
         "; needed: key api-key for WANDB_API_KEY, key user for WANDB_USER"),
        ({"env": [TRACKER, PROXY]}, "train", 'configmap "trackers" not found', "; needed: key https for HTTPS_PROXY"),
        ({"model": TOKEN}, "prepare", 'secret "hub" not found', "; needed: key token for HF_TOKEN"),
        ({"model": TOKEN | {"secretRef": {"name": "hub", "key": "hf"}}}, "prepare", 'secret "hub" not found', "; needed: key hf for HF_TOKEN"),
        ({"model": TOKEN}, "train", 'secret "hub" not found', ""),  # prepare alone has the token
        ({"env": [TRACKER]}, "train", 'secret "another" not found', ""),
        ({"env": [TRACKER]}, "train", "couldn't find key api-key in Secret team-a/trackers", ""),
        ({}, "train", "", ""),
    ],
)  # fmt: skip
def test_the_keys_that_variables_need_follow_the_name_of_what_is_missing(spec, stage, message, added):
    assert with_keys(message, variables_of_job(a_job(**spec), stage=stage)) == message + added
