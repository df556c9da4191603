"""The bad manifests, by row of the bad-input matrix."""

from __future__ import annotations

from typing import Any

from bad_manifest import DEPLOYMENT, GONE, By, Literal, bad, bad_text, unknown_field

from tuneloop_api.wire import text_formats as f

_LOADS: dict[str, Any] = {"uri": "pvc://models/reviews.csv"}
_JOB_NAME = "must be a DNS label of at most 48 characters"
_DEPLOYMENT_NAME = "must be a DNS label of at most 36 characters"
_ACUTE = "\u0301"

BAD_MANIFESTS = (
    # B1 another type than the field has, or nothing where something is needed
    bad("B1", By.SCHEMA, "spec.resources.nodes", "4", 'must be of type integer: "string"', advice="must be a whole number. Example: nodes: 2"),
    bad("B1", By.SCHEMA, "spec.resources.nodes", 1.5, "must be of type integer", advice="must be a whole number"),
    bad("B1", By.SCHEMA, "spec.task", None, "Required value", advice="is required"),
    bad("B1", By.SCHEMA, "spec.data.train", GONE, "Required value", advice="is required. Example: train: [{uri: pvc://models/reviews.csv}]"),
    bad("B1", By.SCHEMA, "spec.data.train", "pvc://models/reviews.csv", "must be of type array", advice="must be a list. Example: train: ["),
    bad("B1", By.SCHEMA, "spec.suspend", "yes", "must be of type boolean", advice="must be true or false"),
    bad("B1", By.SCHEMA, "spec.training", [], "must be of type object", advice="must be a mapping"),
    bad("B1", By.SCHEMA, "spec.replicas", "2", "must be of type integer", advice="must be a whole number. Example: replicas: 3", kind=DEPLOYMENT),
    bad("B1", By.SCHEMA, "spec.model", GONE, "Required value", advice="is required. Example: model: {fineTuneJobRef", kind=DEPLOYMENT),
    bad("B1", By.SCHEMA, "spec.batching.maxBatchSize", True, "must be of type integer", advice="must be a whole number", kind=DEPLOYMENT),
    # B2 numbers outside their range
    bad("B2", By.SCHEMA, "spec.resources.nodes", 0, "should be greater than or equal to 1", advice="(allowed: at least 1 and at most 1024). Example: nodes: 2"),
    bad("B2", By.SCHEMA, "spec.resources.nodes", -1, "should be greater than or equal to 1", advice="must be at least 1"),
    bad("B2", By.SCHEMA, "spec.resources.nodes", 10**9, "should be less than or equal to 1024", advice="must be at most 1024"),
    bad("B2", By.SCHEMA, "spec.resources.gpusPerNode", -1, "should be greater than or equal to 0", advice="must be at least 0"),
    bad("B2", By.RULE, "spec.resources.processesPerNode", 3, "must be at most gpusPerNode (1 by default)", spec__resources__gpusPerNode=2),
    bad("B2", By.RULE, "spec.resources.processesPerNode", 2, "must be at most gpusPerNode (1 by default)", advice="got 2. Example: gpusPerNode: 4"),
    bad("B2", By.SCHEMA, "spec.replicas", -1, "should be greater than or equal to 0", advice="must be at least 0", kind=DEPLOYMENT),
    bad("B2", By.SCHEMA, "spec.replicas", 1001, "should be less than or equal to 1000", advice="must be at most 1000", kind=DEPLOYMENT),
    bad("B2", By.SCHEMA, "spec.batching.maxQueue", 0, "should be greater than or equal to 1", advice="must be at least 1", kind=DEPLOYMENT),
    # B3 what is no number, or no quantity
    bad("B3", By.SCHEMA, "spec.training.maxSteps", 2**63, "must be of type integer", advice="must be at most 2147483647"),
    bad("B3", By.SCHEMA, "spec.training.maxSteps", 2**31, "should be less than or equal to 2147483647", advice="must be at most 2147483647"),
    bad("B3", By.SCHEMA, "spec.training.learningRate", Literal("1e309"), "into Go value of type float64", advice="must be a number. Example: learningRate: 2e-4", field="1e309"),
    bad("B3", By.SCHEMA, "spec.training.learningRate", "NaN", "must be of type number", advice="must be a number. Example: learningRate: 2e-4"),
    bad_text("B3", "spec.resources.memory", "4Gii", f.MEMORY),
    bad_text("B3", "spec.resources.memory", "-1Gi", f.MEMORY),
    bad_text("B3", "spec.resources.memory", "1e99", f.MEMORY),
    bad_text("B3", "spec.resources.memory", "500m", f.MEMORY),
    bad_text("B3", "spec.resources.cpu", "16Gi", f.CPU),
    bad_text("B3", "spec.resources.prepare.cpu", "4 cores", f.CPU),
    bad_text("B3", "spec.resources.memory", "lots", f.MEMORY, kind=DEPLOYMENT),
    # B4 fields that there are not
    unknown_field("B4", "spec.trainig", {}, "did you mean training?"),
    unknown_field("B4", "spec.training.learningrate", 2e-4, "did you mean learningRate?"),
    unknown_field("B4", "spec.checkpoint.every_steps", 5, "did you mean everySteps?"),
    unknown_field("B4", "spec.resources.gpus", 8, "known here: cpu, export, gpuResource, gpusPerNode"),
    unknown_field("B4", "spec.data.train[0].colums", {}, "did you mean columns?"),
    unknown_field("B4", "spec.replcias", 2, "did you mean replicas?", kind=DEPLOYMENT),
    # B5 names that leave no room for those of the children, or that DNS does not have
    bad("B5", By.RULE, "metadata.name", "a" * 49, _JOB_NAME),
    bad("B5", By.RULE, "metadata.name", "0reviews", _JOB_NAME),
    bad("B5", By.RULE, "metadata.name", "re.views", _JOB_NAME),
    bad("B5", By.SERVER, "metadata.name", "Reviews", "a lowercase RFC 1123 subdomain", advice=_JOB_NAME),
    bad("B5", By.SERVER, "metadata.name", "reviews-", "a lowercase RFC 1123 subdomain", advice=_JOB_NAME),
    bad("B5", By.SERVER, "metadata.name", "", "name or generateName is required", advice=_JOB_NAME),
    bad("B5", By.RULE, "metadata.name", "a" * 37, _DEPLOYMENT_NAME, kind=DEPLOYMENT),
    # B6 letters that look like others, or like nothing, in names
    bad("B6", By.SERVER, "metadata.name", "r\u0435views", "a lowercase RFC 1123 subdomain", advice=_JOB_NAME),
    bad_text("B6", "spec.storage.claim", "models\u200b", f.NAME),
    bad_text("B6", "spec.storage.claim", "\u202esledom", f.NAME),
    bad_text("B6", "spec.model.revision", "main\U0001f600", f.REVISION),
    bad_text("B6", "spec.image", "tr\u00e4iner:1", f.IMAGE),
    bad("B6", By.RULE, "spec.model.labels", ["good\x00", "bad"], f.LINE.message, advice=f.LINE.allowed, field="spec.model.labels[0]"),
    bad_text("B6", "spec.data.train[0].columns.text", "re\nview", f.LINE),
    bad_text("B6", "spec.model.fineTuneJobRef.name", "r\u0435views", f.NAME, kind=DEPLOYMENT),
    bad("B6", By.OPERATOR, "spec.model.labels", ["caf\u00e9", "tea", f"cafe{_ACUTE}"], "no two names look alike; labels[0] is 'caf\\xe9'", field="spec.model.labels[2]"),
    bad("B6", By.OPERATOR, "spec.model.labels", ["a", "b", "b"], "each class is named once", field="spec.model.labels[2]"),
    # B7 too much of something
    bad("B7", By.SCHEMA, "spec.model.labels", [str(number) for number in range(1001)], "must have at most 1000 items", advice="must have at most 1000 entries"),
    bad("B7", By.SCHEMA, "spec.data.train", [_LOADS] * 65, "must have at most 64 items", advice="must have at most 64 entries"),
    bad("B7", By.SCHEMA, "spec.model.revision", "a" * 257, "may not be more than 256 bytes", advice="must have at most 256 characters"),
    bad("B7", By.SCHEMA, "spec.model.uri", "pvc://a/" + "a" * 1024, "may not be more than 1024 bytes", advice="must have at most 1024 characters"),
    bad("B7", By.SERVER, "metadata.annotations", {"a": "x" * 300_000}, "may not be more than 262144 bytes", advice="are 300001 bytes in all; the API server takes at most 262144"),
    bad("B7", By.SCHEMA, "spec.model.digest", "sha256:" + "0" * 65, "may not be more than 71 bytes", advice="must have at most 71 characters", kind=DEPLOYMENT),
    # B9 and B10 what would be a command, a template or a query somewhere else, where only a name can stand
    bad("B9", By.SERVER, "metadata.name", "$(rm -rf /)", "a lowercase RFC 1123 subdomain", advice=_JOB_NAME),
    bad_text("B9", "spec.image", "trainer; rm -rf /", f.IMAGE),
    bad_text("B9", "spec.model.revision", "`id`", f.REVISION),
    bad_text("B9", "spec.storage.subPath", "{{ .Values.path }}", f.SUB_PATH),
    bad_text("B9", "spec.data.train[0].split", "train\n", f.SPLIT_NAME),
    bad_text("B9", "spec.image", "server%s$(id)", f.IMAGE, kind=DEPLOYMENT),
    bad("B10", By.SERVER, "metadata.name", 'a"} or vector(1) #', "a lowercase RFC 1123 subdomain", advice=_JOB_NAME),
    bad("B10", By.SERVER, "metadata.labels", {"team": 'a"} or vector(1) #'}, "a valid label must be", advice="must match", field="metadata.labels"),
    bad_text("B10", "spec.storage.claim", 'a",namespace!="b', f.NAME),
    bad_text("B10", "spec.resources.gpuResource", 'nvidia.com/gpu"} or up{a="', f.GPU_RESOURCE),
    bad("B10", By.SERVER, "metadata.name", "a\\", "a lowercase RFC 1123 subdomain", advice=_DEPLOYMENT_NAME, kind=DEPLOYMENT),
    bad_text("B10", "spec.model.fineTuneJobRef.name", 'a"} or vector(1) #', f.NAME, kind=DEPLOYMENT),
    # B11 DeepSpeed
    bad("B11", By.SCHEMA, "spec.deepspeed.stage", 9, "should be less than or equal to 3", advice="must be at most 3 (allowed: at least 0 and at most 3). Example: stage: 3"),
    bad("B11", By.SCHEMA, "spec.deepspeed.stage", -1, "should be greater than or equal to 0", advice="must be at least 0"),
    bad("B11", By.SCHEMA, "spec.deepspeed.stage", "2", "must be of type integer", advice="must be a whole number"),
    unknown_field("B11", "spec.deepspeed.zero_stage", 2, "known here: offloadOptimizer, stage"),
    unknown_field("B11", "spec.deepspeed.config", {"zero_optimization": {"stage": 9}}, "known here: offloadOptimizer, stage"),
    bad("B11", By.RULE, "spec.training.microBatchSize", 5, "globalBatchSize (32 by default) must be a multiple of it", advice="got 5. Example: globalBatchSize: 32"),
    bad("B11", By.RULE, "spec.training.microBatchSize", 64, "must be a multiple of it", advice="got 64", spec__training__globalBatchSize=32),
    # B12 hyperparameters
    bad("B12", By.SCHEMA, "spec.training.learningRate", -1, "should be greater than 0", advice="must be greater than 0 (allowed: more than 0 and at most 10). Example: learningRate: 2e-4"),
    bad("B12", By.SCHEMA, "spec.training.learningRate", 0, "should be greater than 0", advice="must be greater than 0"),
    bad("B12", By.SCHEMA, "spec.training.learningRate", 11, "should be less than or equal to 10", advice="must be at most 10"),
    bad("B12", By.SCHEMA, "spec.training.learningRate", "2e-4", "must be of type number", advice="must be a number"),
    bad("B12", By.SCHEMA, "spec.training.epochs", 0, "should be greater than 0", advice="must be greater than 0"),
    bad("B12", By.SCHEMA, "spec.training.beta2", 1, "should be less than 1", advice="must be less than 1"),
    bad("B12", By.SCHEMA, "spec.method.rank", 0, "should be greater than or equal to 1", advice="must be at least 1"),
    bad("B12", By.SCHEMA, "spec.method.rank", 1025, "should be less than or equal to 1024", advice="must be at most 1024"),
    bad("B12", By.RULE, "spec.training.warmupSteps", 11, "must be at most maxSteps", advice="got 11. Example: maxSteps: 1000 with warmupSteps: 60", spec__training__maxSteps=10),
    bad("B12", By.RULE, "spec.method.rank", 8, "applies only to type: lora", advice="got 8", spec__method__type="full"),
    # B13 addresses
    bad_text("B13", "spec.model.uri", "http://169.254.169.254/latest/meta-data", f.MODEL_URI),
    bad_text("B13", "spec.model.uri", "gopher://a/1", f.MODEL_URI),
    bad_text("B13", "spec.model.uri", "hf://user:password@a/b", f.MODEL_URI),
    bad_text("B13", "spec.model.uri", "hf://[::ffff:10.0.0.1]/b", f.MODEL_URI),
    bad_text("B13", "spec.model.uri", "hf://a./b", f.MODEL_URI),
    bad_text("B13", "spec.model.uri", "roberta-base", f.MODEL_URI),
    bad_text("B13", "spec.data.train[0].uri", "https://example.com/rows.csv", f.FILES_URI),
    bad_text("B13", "spec.data.train[0].uri", "hf://stanfordnlp/imdb", f.FILES_URI),
    bad("B13", By.OPERATOR, "spec.model.uri", "file:///etc/passwd", "file:// is a path of one machine"),
    bad_text("B13", "spec.model.uri", "s3://bucket/artifact", f.MODEL_URI, kind=DEPLOYMENT),
    bad("B13", By.OPERATOR, "spec.model.uri", "hf://a/b", "the folder of an artifact that a FineTuneJob published is needed", kind=DEPLOYMENT),
    # B14 paths that lead out of the claim
    bad_text("B14", "spec.storage.subPath", "../../", f.SUB_PATH),
    bad_text("B14", "spec.storage.subPath", "/etc", f.SUB_PATH),
    bad_text("B14", "spec.storage.subPath", "a/../../b", f.SUB_PATH),
    bad_text("B14", "spec.storage.subPath", "%2e%2e/b", f.SUB_PATH),
    bad_text("B14", "spec.storage.subPath", "a\\..\\b", f.SUB_PATH),
    bad_text("B14", "spec.data.train[0].uri", "pvc://models/a/../../b", f.FILES_URI),
    bad_text("B14", "spec.data.train[0].uri", "pvc://models/%2e%2e/b", f.FILES_URI),
    bad_text("B14", "spec.model.uri", "pvc://models/..\\b", f.MODEL_URI),
    bad_text("B14", "spec.model.uri", "pvc://models/..", f.MODEL_URI, kind=DEPLOYMENT),
    # B15 images
    bad_text("B15", "spec.image", "Trainer:1", f.IMAGE),
    bad_text("B15", "spec.image", "trainer:", f.IMAGE),
    bad_text("B15", "spec.image", "trainer latest", f.IMAGE),
    bad_text("B15", "spec.image", "trainer@sha256:abc", f.IMAGE),
    bad_text("B15", "spec.image", "", f.IMAGE),
    bad_text("B15", "spec.image", "https://registry.example.com/server:1", f.IMAGE, kind=DEPLOYMENT),
    # B16 whose rights a job has is not its author's choice, and there is no other namespace than its own
    unknown_field("B16", "spec.serviceAccountName", "admin"),
    unknown_field("B16", "spec.model.secretRef", {"name": "token", "namespace": "kube-system"}),
    unknown_field("B16", "spec.storage.namespace", "kube-system"),
    unknown_field("B16", "spec.imagePullSecrets", [{"name": "registry"}]),
    unknown_field("B16", "spec.model.namespace", "other", kind=DEPLOYMENT),
    # B17 the pods' templates are ours
    unknown_field("B17", "spec.hostNetwork", True),
    unknown_field("B17", "spec.volumes", [{"name": "host", "hostPath": {"path": "/"}}]),
    unknown_field("B17", "spec.securityContext", {"privileged": True}),
    unknown_field("B17", "spec.nodeName", "control-plane"),
    unknown_field("B17", "spec.resources.runtimeClassName", "runc"),
    unknown_field("B17", "spec.initContainers", [{"name": "a", "image": "b"}], kind=DEPLOYMENT),
    # B18 so is their environment
    unknown_field("B18", "spec.env", [{"name": "LD_PRELOAD", "value": "/tmp/a.so"}]),
    unknown_field("B18", "spec.env", [{"name": "MASTER_ADDR", "value": "evil"}, {"name": "MASTER_ADDR", "value": "worse"}]),
    unknown_field("B18", "spec.training.env", {"RANK": "0"}),
    unknown_field("B18", "spec.envFrom", [{"secretRef": {"name": "token"}}]),
    unknown_field("B18", "spec.env", [{"name": "PYTHONPATH", "value": "/tmp"}], kind=DEPLOYMENT),
    # B21 durations
    bad_text("B21", "spec.checkpoint.every", "10", f.DURATION),
    bad_text("B21", "spec.checkpoint.every", "-5m", f.DURATION),
    bad_text("B21", "spec.checkpoint.every", "1y", f.DURATION),
    bad_text("B21", "spec.checkpoint.every", "1.5h", f.DURATION),
    bad_text("B21", "spec.checkpoint.gracePeriod", "", f.DURATION),
    bad_text("B21", "spec.checkpoint.gracePeriod", "30m1h", f.DURATION),
    bad("B21", By.RULE, "spec.checkpoint.every", "0s", "must be longer than 0s", advice="must be longer than 0s; got '0s'. Example: 5m"),
    bad("B21", By.SCHEMA, "spec.checkpoint.every", 300, "must be of type string", advice="must be a string. Example: every: 10m"),
    bad_text("B21", "spec.lifecycle.drain", "45", f.DURATION, kind=DEPLOYMENT),
    bad("B21", By.RULE, "spec.lifecycle.startup", "0m", "must be longer than 0s", kind=DEPLOYMENT),
)  # fmt: skip
