"""Values files that cover the chart: each is one way to install it."""

from __future__ import annotations

PROMETHEUS = "monitoring.coreos.com/v1"
_AFFINITY = {
    "nodeAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": {
            "nodeSelectorTerms": [{"matchExpressions": [{"key": "pool", "operator": "In", "values": ["system"]}]}]
        }
    },
    "podAntiAffinity": {
        "preferredDuringSchedulingIgnoredDuringExecution": [
            {
                "weight": 50,
                "podAffinityTerm": {
                    "topologyKey": "kubernetes.io/hostname",
                    "labelSelector": {"matchLabels": {"a": "b"}},
                },
            }
        ]
    },
}
_SPREAD = {
    "maxSkew": 1,
    "topologyKey": "topology.kubernetes.io/zone",
    "whenUnsatisfiable": "DoNotSchedule",
    "labelSelector": {"matchLabels": {"a": "b"}},
}

VARIANTS = {
    "the defaults": {},
    "all namespaces": {"rbac": {"scope": "cluster"}},
    "two namespaces": {"watchNamespaces": ["team-a", "team-b"]},
    "three replicas": {"replicas": 3},
    "no replica": {"replicas": 0},
    "certificate by cert-manager": {"progress": {"tls": {"source": "certManager"}}},
    "certificate by an issuer of the cluster": {
        "progress": {
            "tls": {"source": "certManager", "certManager": {"issuerRef": {"name": "company", "kind": "ClusterIssuer"}}}
        }
    },
    "certificate in a secret": {"progress": {"tls": {"source": "existingSecret", "existingSecret": "progress-tls"}}},
    "CRDs installed by others": {"crds": {"install": False}},
    "CRDs removed at the end": {"crds": {"keep": False}},
    "a ServiceMonitor": {"monitor": {"create": "always", "labels": {"release": "prometheus"}}},
    "a PodMonitor": {"monitor": {"create": "always", "kind": "PodMonitor"}},
    "no admission policies": {"admissionPolicy": {"create": "never"}},
    "all namespaces of teams": {
        "rbac": {"scope": "cluster"},
        "admissionPolicy": {"neverIn": ["kube-system", "payments"], "namespaceLabels": {"example.com/team": "ml"}},
    },
    "no network policy": {"networkPolicy": {"create": False}},
    "an account that exists": {"serviceAccount": {"create": False, "name": "tuneloop-operator"}},
    "no roles for users": {"rbac": {"aggregateUserRoles": False}},
    "user and group chosen by the platform": {
        "runAsUser": None,
        "runAsGroup": None,
        "children": {"uid": None, "gid": None},
    },
    "images by digest": {
        "image": {
            "repository": "registry.example.com:5000/tuneloop/operator",
            "tag": "v1",
            "digest": "sha256:" + 64 * "a",
        },
        "trainer": {
            "image": {"repository": "registry.example.com:5000/tuneloop/trainer", "digest": "sha256:" + 64 * "b"}
        },
        "router": {
            "image": {
                "repository": "registry.example.com:5000/tuneloop/router",
                "tag": "v1",
                "digest": "sha256:" + 64 * "c",
            }
        },
        "imagePullSecrets": [{"name": "registry"}],
        "children": {"imagePullPolicy": "Always", "defaultClaim": "models"},
    },
    "placed with care": {
        "priorityClassName": "system-cluster-critical",
        "nodeSelector": {"kubernetes.io/os": "linux"},
        "tolerations": [{"key": "pool", "operator": "Equal", "value": "system", "effect": "NoSchedule"}],
        "affinity": _AFFINITY,
        "topologySpreadConstraints": [_SPREAD],
        "podLabels": {"team": "ml", "app.kubernetes.io/name": "other"},
        "podAnnotations": {"example.com/note": 'a "quoted": {{ value }}\n- with: lines'},
    },
    "pods placed by the administrator": {
        "children": {
            "defaults": {
                "nodeSelector": {"pool": "ml"},
                "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
                "imagePullSecrets": [{"name": "registry"}],
                "labels": {"team": "search"},
                "annotations": {"example.com/note": 'a "quoted" $(HOME) {{ value }}'},
                "env": [
                    {"name": "HTTPS_PROXY", "value": "http://proxy.example.com:3128"},
                    {"name": "NO_PROXY", "value": ".svc,$(POD_NAME),10.0.0.0/8"},
                    {"name": "WANDB_API_KEY", "secretKeyRef": {"name": "trackers", "key": "api-key", "optional": True}},
                ],
            }
        }
    },
    "training pods on the network of their nodes": {"children": {"allow": {"hostNetwork": True}}},
    "no disruption budgets": {"children": {"disruptionBudgets": False}},
    "pods that connect to little": {
        "children": {
            "networkPolicy": {
                "egress": {
                    "enabled": True,
                    "to": [
                        {"cidr": "10.20.0.0/16", "except": ["10.20.1.0/24"], "ports": [443, 9000]},
                        {"namespace": "minio", "ports": [9000]},
                        {"cidr": "fd00::/8"},
                    ],
                }
            }
        }
    },
    "proxies and authorities": {
        "proxy": {
            "http": "http://proxy.example.com:3128",
            "https": "http://[fd00::1]:3128",
            "noProxy": "10.0.0.0/8,.corp",
        },
        "trustedCA": {"configMap": "company-ca", "key": "bundle.pem"},
        "children": {"defaults": {"env": [{"name": "NO_PROXY", "value": ".example.com"}]}},
    },
    "authorities in a secret, and no proxy for http": {
        "proxy": {"https": "https://proxy.example.com"},
        "trustedCA": {"secret": "company-ca"},
    },
    "names of its own": {
        "fullnameOverride": "ml-operator",
        "leaseName": "ml-operator",
        "progress": {"service": "ml-progress", "port": 9443, "intervalSeconds": 0.5, "writesPerSecond": 100},
        "router": {"port": 9444},
        "ports": {"health": 9081, "metrics": 9080},
    },
    "rights in one namespace": {
        "crds": {"install": False},
        "rbac": {"aggregateUserRoles": False},
        "progress": {"authentication": "JWKS"},
        "admissionPolicy": {"create": "never"},
    },
    "keys from a ConfigMap": {
        "progress": {
            "authentication": "JWKS",
            "jwks": {"configMap": "issuer-keys", "issuer": "https://kubernetes.default.svc"},
        }
    },
    "a Prometheus with a token and an authority": {
        "prometheus": {
            "url": "https://prometheus.monitoring.svc:9090/tenant",
            "tokenSecret": "prometheus-reader",
            "tokenKey": "bearer",
            "caConfigMap": "prometheus-ca",
        }
    },
    "a Prometheus behind a Service of another port": {
        "prometheus": {"url": "http://prometheus.monitoring.svc"},
        "networkPolicy": {"prometheusPorts": [9090]},
    },
    "the longest name": {"nameOverride": 40 * "a"},
    "the largest numbers": {
        "children": {"uid": 2147483647, "gid": 2147483647, "startDeadlineSeconds": 86400},
        "replicas": 10,
        "workers": 64,
        "retraining": {"maxParallelRuns": 10000},
        "progress": {"port": 65535, "intervalSeconds": 3600, "writesPerSecond": 1000},
        "runAsUser": 2147483647,
        "terminationGracePeriodSeconds": 3600,
    },
}
