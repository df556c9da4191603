"""`tuneloop lineage` asks a real API server, and says what it cannot reach."""

from __future__ import annotations

from typing import Any

from typer.testing import CliRunner

from tuneloop_cli.main import app

GROUP = "/apis/tuneloop.dev/v1alpha1/namespaces"
URI = "pvc://models/jobs/reviews-11111111/artifact"
SPEC = {
    "model": {"uri": "hf://org/base"},
    "task": "text-classification",
    "data": {"train": [{"uri": "pvc://models/a.csv"}]},
}


def lineage(plane, monkeypatch, *words: str) -> Any:
    monkeypatch.setenv("KUBECONFIG", str(plane.kubeconfig))
    return CliRunner().invoke(app, ["lineage", *words])


def test_a_job_of_a_cluster_is_followed_to_its_base_model(custom_resources, namespace, monkeypatch):
    job = {
        "apiVersion": "tuneloop.dev/v1alpha1",
        "kind": "FineTuneJob",
        "metadata": {"name": "reviews"},
        "spec": SPEC,
    }
    made = custom_resources.request("POST", f"{GROUP}/{namespace}/finetunejobs", body=job)
    assert made.status == 201, made.body
    status = {"lineage": {"imageDigest": "sha256:aa"}, "artifact": {"uri": URI, "digest": "sha256:01"}}
    written = custom_resources.request(
        "PUT", f"{GROUP}/{namespace}/finetunejobs/reviews/status", body=made.body | {"status": status}
    )
    assert written.status == 200, written.body
    result = lineage(custom_resources, monkeypatch, URI, "-n", namespace)
    assert result.exit_code == 0, result.output
    assert "(its manifest.json cannot be read from here)" in result.output
    assert "sha256:aa" in result.output
    assert "Base model hf://org/base" in result.output
    absent = lineage(custom_resources, monkeypatch, "ftj/others", "-n", namespace)
    assert f"no FineTuneJob 'others' in namespace {namespace}; there: reviews" in str(absent.exception)


def test_an_api_server_that_is_not_there_ends_in_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    result = CliRunner().invoke(app, ["lineage", "ftj/reviews", "-n", "team"])
    assert "no API server is configured" in str(result.exception)
