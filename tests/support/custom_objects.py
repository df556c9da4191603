"""Objects of our kinds on a real API server: the smallest spec of each kind, and how a client creates and changes an object."""

from __future__ import annotations

import json

from tuneloop_api.crd import generator as crd
from tuneloop_api.v1alpha1 import API_VERSION, FineTuneJob, ModelDeployment

STRICT = {"fieldValidation": "Strict"}
TRAIN = {"uri": "pvc://models/reviews.csv"}
SMALLEST = {
    FineTuneJob: {
        "model": {"uri": "hf://FacebookAI/roberta-base"},
        "task": "text-classification",
        "data": {"train": [TRAIN]},
    },
    ModelDeployment: {"model": {"fineTuneJobRef": {"name": "reviews"}}},
}


def manifest(kind, *, name="a", spec=None):
    return {
        "apiVersion": API_VERSION,
        "kind": kind.__name__,
        "metadata": {"name": name},
        "spec": SMALLEST[kind] if spec is None else spec,
    }


def collection(kind, namespace):
    return f"/apis/{API_VERSION}/namespaces/{namespace}/{kind.__name__.lower()}s"


def create(plane, namespace, kind, *, name="a", spec=None):
    reply = plane.request("POST", collection(kind, namespace), manifest(kind, name=name, spec=spec), STRICT)
    assert reply.status == 201, reply.body
    return reply.body


def apply(plane, namespace, body):
    return plane.kubectl("apply", "-n", namespace, "-f", "-", stdin=json.dumps(body))


def patch(plane, namespace, spec, *, name="a"):
    return request_patch(plane, namespace, {"spec": spec}, name=name)


def request_patch(plane, namespace, body, *, name="a", subresource=""):
    path = f"{collection(FineTuneJob, namespace)}/{name}{subresource}"
    return plane.request("PATCH", path, body, STRICT, "application/merge-patch+json")


def start(plane, namespace, name):
    started = request_patch(
        plane, namespace, {"status": {"startTime": "2026-01-01T00:00:00Z"}}, name=name, subresource="/status"
    )
    assert started.status == 200, started.body


def resource(kind):
    return next(resource for resource in crd.RESOURCES if resource.model is kind)
