"""The keys of feedback in local mode, in place of a Secret."""

from __future__ import annotations

import json

from local_manifests import config_map

from tuneloop_cli.local.feedback_keys import make_feedback_keys
from tuneloop_cli.local.kubelet.pod_plan import Folders, plan_process


def test_a_key_is_made_once_and_only_its_user_can_read_it(tmp_path):
    folder = tmp_path / "feedback"
    make_feedback_keys(folder)
    key = (folder / "keys").read_text()
    make_feedback_keys(folder)
    assert (folder / "keys").read_text() == key
    assert len(key) == 64
    assert (folder.stat().st_mode & 0o777, (folder / "keys").stat().st_mode & 0o777) == (0o700, 0o600)


def test_the_server_finds_it_where_a_cluster_mounts_the_secret(tmp_path):
    mounts = [
        {"name": "config", "mountPath": "/etc/tuneloop"},
        {"name": "feedback-keys", "mountPath": "/etc/tuneloop-feedback"},
    ]
    container = {"name": "server", "command": ["python", "/etc/tuneloop/server.json"], "volumeMounts": mounts}
    volumes = [
        {"name": "config", "configMap": {"name": "settings"}},
        {"name": "feedback-keys", "secret": {"secretName": "reviews-feedback"}},
    ]
    metadata = {"name": "reviews-1", "namespace": "default", "uid": "u"}
    pod = {"metadata": metadata, "spec": {"containers": [container], "volumes": volumes}}
    settings = {"feedback": {"keysPath": "/etc/tuneloop-feedback/keys"}}
    folders = Folders(root=tmp_path)
    plan = plan_process(
        pod,
        config_maps={"settings": config_map("settings", {"server.json": json.dumps(settings)})},
        folders=folders,
        ports={"http": 1},
        devices="",
        inherited={},
    )
    (text,) = plan.files.values()
    assert json.loads(text)["feedback"]["keysPath"] == str(folders.secret("feedback-keys") / "keys")
