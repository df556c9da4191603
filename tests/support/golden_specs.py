"""Specs of jobs and deployments whose children are written down whole in `tests/golden/operator`."""

from __future__ import annotations

from typing import Any

from tuneloop_operator.settings.operator import OperatorSettings

SETTINGS = OperatorSettings(
    trainer_image="registry.example/tuneloop-trainer:0.1.0",
    server_image="registry.example/tuneloop-server:0.1.0",
    default_claim="models",
)
MINIMAL: dict[str, Any] = {
    "model": {"uri": "hf://FacebookAI/roberta-base"},
    "task": "text-classification",
    "data": {"train": [{"uri": "pvc://models/raw/reviews.csv", "columns": {"text": "sentence", "label": "rating"}}]},
    "resources": {"gpusPerNode": 0},
}
TWO_NODES: dict[str, Any] = {
    "model": {"uri": "pvc://base-models/roberta-base"},
    "task": "text-classification",
    "data": {
        "train": [{"uri": "pvc://reviews/2026/train.parquet"}],
        "test": [{"uri": "pvc://reviews/2026/test.parquet"}],
    },
    "method": {"type": "lora", "rank": 32},
    "training": {"maxSteps": 2000, "learningRate": 0.0002},
    "resources": {
        "nodes": 2,
        "gpusPerNode": 8,
        "cpu": "64",
        "memory": "512Gi",
        "prepare": {"cpu": "8", "memory": "32Gi"},
        "export": {"memory": "64Gi"},
    },
    "image": "registry.example/team/trainer@sha256:" + "a" * 64,
    "storage": {"claim": "team-models", "subPath": "fine-tuned"},
    "checkpoint": {"everySteps": 100, "gracePeriod": "2m"},
}
SERVING: dict[str, Any] = {
    "model": {"fineTuneJobRef": {"name": "reviews"}},
    "replicas": 2,
    "batching": {"maxBatchSize": 32},
    "lifecycle": {"startup": "5m", "drain": "30s"},
    "resources": {"cpu": "4", "memory": "8Gi"},
}
CUSTOM: dict[str, Any] = {
    "model": {"fineTuneJobRef": {"name": "reviews"}},
    "image": "registry.example/team/hf-serve@sha256:" + "d" * 64,
    "runtime": {
        "type": "Custom",
        "command": ["hf-serve"],
        "args": ["--model-dir", "$(TUNELOOP_MODEL_PATH)", "--task", "text-classification"],
        "endpoints": {"port": 8000, "livenessPath": "/live", "metricsPort": 9000},
    },
    "lifecycle": {"startup": "5m", "preStop": "20s"},
    "resources": {"cpu": "4", "memory": "8Gi"},
    "env": [{"name": "LOG_LEVEL", "value": "info"}],
}
VLLM: dict[str, Any] = {
    "model": {"fineTuneJobRef": {"name": "reviews"}},
    "image": "registry.example/team/vllm-openai@sha256:" + "e" * 64,
    "runtime": {"type": "VLLM", "dtype": "bf16", "maxModelTokens": 512, "args": ["--max-num-seqs", "64"]},
    "resources": {"cpu": "16", "memory": "64Gi", "gpus": 2},
    "env": [{"name": "VLLM_API_KEY", "secretKeyRef": {"name": "keys", "key": "vllm"}}],
}
LIMITED_ACCESS: dict[str, Any] = {
    "access": {
        "apiKeySecretRef": {"name": "reviews-clients", "key": "api-keys"},
        "rateLimit": {"requestsPerSecond": 50, "burst": 100},
    }
}
QUEUED: dict[str, Any] = TWO_NODES | {
    "resources": {"nodes": 4, "gpusPerNode": 8},
    "scheduling": {"queueName": "team-a", "priorityClassName": "batch-low", "minNodes": 2},
}
_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
PLACED: dict[str, Any] = {
    "scheduling": {
        "schedulerName": "volcano",
        "nodeSelector": {"nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3"},
        "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
        "affinity": {
            "nodeAffinity": {
                _REQUIRED: {"nodeSelectorTerms": [{"matchExpressions": [{"key": "rdma", "operator": "Exists"}]}]}
            },
            "podAntiAffinity": {_REQUIRED: [{"topologyKey": "kubernetes.io/hostname"}]},
        },
        "topologySpreadConstraints": [
            {"maxSkew": 1, "topologyKey": "topology.kubernetes.io/zone", "whenUnsatisfiable": "ScheduleAnyway"}
        ],
        "runtimeClassName": "nvidia",
    },
    "serviceAccountName": "trainer",
    "imagePullSecrets": [{"name": "registry"}],
    "imagePullPolicy": "IfNotPresent",
    "labels": {"team": "search"},
    "annotations": {"example.com/note": "a"},
}
VARIABLES: dict[str, Any] = {
    "env": [
        {"name": "WANDB_API_KEY", "secretKeyRef": {"name": "trackers", "key": "api-key"}},
        {"name": "HTTPS_PROXY", "configMapKeyRef": {"name": "proxies", "key": "https", "optional": True}},
        {"name": "RUN_NAME", "value": "reviews-$(POD_NAME)"},
    ],
}
VOLUMES: dict[str, Any] = {
    "volumes": [
        {"name": "trackers", "mountPath": "/etc/trackers", "secret": {"secretName": "trackers", "optional": True}},
        {"name": "proxies", "mountPath": "/etc/proxies", "configMap": {"name": "proxies"}},
        {
            "name": "both",
            "mountPath": "/opt/both",
            "projected": {
                "sources": [
                    {"secret": {"name": "trackers", "items": [{"key": "api-key", "path": "key", "mode": 256}]}},
                    {"configMap": {"name": "proxies"}},
                ]
            },
        },
        {
            "name": "vault",
            "mountPath": "/mnt/vault",
            "csi": {
                "driver": "secrets-store.csi.k8s.io",
                "readOnly": True,
                "volumeAttributes": {"secretProviderClass": "a"},
            },
        },
        {"name": "lexicons", "mountPath": "/mnt/lexicons", "persistentVolumeClaim": {"claimName": "lexicons"}},
        {"name": "logs", "mountPath": "/mnt/logs", "readOnly": False, "persistentVolumeClaim": {"claimName": "logs"}},
    ],
}
ON_HOST_NETWORK: dict[str, Any] = TWO_NODES | {
    "resources": {"nodes": 2, "gpusPerNode": 8, "memory": "512Gi", "extended": {"rdma/hca_shared_devices_a": 1}},
    "network": {"interface": "bond0", "ncclEnv": {"NCCL_IB_HCA": "mlx5"}},
    "scheduling": {"hostNetwork": True},
}
FOURTH_ATTEMPT: dict[str, Any] = {
    "attempt": 4,
    "nodes": 3,
    "microBatchSize": 4,
    "checkpoint": {"latest": {"step": 300}},
    "avoidedNodes": [{"name": "node-1", "reason": "Collective"}, {"name": "node-7", "reason": "Hang"}],
}
"""Made smaller after a GPU had no memory left, and after two nodes had failed."""
