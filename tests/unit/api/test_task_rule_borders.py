"""Each rule that depends on the task or its problem type at its border: what it just allows, and what it just refuses, with the field that is called wrong."""

from __future__ import annotations

import pytest
from bad_manifest import GOOD, JOB
from rule_borders import COMPARED, READ, Given, wrong_fields

from tuneloop_api.v1alpha1 import FineTuneJobSpec

TOKENS = {"task": "token-classification"}
WRITING = {"task": "text2text-generation"}
SEVERAL: Given = {"taskOptions": {"problemType": "multi-label"}}
NUMBERS: Given = {"taskOptions": {"problemType": "regression"}}
ANSWERS: Given = {"task": "question-answering"}
OF_TEXTS, OF_TOKENS, OF_ALL = ("macro_f1", "mcc"), ("span_f1", "span_precision", "span_recall"), ("loss", "accuracy")
OF_LANGUAGE = ("perplexity", "bits_per_byte")
RULED = READ | {"labelRule": {"above": 0, "names": ["a", "b"]}}
MASKS: Given = {"task": "fill-mask"}
WRITES: Given = {"task": "text-generation"}
SPECS: list[tuple[Given, list[str]]] = [
    (WRITES, []),
    (WRITES | COMPARED, []),
    *(
        (
            WRITES | {"taskOptions": {"lossOn": loss}, "data": {"train": [READ]} | form},
            [] if fits else ["taskOptions.lossOn"],
        )
        for form, allowed in (
            ({}, {"auto", "assistant", "all"}),
            ({"format": "auto"}, {"auto", "assistant", "all"}),
            ({"format": "messages"}, {"auto", "assistant", "all"}),
            ({"format": "prompt-completion"}, {"auto", "completion", "all"}),
            ({"format": "text"}, {"auto", "all"}),
        )
        for loss in ("auto", "assistant", "completion", "all")
        for fits in [loss in allowed]
    ),
    ({"taskOptions": {"lossOn": "all"}}, ["taskOptions.lossOn"]),
    (WRITES | {"model": {"uri": "hf://a/b", "chatTemplate": "{{ messages }}"}}, []),
    ({"model": {"uri": "hf://a/b", "chatTemplate": "{{ messages }}"}}, ["model.chatTemplate"]),
    *(
        (WRITES | given, [field])
        for given, field in (
            ({"model": {"uri": "hf://a/b", "labels": ["a", "b"]}}, "model.labels"),
            ({"data": {"train": [READ], "allowMissingClasses": True}}, "data.allowMissingClasses"),
            ({"data": {"train": [READ], "split": {"method": "random", "stratify": True}}}, "data.split.stratify"),
            ({"output": {"formats": ["safetensors", "onnx"]}}, "output.formats"),
            ({"training": {"bestMetric": "span_f1"}}, "training.bestMetric"),
        )
    ),
    *((WRITES | {"training": {"bestMetric": metric}}, []) for metric in (*OF_LANGUAGE, *OF_ALL)),
    *((WRITES | {"method": {"type": method}}, []) for method in ("full", "lora", "ia3", "bitfit")),
    *(
        (WRITES | {"method": {"type": method}, "output": {"mergeAdapter": False}}, [])
        for method in ("prefix", "prompt", "p-tuning")
    ),
    ({"method": {"type": "prefix"}, "output": {"mergeAdapter": False}} | TOKENS, []),
    *(
        ({"method": {"type": method}, "output": {"mergeAdapter": False}} | TOKENS, ["method.type"])
        for method in ("prompt", "p-tuning")
    ),
    ({"taskOptions": {"tagScheme": "auto"}}, ["taskOptions.tagScheme"]),
    ({"taskOptions": {}}, []),
    ({"taskOptions": {"tagScheme": "auto"}} | TOKENS, []),
    *(
        (fields | {"taskOptions": {name: value}}, wrong if fields else [f"taskOptions.{name}"])
        for name, value in (("sourcePrefix", "a: "), ("maxTargetTokens", 2), ("numBeams", 1))
        for fields, wrong in (({}, []), (WRITING, []))
    ),
    (WRITING | {"data": {"train": [READ], "split": {"method": "random"}, "allowMissingClasses": False}}, []),
    (WRITING | {"data": {"train": [READ], "split": {"stratify": True}}}, ["data.split.stratify"]),
    (WRITING | {"data": {"train": [READ], "allowMissingClasses": True}}, ["data.allowMissingClasses"]),
    (WRITING | {"model": {"uri": "pvc://a/b", "labels": ["a", "b"]}}, ["model.labels"]),
    (WRITING | {"output": {"formats": ["safetensors"]}}, []),
    (WRITING | {"output": {"formats": ["safetensors", "onnx"]}}, ["output.formats"]),
    (WRITING | COMPARED, ["evaluation.compareWith"]),
    *(
        (WRITING | {"method": {"type": method}, "output": {"mergeAdapter": False}}, ["method.type"])
        for method in ("prefix", "prompt", "p-tuning")
    ),
    *((WRITING | {"method": {"type": method}}, []) for method in ("full", "lora", "ia3", "bitfit")),
    *((WRITING | {"training": {"bestMetric": metric}}, []) for metric in ("loss", "accuracy", "perplexity")),
    ({"taskOptions": {"problemType": "single-label"}}, []),
    ({"taskOptions": {"problemType": "single-label"}} | TOKENS, ["taskOptions.problemType"]),
    (SEVERAL, []),
    (SEVERAL | {"training": {"bestMetric": "micro_f1", "earlyStopping": {"metric": "weighted_f1"}}}, []),
    (SEVERAL | {"training": {"bestMetric": "macro_f1", "labelSmoothing": 0}}, []),
    (SEVERAL | {"training": {"bestMetric": "mcc"}}, ["training.bestMetric"]),
    (SEVERAL | {"training": {"earlyStopping": {"metric": "mcc"}}}, ["training.earlyStopping.metric"]),
    (SEVERAL | {"training": {"bestMetric": "span_f1"}}, ["training.bestMetric"]),
    (SEVERAL | {"training": {"labelSmoothing": 0.01}}, ["training.labelSmoothing"]),
    (SEVERAL | {"data": {"train": [READ], "split": {"stratify": True}}}, ["data.split.stratify"]),
    (SEVERAL | {"data": {"train": [READ], "split": {"method": "random"}}}, []),
    *(
        (SEVERAL | {"data": {"train": [READ]} | {name: [READ, RULED]}}, ["data"])
        for name in ("train", "validation", "test")
    ),
    (SEVERAL | {"evaluation": {"compareWith": COMPARED["evaluation"]["compareWith"] | {"recent": [READ]}}}, []),
    (
        SEVERAL | {"evaluation": {"compareWith": COMPARED["evaluation"]["compareWith"] | {"recent": [READ, RULED]}}},
        ["evaluation.compareWith.recent"],
    ),
    (NUMBERS, []),
    (NUMBERS | TOKENS, ["taskOptions.problemType"]),
    *(
        (NUMBERS | {"training": {"bestMetric": metric}}, [])
        for metric in ("loss", "rmse", "mae", "r2", "pearson", "spearman")
    ),
    *((NUMBERS | {"training": {"earlyStopping": {"metric": metric}}}, []) for metric in ("rmse", "spearman")),
    *(
        (NUMBERS | {"training": {"bestMetric": metric}}, ["training.bestMetric"])
        for metric in ("accuracy", "macro_f1", "micro_f1", "mcc")
    ),
    *(
        (NUMBERS | {"training": {"earlyStopping": {"metric": metric}}}, ["training.earlyStopping.metric"])
        for metric in ("accuracy", "mcc")
    ),
    *(
        ({"training": {"bestMetric": metric}}, ["training.bestMetric"])
        for metric in ("rmse", "mae", "r2", "pearson", "spearman")
    ),
    (SEVERAL | {"training": {"bestMetric": "rmse"}}, ["training.bestMetric"]),
    (SEVERAL | {"training": {"bestMetric": "accuracy"}}, []),
    (NUMBERS | {"training": {"labelSmoothing": 0}}, []),
    (NUMBERS | {"training": {"labelSmoothing": 0.01}}, ["training.labelSmoothing"]),
    (NUMBERS | {"data": {"train": [READ], "split": {"stratify": True}}}, ["data.split.stratify"]),
    (NUMBERS | {"data": {"train": [READ], "split": {"stratify": False, "method": "random"}}}, []),
    (NUMBERS | {"data": {"train": [READ, RULED]}}, ["data"]),
    (NUMBERS | {"data": {"train": [READ], "allowMissingClasses": True}}, ["data.allowMissingClasses"]),
    (NUMBERS | {"data": {"train": [READ], "allowMissingClasses": False}}, []),
    (NUMBERS | {"model": {"uri": "hf://a/b", "labels": ["a", "b"]}}, ["model.labels"]),
    (NUMBERS | {"output": {"formats": ["safetensors", "onnx"]}}, []),
    (NUMBERS | {"output": {"formats": ["onnx-int8"]}}, ["output.formats"]),
    (NUMBERS | COMPARED, ["evaluation.compareWith"]),
    (NUMBERS | {"evaluation": {}}, []),
    (MASKS | {"taskOptions": {"maskProbability": 0.3, "wholeWord": True}}, []),
    *(
        ({"taskOptions": {field: value}}, [f"taskOptions.{field}"])
        for field, value in (("maskProbability", 0.15), ("wholeWord", False))
    ),
    *(
        (MASKS | {"taskOptions": {"maskProbability": value}}, wrong)
        for value, wrong in (
            (0, ["taskOptions.maskProbability"]),
            (0.001, []),
            (0.999, []),
            (1, ["taskOptions.maskProbability"]),
        )
    ),
    (MASKS | {"training": {"labelSmoothing": 0.1, "bestMetric": "accuracy"}}, []),
    (MASKS | {"training": {"bestMetric": "macro_f1"}}, ["training.bestMetric"]),
    (MASKS | {"model": {"uri": "hf://a/b", "labels": ["a", "b"]}}, ["model.labels"]),
    (MASKS | {"data": {"train": [READ], "split": {"stratify": True, "method": "random"}}}, ["data.split.stratify"]),
    (MASKS | {"data": {"train": [READ], "split": {"stratify": False}}}, ["data.split.stratify"]),
    (MASKS | {"data": {"train": [READ], "split": {"method": "random"}}}, []),
    (MASKS | {"data": {"train": [READ], "allowMissingClasses": True}}, ["data.allowMissingClasses"]),
    (MASKS | {"data": {"train": [READ], "allowMissingClasses": False}}, []),
    (MASKS | {"output": {"formats": ["safetensors"]}}, []),
    (MASKS | {"output": {"formats": ["safetensors", "onnx"]}}, ["output.formats"]),
    (MASKS | {"output": {"formats": ["onnx-int8"]}}, ["output.formats"]),
    (MASKS | COMPARED, ["evaluation.compareWith"]),
    *(
        (MASKS | {"method": {"type": method}, "output": {"mergeAdapter": False}}, wrong)
        for method, wrong in (
            ("lora", []),
            ("ia3", []),
            ("prefix", ["method.type"]),
            ("prompt", ["method.type"]),
            ("p-tuning", ["method.type"]),
        )
    ),
    (ANSWERS, []),
    (ANSWERS | {"taskOptions": {"docStride": 0, "maxAnswerTokens": 1, "noAnswer": "auto"}}, []),
    *(
        ({"task": task, "taskOptions": {option: value}}, [f"taskOptions.{option}"])
        for task in ("text-classification", "token-classification")
        for option, value in (("docStride", 0), ("maxAnswerTokens", 30), ("noAnswer", "auto"))
    ),
    *(
        (ANSWERS | {"taskOptions": {"docStride": value}}, wrong)
        for value, wrong in ((4096, []), (4097, ["taskOptions.docStride"]), (-1, ["taskOptions.docStride"]))
    ),
    *(
        (ANSWERS | {"taskOptions": {"maxAnswerTokens": value}}, wrong)
        for value, wrong in ((1024, []), (1025, ["taskOptions.maxAnswerTokens"]), (0, ["taskOptions.maxAnswerTokens"]))
    ),
    (ANSWERS | {"taskOptions": {"noAnswer": "maybe"}}, ["taskOptions.noAnswer"]),
    *(
        (ANSWERS | {"training": {"bestMetric": metric, "earlyStopping": {"metric": metric}}}, [])
        for metric in ("loss", "exact_match", "f1")
    ),
    (ANSWERS | {"training": {"bestMetric": "accuracy"}}, ["training.bestMetric"]),
    (ANSWERS | {"training": {"earlyStopping": {"metric": "accuracy"}}}, ["training.earlyStopping.metric"]),
    (ANSWERS | {"training": {"bestMetric": "macro_f1"}}, ["training.bestMetric"]),
    ({"training": {"bestMetric": "exact_match"}}, ["training.bestMetric"]),
    ({"training": {"bestMetric": "f1"}} | TOKENS, ["training.bestMetric"]),
    (ANSWERS | {"training": {"labelSmoothing": 0}}, []),
    (ANSWERS | {"training": {"labelSmoothing": 0.01}}, ["training.labelSmoothing"]),
    (ANSWERS | {"data": {"train": [READ], "split": {"method": "random"}}}, []),
    (ANSWERS | {"data": {"train": [READ], "split": {"stratify": True, "method": "random"}}}, ["data.split.stratify"]),
    *(
        (ANSWERS | {"data": {"train": [READ]} | {name: [READ, RULED]}}, ["data"])
        for name in ("train", "validation", "test")
    ),
    (ANSWERS | {"data": {"train": [READ], "allowMissingClasses": True}}, ["data.allowMissingClasses"]),
    (ANSWERS | {"model": {"uri": "hf://a/b", "labels": ["a", "b"]}}, ["model.labels"]),
    (ANSWERS | {"output": {"formats": ["safetensors"]}}, []),
    *((ANSWERS | {"output": {"formats": ["safetensors", name]}}, ["output.formats"]) for name in ("onnx", "onnx-int8")),
    (ANSWERS | COMPARED, ["evaluation.compareWith"]),
    (ANSWERS | {"method": {"type": "prefix"}, "output": {"mergeAdapter": False}}, []),
    *(
        (ANSWERS | {"method": {"type": method}, "output": {"mergeAdapter": False}}, ["method.type"])
        for method in ("prompt", "p-tuning")
    ),
    ({"data": {"train": [RULED]}, "training": {"labelSmoothing": 0.1, "bestMetric": "mcc"}}, []),
    ({"training": {"bestMetric": "micro_f1"}}, ["training.bestMetric"]),
    ({"training": {"earlyStopping": {"metric": "weighted_f1"}}}, ["training.earlyStopping.metric"]),
    ({"training": {"bestMetric": "micro_f1"}} | TOKENS, ["training.bestMetric"]),
    *(
        (
            task | {"data": {"train": [READ], "balance": balance}},
            [f"data.balance.{field}" for field in wrong] if task is NUMBERS else [],
        )
        for task in ({}, SEVERAL, TOKENS, NUMBERS)
        for balance, wrong in (
            ({"classWeights": "balanced"}, ["classWeights"]),
            ({"classWeights": "effective-number"}, ["classWeights"]),
            ({"focalGamma": 0.01}, ["focalGamma"]),
            ({"classWeights": "none", "focalGamma": 0}, []),
            ({}, []),
        )
    ),
]


@pytest.mark.parametrize(("fields", "wrong"), SPECS, ids=str)
def test_a_rule_by_the_task_calls_one_field_wrong(fields: Given, wrong: list[str]) -> None:
    assert wrong_fields(FineTuneJobSpec, GOOD[JOB] | fields) == wrong


@pytest.mark.parametrize("task", ["text-classification", "token-classification", "fill-mask"])
@pytest.mark.parametrize("metric", [*OF_TEXTS, *OF_TOKENS, *OF_LANGUAGE, *OF_ALL])
def test_a_metric_is_named_only_for_its_task(metric: str, task: str) -> None:
    own = {"text-classification": OF_TEXTS, "token-classification": OF_TOKENS}
    fits = metric in {*OF_ALL, *own.get(task, ())}
    spec = GOOD[JOB] | {"task": task}
    best = wrong_fields(FineTuneJobSpec, spec | {"training": {"bestMetric": metric}})
    stopping = wrong_fields(FineTuneJobSpec, spec | {"training": {"earlyStopping": {"metric": metric}}})
    assert (best, stopping) == (([], []) if fits else (["training.bestMetric"], ["training.earlyStopping.metric"]))
