"""Each rule of the custom resources refuses on the real API server, and names the field."""

from __future__ import annotations

import json
import re

import pytest
from custom_objects import (
    SMALLEST,
    TRAIN,
    manifest,
    resource,
)

from tuneloop_api.crd import generator as crd
from tuneloop_api.v1alpha1 import FineTuneJob, ModelDeployment
from tuneloop_api.wire.text_formats import TEXT_FORMATS

# What breaks each rule, and where the error must be; every rule of the models has a line here.
BROKEN_RULES = [
    (FineTuneJob, {"data": {"train": [TRAIN], "split": {"stratify": True}}}, "spec.data.split.stratify: Forbidden: applies only to method: random"),
    (FineTuneJob, {"data": {"train": [TRAIN], "split": {"method": "random", "stratify": True, "groupBy": "user"}}}, "spec.data.split.stratify: Invalid value: cannot be combined with groupBy"),
    (FineTuneJob, {"data": {"train": [TRAIN], "split": {"validation": 0.9}}}, "spec.data.split.validation: Invalid value: validation and test must leave rows to train on"),
    (FineTuneJob, {"method": {"type": "full", "rank": 8}}, "spec.method.rank: Forbidden: applies only to type: lora"),
    (FineTuneJob, {"method": {"type": "full", "alpha": 8}}, "spec.method.alpha: Forbidden: applies only to type: lora"),
    (FineTuneJob, {"method": {"type": "full", "dropout": 0}}, "spec.method.dropout: Forbidden: applies only to type: lora"),
    (FineTuneJob, {"method": {"type": "full", "targetModules": ["query"]}}, "spec.method.targetModules: Forbidden: applies only to type: lora"),
    (FineTuneJob, {"method": {"type": "bitfit", "targetModules": ["query"]}}, "spec.method.targetModules: Forbidden: applies only to type: lora or ia3"),
    (FineTuneJob, {"method": {"type": "ia3", "useDora": True}}, "spec.method.useDora: Forbidden: applies only to type: lora"),
    (FineTuneJob, {"method": {"type": "full", "useRslora": False}}, "spec.method.useRslora: Forbidden: applies only to type: lora"),
    (FineTuneJob, {"method": {"type": "full", "usePissa": False}}, "spec.method.usePissa: Forbidden: applies only to type: lora"),
    (FineTuneJob, {"method": {"freeze": ["embeddings"]}}, "spec.method.freeze: Forbidden: applies only to type: full"),
    (FineTuneJob, {"method": {"type": "prompt"}}, "spec.method.type: Invalid value: prefix, prompt and p-tuning have no weights to merge"),
    (FineTuneJob, {"method": {"virtualTokens": 8}}, "spec.method.virtualTokens: Forbidden: applies only to type: prefix or prompt or p-tuning"),
    (FineTuneJob, {"task": "token-classification", "method": {"type": "p-tuning"}, "output": {"mergeAdapter": False}}, "spec.method.type: Forbidden: must not be prompt or p-tuning with task: token-classification"),
    (FineTuneJob, {"method": {"useDora": True}, "deepspeed": {"stage": 3}}, "spec.deepspeed.stage: Forbidden: cannot be 3 with method.useDora"),
    (FineTuneJob, {"method": {"useDora": True, "usePissa": True}}, "spec.method.usePissa: Forbidden: cannot be true with method.useDora"),
    (FineTuneJob, {"training": {"evaluateEvery": {}}}, "spec.training.evaluateEvery: Invalid value: exactly one of steps and epochs must be given"),
    (FineTuneJob, {"training": {"evaluateEvery": {"steps": 1, "epochs": 1}}}, "spec.training.evaluateEvery: Invalid value: exactly one of steps and epochs must be given"),
    (FineTuneJob, {"training": {"epochs": 1, "maxSteps": 1}}, "spec.training.maxSteps: Forbidden: cannot be combined with epochs"),
    (FineTuneJob, {"training": {"warmupRatio": 0, "warmupSteps": 0}}, "spec.training.warmupSteps: Forbidden: cannot be combined with warmupRatio"),
    (FineTuneJob, {"training": {"microBatchSize": 5}}, "spec.training.microBatchSize: Invalid value: globalBatchSize (32 by default) must be a multiple of it"),
    *(
        (FineTuneJob, {"data": {"train": [TRAIN]} | {split: [TRAIN | {"labelRule": {"above": 0, "names": ["a", "a"]}}]}}, f"spec.data.{split}[0].labelRule.names: Invalid value: must be two different names")
        for split in ("train", "validation", "test")
    ),
    (FineTuneJob, {"failurePolicy": {"rules": [{"action": "Fail"}]}}, "spec.failurePolicy.rules[0]: Invalid value: exactly one of class and exitCodes must be given"),
    (FineTuneJob, {"failurePolicy": {"rules": [{"class": "Hang", "exitCodes": [1], "action": "Fail"}]}}, "spec.failurePolicy.rules[0]: Invalid value: exactly one of class and exitCodes must be given"),
    (FineTuneJob, {"failurePolicy": {"startDeadline": "0s"}}, "spec.failurePolicy.startDeadline: Invalid value: must be longer than 0s"),
    (FineTuneJob, {"failurePolicy": {"hangTimeout": "0m"}}, "spec.failurePolicy.hangTimeout: Invalid value: must be longer than 0s"),
    (FineTuneJob, {"scheduling": {"shrinkAfter": "5m"}}, "spec.scheduling.shrinkAfter: Forbidden: applies only to jobs with minNodes"),
    (FineTuneJob, {"scheduling": {"minNodes": 1, "shrinkAfter": "0s"}}, "spec.scheduling.shrinkAfter: Invalid value: must be longer than 0s"),
    (FineTuneJob, {"scheduling": {"minNodes": 2}}, "spec.scheduling.minNodes: Invalid value: must be at most resources.nodes"),
    (FineTuneJob, {"deepspeed": {"stage": 0, "offloadOptimizer": "cpu"}}, "spec.deepspeed.offloadOptimizer: Forbidden: cannot be cpu with stage: 0, which shares nothing out"),
    (FineTuneJob, {"checkpoint": {"every": "0m0s"}}, "spec.checkpoint.every: Invalid value: must be longer than 0s"),
    (ModelDeployment, {"model": {"uri": "pvc://a/b", "pin": "7d1f0b2c"}}, "spec.model.pin: Forbidden: applies only to deployments with rollout"),
    (ModelDeployment, {"replicas": 2, "autoscaling": {"max": 2}}, "spec.autoscaling: Forbidden: cannot be combined with replicas"),
    *((ModelDeployment, {"autoscaling": limits}, "spec.autoscaling.max: Invalid value: must be at least min") for limits in ({"min": 3, "max": 2}, {"min": 2, "max": 1})),
    (ModelDeployment, {"lifecycle": {"startup": "0s"}}, "spec.lifecycle.startup: Invalid value: must be longer than 0s"),
    *((ModelDeployment, {"adapters": [{"name": "a"} | given]}, "spec.adapters[0]: Invalid value: exactly one of fineTuneJobRef and uri must be given") for given in ({}, {"uri": "pvc://a/b", "fineTuneJobRef": {"name": "a"}})),
    (ModelDeployment, {"adapters": [{"name": "a", "fineTuneJobRef": {"name": "a"}, "digest": f"sha256:{64 * 'a'}"}]}, "spec.adapters[0].digest: Forbidden: applies only to uri"),
    (ModelDeployment, {"adapters": [{"name": "a", "uri": f"pvc://a/{end}"} for end in "bc"]}, "spec.adapters: Invalid value: no two adapters may have the same name"),
    (ModelDeployment, {"adapters": [{"name": "a", "uri": "pvc://a/b"}], "runtime": {"engine": "onnx"}}, "spec.adapters: Forbidden: applies only to runtime.engine: torch"),
    (ModelDeployment, {"autoscaling": {"max": 3, "signal": "Concurrency"}, "image": "a", "runtime": {"type": "Custom"}}, "spec.autoscaling.signal: Forbidden: Concurrency applies only to runtime.type: Builtin"),
    (ModelDeployment, {"adapters": [{"name": "a", "uri": "pvc://a/b"}], "image": "a", "runtime": {"type": "Custom"}}, "spec.adapters: Forbidden: applies only to runtime.type: Builtin"),
    *((ModelDeployment, {"rollout": {"strategy": strategy, "steps": [{"weight": 5}]}}, "spec.rollout.steps: Forbidden: applies only to strategy: Canary and Shadow") for strategy in ("BlueGreen", "Recreate")),
    *((ModelDeployment, {"rollout": {"steps": [{"weight": weight} for weight in weights]}}, "spec.rollout.steps: Invalid value: the weight of each step must be larger than that of the step before") for weights in ((25, 5), (5, 25, 25))),
    (ModelDeployment, {"rollout": {"strategy": "Recreate", "capacity": "Surge"}}, "spec.rollout.capacity: Forbidden: applies only to strategy: Canary, BlueGreen and Shadow"),
    *((ModelDeployment, {"rollout": {}, "expose": {"stickyHeader": header}}, "spec.expose.stickyHeader: Invalid value: must be a header of the client's own, none that carries a key or the connection's state, and none that begins with x-envoy- or x-tuneloop-") for header in ("authorization", "host", "x-envoy-user", "x-tuneloop-user")),
    *((ModelDeployment, {"expose": {"stickyHeader": "x-user"}} | spec, "spec.expose.stickyHeader: Forbidden: applies only to rollout.strategy: Canary, BlueGreen and Shadow") for spec in ({}, {"rollout": {"strategy": "Recreate"}})),
    *((ModelDeployment, {"access": {"rateLimit": {"requestsPerSecond": rate}}}, "spec.access.rateLimit.requestsPerSecond: Invalid value: must be at least 0.1") for rate in (0, -1, 0.05)),
    *((ModelDeployment, {"access": {"networkPolicy": closed}}, "spec.access.networkPolicy: Forbidden: applies only to access with apiKeySecretRef or rateLimit") for closed in (True, False)),
    *((ModelDeployment, {"rollout": {"gates": [{"name": "a", "margin": 0.01} | given]}}, "spec.rollout.gates[0]: Invalid value: exactly one of metric and query must be given") for given in ({}, {"metric": "Errors", "query": "a{b='{{revision}}'}"})),
    *((ModelDeployment, {"rollout": {"gates": [{"name": "a", "metric": "Errors", "margin": margin}]}}, "spec.rollout.gates[0].margin: Invalid value: must be a share of more than 0 and less than 1 for a metric") for margin in (0, 1, -0.5, 5)),
    *((ModelDeployment, {"rollout": {"gates": [{"name": "a", "query": "up", "margin": 1} | given]}}, "spec.rollout.gates[0].query: Invalid value: must name {{revision}} to be compared with stable, or compare") for given in ({}, {"compare": "Stable"})),
    (ModelDeployment, {"rollout": {"gates": [{"name": "a", "metric": "Errors", "margin": 0.01, "compare": "Absolute"}]}}, "spec.rollout.gates[0].compare: Forbidden: applies only to query"),
    (ModelDeployment, {"rollout": {"gates": [{"name": "a", "query": "up", "compare": "Absolute", "margin": 1, "alpha": 0.1}]}}, "spec.rollout.gates[0].alpha: Forbidden: applies only to metric"),
    (ModelDeployment, {"rollout": {"gates": [{"name": "a", "metric": "Errors", "margin": 0.01, "similarity": 0.5}]}}, "spec.rollout.gates[0].similarity: Forbidden: applies only to metric: Agreement"),
    (ModelDeployment, {"rollout": {"gates": [{"name": "a", "metric": metric, "margin": 0.01} for metric in ("Errors", "Latency")]}}, "spec.rollout.gates: Invalid value: no two gates may have the same name"),
    (ModelDeployment, {"rollout": {"strategy": "Recreate", "gates": [{"name": "a", "metric": "Errors", "margin": 0.01}]}}, "spec.rollout.gates: Forbidden: Errors, Latency and Agreement apply only to strategy"),
    (ModelDeployment, {"rollout": {"gates": [{"name": "a", "metric": "GoldenAccuracy", "margin": 0.03}]}}, "spec.rollout.gates: Forbidden: GoldenAccuracy, Calibration and GenerationQuality apply only with a golden set"),
    *((ModelDeployment, {"rollout": {"gates": [{"name": "a", "metric": "FeedbackAccuracy", "margin": 0.03}]}} | given, "spec.rollout.gates: Forbidden: FeedbackAccuracy applies only with feedback") for given in ({}, {"feedback": {"enabled": False}})),
    (ModelDeployment, {"retraining": {"suspend": True}}, "spec.retraining: Forbidden: applies only to deployments with rollout"),
    (ModelDeployment, {"retraining": {}, "rollout": {}, "adapters": [{"name": "a", "uri": "pvc://a/b"}]}, "spec.retraining: Forbidden: cannot be combined with adapters"),
    (ModelDeployment, {"retraining": {"enabled": True}, "rollout": {}}, "spec.retraining.jobTemplateRef: Invalid value: must be given with enabled: true"),
    *((ModelDeployment, {"retraining": given, "rollout": {}}, f"spec.retraining.{field}: Invalid value: must be longer than 0s") for field, given in (("cooldown", {"cooldown": "0s"}), ("backoff.max", {"backoff": {"max": "0s"}}), ("budget.window", {"budget": {"window": "0s"}}))),
    *((ModelDeployment, {"rollout": {}, "monitoring": {}, "retraining": {"triggers": [{"name": "a"} | trigger]}} | given, "spec.retraining.triggers: Forbidden: type: accuracy and newData apply only with feedback") for trigger in ({"type": "accuracy", "below": 0.9}, {"type": "newData", "minNewSamples": 5}) for given in ({}, {"feedback": {"enabled": False}})),
    (ModelDeployment, {"rollout": {}, "feedback": {}, "retraining": {"triggers": [{"name": "a", "type": "drift"}]}}, "spec.retraining.triggers: Forbidden: type: drift applies only with monitoring"),
    *((ModelDeployment, {"rollout": {}, "feedback": {}, "monitoring": {}, "retraining": {"triggers": [{"name": "a"} | trigger]}}, f"spec.retraining.triggers[0]{message}") for trigger, message in (
        ({"type": "accuracy"}, ": Invalid value: type: accuracy needs exactly one of below and dropBelowBaseline"),
        ({"type": "promql", "query": "up"}, ": Invalid value: type: promql needs query and threshold"),
        ({"type": "schedule"}, ": Invalid value: type: schedule needs schedule"),
        ({"type": "newData"}, ": Invalid value: type: newData needs minNewSamples"),
        *(
            ({"type": "manual", field: value}, f".{field}: Forbidden: applies only to type: {types}")
            for types, fields in (
                ("accuracy", {"below": 0.9, "dropBelowBaseline": 0.1}),
                ("drift", {"features": ["confidence"]}),
                ("promql", {"query": "up", "clearThreshold": 1}),
                ("promql or drift", {"threshold": 1}),
                ("schedule", {"schedule": "30 2 * * 6", "timeZone": "Europe/Berlin", "startingDeadline": "1h"}),
                ("newData", {"minNewSamples": 5}),
                ("accuracy or drift or promql", {"for": "1h", "clearFor": "1h"}),
                ("accuracy or drift", {"expectedDaysBetweenFalseTriggers": 90}),
            )
            for field, value in fields.items()
        ),
        ({"type": "promql", "query": "up", "threshold": 1, "clearThreshold": 2}, ".clearThreshold: Invalid value: must be at most threshold: the trigger is over below it"),
        ({"type": "schedule", "schedule": "30 2 * * 6", "startingDeadline": "0s"}, ".startingDeadline: Invalid value: must be longer than 0s"),
        *(({"type": "promql", "query": "up", "threshold": 1, field: "0s"}, f".{field}: Invalid value: must be longer than 0s") for field in ("for", "clearFor")),
        ({"type": "drift", "threshold": 0}, ".threshold: Invalid value: must be more than 0 for type: drift"),
    )),
    (ModelDeployment, {"rollout": {}, "retraining": {"triggers": 2 * [{"name": "a", "type": "manual"}]}}, "spec.retraining.triggers: Invalid value: no two triggers may have the same name"),
    (ModelDeployment, {"feedback": {"labelDelay": "0s"}}, "spec.feedback.labelDelay: Invalid value: must be longer than 0s"),
    (ModelDeployment, {"feedback": {"storeInputs": "all", "storage": {"claim": "a"}, "retention": "0s"}}, "spec.feedback.retention: Invalid value: must be longer than 0s"),
    *((ModelDeployment, {"feedback": {"storeInputs": kept}}, "spec.feedback.storage: Invalid value: must be given with storeInputs: sample and all") for kept in ("sample", "all")),
    *((ModelDeployment, {"feedback": {"storeInputs": "all", "storage": given}}, f"spec.feedback.storage{field}: {why}") for given, field, why in (
        ({}, "", "Invalid value: exactly one of claim and uri must be given"),
        ({"claim": "a", "uri": "s3://labels/a"}, "", "Invalid value: exactly one of claim and uri must be given"),
        ({"uri": "s3://labels/a", "subPath": "b"}, ".subPath", "Forbidden: applies only to claim"),
        ({"claim": "a", "secretRef": {"name": "b"}}, ".secretRef", "Forbidden: applies only to uri"),
    )),
    (ModelDeployment, {"feedback": {"storeInputs": "all", "storage": {"claim": "a"}, "sampleRate": 0.5}}, "spec.feedback.sampleRate: Forbidden: applies only to storeInputs: sample"),
    *((ModelDeployment, {"feedback": given | {"storeInputs": "none"}}, f"spec.feedback.{name}: Forbidden: applies only to storeInputs: sample and all") for given in ({"redact": False}, {"retention": "1d"}, {"storage": {"claim": "a"}}) for name in given),
    (ModelDeployment, {"feedback": {}, "image": "a", "runtime": {"type": "Custom"}}, "spec.feedback: Forbidden: applies only to runtime.type: Builtin"),
    (ModelDeployment, {"monitoring": {"baselineWindow": "0s"}}, "spec.monitoring.baselineWindow: Invalid value: must be longer than 0s"),
    (ModelDeployment, {"monitoring": {}, "image": "a", "runtime": {"type": "Custom"}}, "spec.monitoring: Forbidden: applies only to runtime.type: Builtin"),
    (ModelDeployment, {"rollout": {"onThinTraffic": "Replay"}}, "spec.rollout.onThinTraffic: Forbidden: Replay applies only with a golden set"),
    *((ModelDeployment, {"rollout": {"shadow": {"percent": 50}} | given}, "spec.rollout.shadow: Forbidden: applies only to strategy: Shadow, and to gates on Errors, Latency or Agreement") for given in ({}, {"strategy": "BlueGreen"}, {"gates": [{"name": "a", "query": "up", "compare": "Absolute", "margin": 1}]})),
    (ModelDeployment, {"rollout": {"shadow": {"minRequests": 50}, "gates": [{"name": "a", "metric": "Errors", "margin": 0.01}]}}, "spec.rollout.shadow.minRequests: Forbidden: applies only to strategy: Shadow and BlueGreen"),
    (ModelDeployment, {"rollout": {"maxDuration": "0s"}}, "spec.rollout.maxDuration: Invalid value: must be longer than 0s"),
    (FineTuneJob, {"checkpoint": {"every": "5m", "everySteps": 5}}, "spec.checkpoint.everySteps: Forbidden: cannot be combined with every"),
    (FineTuneJob, {"checkpoint": {"resume": "never", "resumeFrom": "pvc://models/jobs/old-1a2b3c4d"}}, "spec.checkpoint.resumeFrom: Forbidden: applies only to resume: auto"),
    (FineTuneJob, {"model": {"uri": "pvc://models/bert", "revision": "main"}}, "spec.model.revision: Forbidden: applies only to hf:// models"),
    (FineTuneJob, {"data": {"train": [TRAIN], "validation": [TRAIN], "test": [TRAIN], "split": {}}}, "spec.data.split: Forbidden: applies only where rows are divided"),
    (FineTuneJob, {"data": {"train": [TRAIN], "validation": [TRAIN], "split": {"validation": 0.1}}}, "spec.data.split.validation: Forbidden: cannot be combined with data.validation, which gives these rows"),
    (FineTuneJob, {"data": {"train": [TRAIN], "test": [TRAIN], "split": {"test": 0.1}}}, "spec.data.split.test: Forbidden: cannot be combined with data.test, which gives these rows"),
    *((FineTuneJob, {"data": {"train": [TRAIN], split: [source]}}, "spec.data: Invalid value: cutoff and window apply only to feedback:// sources") for split, source in (
        ("train", TRAIN | {"cutoff": "2026-11-30T12:00:00Z"}),
        ("train", TRAIN | {"window": "14d"}),
        ("validation", TRAIN | {"uri": "feedback://reviews", "split": "test"}),
        ("test", {"uri": "feedback://reviews", "columns": {"text": "a"}}),
    )),
    *((FineTuneJob, {"evaluation": {"compareWith": {"uri": "pvc://models/served", "recent": [source]}}}, "spec.evaluation.compareWith: Invalid value: cutoff and window apply only to feedback:// sources") for source in (
        TRAIN | {"window": "14d"},
        {"uri": "feedback://reviews", "split": "test"},
    )),
    *((FineTuneJob, {"data": {"train": [TRAIN], split: [{"uri": "feedback://reviews", "window": "0s"}]}}, f"spec.data.{split}[0].window: Invalid value: must be longer than 0s") for split in ("train", "validation", "test")),
    (FineTuneJob, {"evaluation": {"compareWith": {"uri": "pvc://models/served", "recent": [{"uri": "feedback://reviews", "window": "0s"}]}}}, "spec.evaluation.compareWith.recent[0].window: Invalid value: must be longer than 0s"),
    *((FineTuneJob, {"taskOptions": {"problemType": "regression"}, "data": {"train": [TRAIN], "balance": balance}}, f"spec.data.balance.{field}: Forbidden: applies only to task: text-classification (but not problemType: regression) and token-classification") for field, balance in (
        ("classWeights", {"classWeights": "balanced"}), ("focalGamma", {"focalGamma": 2}))),
    (FineTuneJob, {"data": {"train": [TRAIN], "balance": {"focalGamma": 0.5}}, "training": {"labelSmoothing": 0.1}}, "spec.data.balance.focalGamma: Forbidden: cannot be combined with training.labelSmoothing"),
    *((FineTuneJob, {"search": {"space": [dimension]}}, f"spec.search.space[0]{said}") for dimension, said in (
        ({"path": "training.learningRate", "type": "int", "low": 1, "high": 2}, ".type: Invalid value: does not fit the path"),
        ({"path": "method.type", "type": "categorical", "numbers": [1]}, ": Invalid value: type: categorical has values"),
        ({"path": "training.learningRate", "type": "float", "low": 1}, ": Invalid value: type: categorical has values"),
        ({"path": "training.learningRate", "type": "float", "low": 1, "high": 1}, ".low: Invalid value: must be less than high"),
        ({"path": "training.learningRate", "type": "log-float", "low": 0, "high": 1}, ".low: Invalid value: must be more than 0 for type: log-float"),
    )),
    (FineTuneJob, {"search": {"space": 2 * [{"path": "training.learningRate", "type": "log-float", "low": 1e-5, "high": 1e-3}]}}, "spec.search.space: Invalid value: names a path twice"),
    (FineTuneJob, {"search": {"space": [{"path": "training.learningRate", "type": "log-float", "low": 1e-5, "high": 1e-3}], "sampler": "grid"}}, "spec.search.sampler: Invalid value: grid needs a finite number of values"),
    (FineTuneJob, {"search": {"space": [{"path": "method.type", "type": "categorical", "values": ["full", "lora"]}], "sampler": "grid", "trials": 2}}, "spec.search.trials: Forbidden: applies only to sampler: tpe or random"),
    (FineTuneJob, {"search": {"space": [{"path": "training.learningRate", "type": "log-float", "low": 1e-5, "high": 1e-3}]}, "checkpoint": {"resumeFrom": "pvc://models/jobs/old-1a2b3c4d"}}, "spec.search: Forbidden: cannot be combined with checkpoint.resumeFrom, which holds the state of a single training"),
    (FineTuneJob, {"training": {"layerwiseLrDecay": 0.9}}, "spec.training.layerwiseLrDecay: Forbidden: applies only to method.type: full or bitfit"),
    (FineTuneJob, {"method": {"type": "prefix"}, "output": {"mergeAdapter": False}, "training": {"gradientCheckpointing": "always"}}, "spec.training.gradientCheckpointing: Forbidden: cannot be always with method.type: prefix"),
    (FineTuneJob, {"data": {"train": [TRAIN], "packing": "always"}}, "spec.data.packing: Forbidden: can be always only for task: text-generation and fill-mask"),
    (FineTuneJob, {"training": {"maxSteps": 10, "warmupSteps": 11}}, "spec.training.warmupSteps: Invalid value: must be at most maxSteps, the length of the whole run"),
    (FineTuneJob, {"resources": {"processesPerNode": 2}}, "spec.resources.processesPerNode: Invalid value: must be at most gpusPerNode"),
    (FineTuneJob, {"output": {"mergeAdapter": False, "formats": ["safetensors", "onnx"]}}, "spec.output.formats: Forbidden: onnx and onnx-int8 need the whole model"),
    (FineTuneJob, {"evaluation": {"compareWith": {"uri": "pvc://models/served", "recent": [TRAIN | {"labelRule": {"above": 0, "names": ["a", "a"]}}]}}}, "spec.evaluation.compareWith.recent[0].labelRule.names: Invalid value: must be two different names"),
    (FineTuneJob, {"evaluation": {"compareWith": {"uri": "pvc://models/served"}}, "output": {"mergeAdapter": False}}, "spec.evaluation.compareWith: Forbidden: needs a whole model to compare"),
    (FineTuneJob, {"evaluation": {"compareWith": {"uri": "pvc://models/served"}}, "data": {"train": [TRAIN], "split": {"method": "random"}}}, "spec.evaluation.compareWith: Forbidden: cannot be combined with data.split.method: random"),
    (FineTuneJob, {"method": {"type": "full"}, "output": {"mergeAdapter": False}}, "spec.output.mergeAdapter: Forbidden: applies only to method.type: lora"),
    (FineTuneJob, {"method": {"type": "bitfit"}, "output": {"mergeAdapter": True}}, "spec.output.mergeAdapter: Forbidden: applies only to method.type: lora"),
    (FineTuneJob, {"method": {"type": "bitfit", "rank": 8}}, "spec.method.rank: Forbidden: applies only to type: lora"),
    (FineTuneJob, {"taskOptions": {"tagScheme": "iob2"}}, "spec.taskOptions.tagScheme: Forbidden: applies only to task: token-classification"),
    (FineTuneJob, {"taskOptions": {"labelAllTokens": False}}, "spec.taskOptions.labelAllTokens: Forbidden: applies only to task: token-classification"),
    *((FineTuneJob, {"taskOptions": {name: value}}, f"spec.taskOptions.{name}: Forbidden: applies only to task: text2text-generation") for name, value in (
        ("sourcePrefix", "summarize: "), ("maxTargetTokens", 64), ("numBeams", 4))),
    *((FineTuneJob, {"task": "text2text-generation", "method": {"type": "full"}} | given, f"spec.{field}: Forbidden: cannot be combined with task: text2text-generation") for given, field in (
        ({"data": {"train": [TRAIN], "split": {"stratify": True, "method": "random"}}}, "data.split.stratify"),
        ({"data": {"train": [TRAIN], "allowMissingClasses": True}}, "data.allowMissingClasses"),
        ({"model": {"uri": "hf://a/b", "labels": ["a", "b"]}}, "model.labels"),
        ({"output": {"formats": ["safetensors", "onnx"]}}, "output.formats"),
        ({"evaluation": {"compareWith": {"uri": "pvc://models/served"}}}, "evaluation.compareWith"),
    )),
    (FineTuneJob, {"task": "text2text-generation", "method": {"type": "prefix"}, "output": {"mergeAdapter": False}}, "spec.method.type: Forbidden: must not be prefix, prompt or p-tuning with task: text2text-generation"),
    (FineTuneJob, {"task": "text2text-generation", "training": {"bestMetric": "span_f1"}}, "spec.training.bestMetric: Forbidden: must be a metric of the task"),
    (FineTuneJob, {"training": {"bestMetric": "span_f1"}}, "spec.training.bestMetric: Forbidden: must be a metric of the task"),
    (FineTuneJob, {"training": {"earlyStopping": {"metric": "span_recall"}}}, "spec.training.earlyStopping.metric: Forbidden: must be a metric of the task"),
    (FineTuneJob, {"task": "token-classification", "taskOptions": {"problemType": "multi-label"}}, "spec.taskOptions.problemType: Forbidden: applies only to task: text-classification"),
    (FineTuneJob, {"taskOptions": {"lossOn": "all"}}, "spec.taskOptions.lossOn: Forbidden: applies only to task: text-generation"),
    (FineTuneJob, {"model": {"uri": "hf://a/b", "chatTemplate": "{{ messages }}"}}, "spec.model.chatTemplate: Forbidden: applies only to task: text-generation"),
    (FineTuneJob, {"training": {"bestMetric": "perplexity"}}, "spec.training.bestMetric: Forbidden: must be a metric of the task"),
    (FineTuneJob, {"training": {"earlyStopping": {"metric": "bits_per_byte"}}}, "spec.training.earlyStopping.metric: Forbidden: must be a metric of the task"),
    *((FineTuneJob, {"task": "text-generation"} | given, f"spec.{field}: {why}") for given, field, why in (
        ({"training": {"bestMetric": "macro_f1"}}, "training.bestMetric", "Forbidden: must be a metric of the task"),
        ({"taskOptions": {"lossOn": "completion"}}, "taskOptions.lossOn", "Invalid value: must be a part that the rows have"),
        ({"taskOptions": {"lossOn": "assistant"}, "data": {"train": [TRAIN], "format": "text"}}, "taskOptions.lossOn", "Invalid value: must be a part that the rows have"),
        *((given, field, "Forbidden: cannot be combined with task: text-generation") for given, field in (
            ({"model": {"uri": "hf://a/b", "labels": ["a", "b"]}}, "model.labels"),
            ({"data": {"train": [TRAIN], "split": {"stratify": True, "method": "random"}}}, "data.split.stratify"),
            ({"data": {"train": [TRAIN], "allowMissingClasses": True}}, "data.allowMissingClasses"),
            ({"output": {"formats": ["onnx"]}}, "output.formats"),
        )),
    )),
    *((FineTuneJob, {"taskOptions": {"problemType": "multi-label"}} | given, f"spec.{field}: Forbidden: {why}") for given, field, why in (
        ({"training": {"bestMetric": "mcc"}}, "training.bestMetric", "must be a metric of the problem type"),
        ({"training": {"earlyStopping": {"metric": "mcc"}}}, "training.earlyStopping.metric", "must be a metric of the problem type"),
        ({"training": {"labelSmoothing": 0.1}}, "training.labelSmoothing", "cannot be combined with taskOptions.problemType: multi-label"),
        ({"data": {"train": [TRAIN], "split": {"stratify": True, "method": "random"}}}, "data.split.stratify", "cannot be combined with taskOptions.problemType: multi-label"),
        ({"data": {"train": [TRAIN | {"labelRule": {"above": 0, "names": ["a", "b"]}}]}}, "data", "cannot be combined with taskOptions.problemType: multi-label"),
        ({"evaluation": {"compareWith": {"uri": "pvc://models/served", "recent": [TRAIN | {"labelRule": {"above": 0, "names": ["a", "b"]}}]}}}, "evaluation.compareWith.recent", "cannot be combined with taskOptions.problemType: multi-label"),
    )),
    *((FineTuneJob, {"taskOptions": {"problemType": "regression"}} | given, f"spec.{field}: Forbidden: {why}") for given, field, why in (
        ({"training": {"bestMetric": "accuracy"}}, "training.bestMetric", "must be a metric of the problem type"),
        ({"training": {"earlyStopping": {"metric": "macro_f1"}}}, "training.earlyStopping.metric", "must be a metric of the problem type"),
        *((given, field, "cannot be combined with taskOptions.problemType: regression") for given, field in (
            ({"training": {"labelSmoothing": 0.1}}, "training.labelSmoothing"),
            ({"data": {"train": [TRAIN], "split": {"stratify": True, "method": "random"}}}, "data.split.stratify"),
            ({"data": {"train": [TRAIN | {"labelRule": {"above": 0, "names": ["a", "b"]}}]}}, "data"),
            ({"data": {"train": [TRAIN], "allowMissingClasses": True}}, "data.allowMissingClasses"),
            ({"model": {"uri": "hf://a/b", "labels": ["a", "b"]}}, "model.labels"),
            ({"output": {"formats": ["onnx-int8"]}}, "output.formats"),
            ({"evaluation": {"compareWith": {"uri": "pvc://models/served"}}}, "evaluation.compareWith"),
        )),
    )),
    *((FineTuneJob, {"taskOptions": {field: value}}, f"spec.taskOptions.{field}: Forbidden: applies only to task: fill-mask") for field, value in (("maskProbability", 0.15), ("wholeWord", False))),
    *((FineTuneJob, {"task": "fill-mask"} | given, f"spec.{field}: Forbidden: cannot be combined with task: fill-mask") for given, field in (
        ({"model": {"uri": "hf://a/b", "labels": ["a", "b"]}}, "model.labels"),
        ({"data": {"train": [TRAIN], "split": {"stratify": True, "method": "random"}}}, "data.split.stratify"),
        ({"data": {"train": [TRAIN], "allowMissingClasses": True}}, "data.allowMissingClasses"),
        ({"output": {"formats": ["onnx"]}}, "output.formats"),
        ({"evaluation": {"compareWith": {"uri": "pvc://models/served"}}}, "evaluation.compareWith"),
    )),
    *((FineTuneJob, {"task": "fill-mask", "method": {"type": method}, "output": {"mergeAdapter": False}}, "spec.method.type: Forbidden: must not be prefix, prompt or p-tuning with task: fill-mask") for method in ("prefix", "prompt", "p-tuning")),
    *((FineTuneJob, {"taskOptions": {option: value}}, f"spec.taskOptions.{option}: Forbidden: applies only to task: question-answering") for option, value in (("docStride", 64), ("maxAnswerTokens", 15), ("noAnswer", "allowed"))),
    *((FineTuneJob, {"task": "question-answering"} | given, f"spec.{field}: Forbidden: {why}") for given, field, why in (
        ({"training": {"bestMetric": "accuracy"}}, "training.bestMetric", "must be a metric of the task"),
        ({"training": {"earlyStopping": {"metric": "span_f1"}}}, "training.earlyStopping.metric", "must be a metric of the task"),
        ({"method": {"type": "prompt"}, "output": {"mergeAdapter": False}}, "method.type", "must not be prompt or p-tuning with task: question-answering"),
        *((given, field, "cannot be combined with task: question-answering") for given, field in (
            ({"training": {"labelSmoothing": 0.1}}, "training.labelSmoothing"),
            ({"data": {"train": [TRAIN], "split": {"stratify": True, "method": "random"}}}, "data.split.stratify"),
            ({"data": {"train": [TRAIN | {"labelRule": {"above": 0, "names": ["a", "b"]}}]}}, "data"),
            ({"data": {"train": [TRAIN], "allowMissingClasses": True}}, "data.allowMissingClasses"),
            ({"model": {"uri": "hf://a/b", "labels": ["a", "b"]}}, "model.labels"),
            ({"output": {"formats": ["onnx"]}}, "output.formats"),
            ({"evaluation": {"compareWith": {"uri": "pvc://models/served"}}}, "evaluation.compareWith"),
        )),
    )),
    *((FineTuneJob, given, "spec.training.bestMetric: Forbidden: must be a metric of the problem type") for given in (
        {"training": {"bestMetric": "rmse"}}, {"training": {"bestMetric": "micro_f1"}}, {"training": {"bestMetric": "weighted_f1"}})),
    (FineTuneJob, {"task": "token-classification", "training": {"bestMetric": "mcc"}}, "spec.training.bestMetric: Forbidden: must be a metric of the task"),
    *((ModelDeployment, given, "spec.resources.gpus: Invalid value: must be at most 1 with runtime.type: Builtin") for given in ({"resources": {"gpus": 2}}, {"resources": {"gpus": 1}, "runtime": {"engine": "onnx"}})),
    (ModelDeployment, {"runtime": {"engine": "torch", "dtype": "int8"}}, "spec.runtime.dtype: Forbidden: applies only to engine: onnx"),
    *((ModelDeployment, {"image": "a", "runtime": {"type": type_} | given}, f"spec.runtime.{error}") for type_, given, error in (
        ("Custom", {"engine": "torch"}, "engine: Forbidden: applies only to type: Builtin"),
        ("VLLM", {"engine": "onnx"}, "engine: Forbidden: applies only to type: Builtin"),
        ("Custom", {"dtype": "fp16"}, "dtype: Forbidden: applies only to engine: onnx, and to type: VLLM"),
        ("VLLM", {"dtype": "int8"}, "dtype: Invalid value: must be auto, fp32 or int8 with engine: onnx, and auto, fp32, fp16 or bf16 with type: VLLM"),
        ("Builtin", {"engine": "onnx", "dtype": "bf16"}, "dtype: Invalid value: must be auto, fp32 or int8 with engine: onnx, and auto, fp32, fp16 or bf16 with type: VLLM"),
        ("VLLM", {"command": ["a"]}, "command: Forbidden: applies only to type: Custom"),
        ("Builtin", {"args": ["a"]}, "args: Forbidden: applies only to type: Custom and VLLM"),
        ("VLLM", {"endpoints": {}}, "endpoints: Forbidden: applies only to type: Custom"),
        ("Custom", {"maxModelTokens": 512}, "maxModelTokens: Forbidden: applies only to type: VLLM"),
    )),
    *((ModelDeployment, {"runtime": {"type": type_}} | given, f"spec.{error}") for type_ in ("Custom", "VLLM") for given, error in (
        ({}, "image: Invalid value: must be given with runtime.type: Custom and VLLM"),
        ({"image": "a", "batching": {}}, "batching: Forbidden: applies only to runtime.type: Builtin"),
        ({"image": "a", "rollout": {"gates": [{"name": "a", "metric": "Errors", "margin": 0.01}]}}, "rollout.gates: Forbidden: metric applies only to runtime.type: Builtin"),
        ({"image": "a", "rollout": {"strategy": "Shadow"}}, "rollout.strategy: Forbidden: Shadow applies only to runtime.type: Builtin"),
        ({"image": "a", "rollout": {"onThinTraffic": "Replay"}, "evaluation": {"goldenSet": {"uri": "pvc://a/b"}}}, "rollout.onThinTraffic: Forbidden: Replay applies only to runtime.type: Builtin"),
    )),
    *((ModelDeployment, {"lifecycle": {"preStop": "5s"}} | given, "spec.lifecycle.preStop: Forbidden: applies only to runtime.type: Custom and VLLM") for given in ({}, {"runtime": {"type": "Builtin"}})),
    (ModelDeployment, {"image": "a", "runtime": {"type": "Custom"}, "lifecycle": {"preStop": "0s"}}, "spec.lifecycle.preStop: Invalid value: must be longer than 0s"),
    (ModelDeployment, {"model": {}}, "spec.model: Invalid value: exactly one of fineTuneJobRef and uri must be given"),
    (ModelDeployment, {"model": {"uri": "pvc://a/b", "fineTuneJobRef": {"name": "a"}}}, "spec.model: Invalid value: exactly one of fineTuneJobRef and uri must be given"),
    (ModelDeployment, {"model": {"fineTuneJobRef": {"name": "a"}, "digest": "sha256:" + 64 * "0"}}, "spec.model.digest: Forbidden: applies only to uri"),
    (FineTuneJob, {"model": {"uri": "pvc://models/bert", "secretRef": {"name": "hub"}}}, "spec.model.secretRef: Forbidden: applies only to hf://, s3://, gs:// and az:// models"),
    (FineTuneJob, {"model": {"uri": "s3://models/bert", "secretRef": {"name": "a", "key": "b"}}}, "spec.model.secretRef.key: Forbidden: applies only to hf:// models"),
    (FineTuneJob, {"data": {"train": [TRAIN | {"secretRef": {"name": "a"}}]}}, "spec.data.train[0].secretRef: Forbidden: applies only to s3://, gs:// and az:// sources"),
    *((FineTuneJob, {"data": {"train": [TRAIN], split: [TRAIN | {"secretRef": {"name": "a"}}]}}, f"spec.data.{split}[0].secretRef: Forbidden: applies only to s3://, gs:// and az:// sources") for split in ("validation", "test")),
    (FineTuneJob, {"evaluation": {"compareWith": {"uri": "pvc://models/served", "recent": [TRAIN | {"secretRef": {"name": "a"}}]}}}, "spec.evaluation.compareWith.recent[0].secretRef: Forbidden: applies only to s3://, gs:// and az:// sources"),
    *(
        (kind, {"env": [{"name": "A"} | given]}, "spec.env[0]: Invalid value: exactly one of value, secretKeyRef and configMapKeyRef must be given")
        for kind in (FineTuneJob, ModelDeployment)
        for given in ({}, {"value": "", "secretKeyRef": {"name": "a", "key": "b"}})
    ),
    *(
        (kind, {"volumes": [{"name": "a", "mountPath": "/a"} | given]}, f"spec.volumes[0]{error}")
        for kind in (FineTuneJob, ModelDeployment)
        for given, error in (
            ({}, ": Invalid value: exactly one of secret, configMap, persistentVolumeClaim, projected and csi must be given"),
            ({"csi": {}, "secret": {}}, ": Invalid value: exactly one of secret, configMap, persistentVolumeClaim, projected and csi must be given"),
            ({"readOnly": False, "projected": {}}, ".readOnly: Forbidden: can be false only for persistentVolumeClaim and csi, which alone can be written to"),
        )
    ),
    *(
        (kind, {"scheduling": {"tolerations": [toleration]}}, f"spec.scheduling.tolerations[0].{error}")
        for kind in (FineTuneJob, ModelDeployment)
        for toleration, error in (
            ({"key": "gpu", "operator": "Exists", "value": "yes"}, "value: Forbidden: cannot be given with operator: Exists, which fits any value"),
            ({"operator": "Equal", "value": "yes"}, "operator: Invalid value: must be Exists where there is no key, which fits all taints"),
            ({"key": "gpu", "effect": "NoSchedule", "tolerationSeconds": 5}, "tolerationSeconds: Forbidden: applies only to effect: NoExecute"),
        )
    ),
]  # fmt: skip


@pytest.fixture(scope="module")
def kubectl_says(custom_resources, shared_namespace, tmp_path_factory):
    """What kubectl says of each manifest, by its number. One call tries all: to start kubectl takes longer than an answer."""
    folder = tmp_path_factory.mktemp("broken")
    for number, (kind, spec, _) in enumerate(BROKEN_RULES):
        (folder / f"{number}.json").write_text(json.dumps(manifest(kind, spec=SMALLEST[kind] | spec)))
    tried = custom_resources.kubectl("create", "-n", shared_namespace, "--dry-run=server", "-f", str(folder))
    assert tried.returncode == 1, tried.stdout
    found = re.split(rf"{folder}/(\d+)\.json", tried.stderr.replace('"object": ', ""))
    return dict(zip(map(int, found[1::2]), found[2::2], strict=True))


@pytest.mark.parametrize(
    ("number", "error"),
    [pytest.param(number, error, id=error.split(":")[0]) for number, (_, _, error) in enumerate(BROKEN_RULES)],
)
def test_a_broken_rule_names_the_wrong_field_and_what_is_allowed(kubectl_says, number, error):
    assert error in kubectl_says.get(number, "it is taken")


def test_every_rule_of_the_models_has_a_manifest_that_breaks_it():
    tried = "\n".join(error for _, _, error in BROKEN_RULES)
    for kind in SMALLEST:
        for path, rule in rules(crd.root_schema(resource(kind))["properties"]["spec"]):
            if rule["message"] in {text_format.message for text_format in TEXT_FORMATS.values()}:
                continue  # tests/support/bad_manifests.py breaks these
            where = ".".join(("spec", *path)) + rule.get("fieldPath", "")
            assert any(
                f"{where}: {word}: {rule['message'].split(';')[0].split(' (')[0].split(':')[0]}" in tried
                for word in ("Forbidden", "Invalid value")
            ), (where, rule["message"])


def rules(schema, path=()):
    yield from ((path, rule) for rule in schema.get("x-kubernetes-validations", ()))
    for name, below in schema.get("properties", {}).items():
        yield from rules(below, (*path, name))
    if path and "items" in schema:
        yield from rules(schema["items"], (*path[:-1], f"{path[-1]}[0]"))
