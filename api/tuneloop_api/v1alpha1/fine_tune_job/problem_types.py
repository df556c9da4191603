"""The rules of a FineTuneJob that depend on the problem type of text classification: what several labels or a number do not have."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_api.v1alpha1.fine_tune_job.task_options import has_label_rules, named_metric
from tuneloop_api.v1alpha1.fine_tune_job.training import PROBLEMS_OF_METRIC
from tuneloop_api.wire.rules import Rule

if TYPE_CHECKING:
    from collections.abc import Callable

    from tuneloop_api.v1alpha1.fine_tune_job.task_options import SpecWithTask

_PROBLEM_TYPE = "(has(self.taskOptions) ? self.taskOptions.?problemType.orValue('single-label') : 'single-label')"


def problem_type_rules() -> tuple[Rule, ...]:
    """Return the rules of the spec that depend on the problem type."""
    return (
        _problem_rule("training.bestMetric", has="has(self.training) && has(self.training.bestMetric)", stopping=False),
        _problem_rule(
            "training.earlyStopping.metric",
            has="has(self.training) && has(self.training.earlyStopping) && has(self.training.earlyStopping.metric)",
            stopping=True,
        ),
        *_class_rules(
            "multi-label",
            smoothing="it spreads the probability of one label over the others",
            stratify="a row has several labels to stratify by",
            rule="a labelRule makes one of two labels of a number",
        ),
        *_class_rules(
            "regression",
            smoothing="a number has no other classes to spread over",
            stratify="a number is no class to stratify by",
            rule="a labelRule makes a class of the number that is to be learned",
        ),
        _without(
            "evaluation.compareWith.recent",
            given="has(self.evaluation) && has(self.evaluation.compareWith) && has(self.evaluation.compareWith.recent)"
            " && self.evaluation.compareWith.recent.exists(source, has(source.labelRule))",
            holds=lambda spec: not _has_recent_label_rules(spec),
            why="a labelRule makes one of two labels of a number",
            problem="multi-label",
        ),
        *_number_rules(),
    )


def _has_recent_label_rules(spec: SpecWithTask) -> bool:
    beside = spec.evaluation.compare_with if spec.evaluation else None
    return any(source.label_rule is not None for source in (beside and beside.recent) or ())


def _problem_type(spec: SpecWithTask) -> str:
    return (spec.task_options and spec.task_options.problem_type) or "single-label"


def _problem_rule(field: str, *, has: str, stopping: bool) -> Rule:
    """A metric of one problem type may be named only for it. Another task has a rule of its own (`task_options`)."""

    def holds(spec: SpecWithTask) -> bool:
        metric = named_metric(spec, stopping=stopping)
        fits = metric is None or _problem_type(spec) in PROBLEMS_OF_METRIC.get(metric, (_problem_type(spec),))
        return fits or spec.task != "text-classification"

    per_problem = (
        f"(self.{field} in {[name for name, owners in PROBLEMS_OF_METRIC.items() if owners == problems]} && !({_PROBLEM_TYPE} in {list(problems)}))"
        for problems in sorted(set(PROBLEMS_OF_METRIC.values()))
    )
    return Rule(
        field=field,
        reason="FieldValueForbidden",
        message="must be a metric of the problem type: mcc for taskOptions.problemType: single-label; micro_f1 or weighted_f1 for multi-label; accuracy or macro_f1 for both; rmse, mae, r2, pearson or spearman for regression; loss for all",
        cel=f"!({has}) || self.task != 'text-classification' || !({' || '.join(per_problem)})",
        holds=holds,
    )


def _without(
    field: str, *, given: str, holds: Callable[[SpecWithTask], bool], why: str, problem: str = "multi-label"
) -> Rule:
    """A setting that texts of a problem type do not have. given: whether it is there, in CEL; holds: whether it is not, in Python."""
    return Rule(
        field=field,
        reason="FieldValueForbidden",
        message=f"cannot be combined with taskOptions.problemType: {problem}: {why}; leave it out",
        cel=f"{_PROBLEM_TYPE} != '{problem}' || !({given})",
        holds=lambda spec: _problem_type(spec) != problem or holds(spec),
    )


def _class_rules(problem: str, *, smoothing: str, stratify: str, rule: str) -> tuple[Rule, ...]:
    """Return the rules of what needs one class a text. The texts say why the problem type does not have it."""
    return (
        _without(
            "training.labelSmoothing",
            given="has(self.training) && self.training.?labelSmoothing.orValue(0.0) > 0.0",
            holds=lambda spec: spec.training is None or not spec.training.label_smoothing,
            why=smoothing,
            problem=problem,
        ),
        _without(
            "data.split.stratify",
            given="has(self.data.split) && self.data.split.?stratify.orValue(false)",
            holds=lambda spec: spec.data.split is None or not spec.data.split.stratify,
            why=stratify,
            problem=problem,
        ),
        _without(
            "data",
            given=" || ".join(
                f"has(self.data.{split}) && self.data.{split}.exists(source, has(source.labelRule))"
                for split in ("train", "validation", "test")
            ),
            holds=lambda spec: not has_label_rules(spec.data),
            why=rule,
            problem=problem,
        ),
    )


def _number_rules() -> tuple[Rule, ...]:
    """Return the rules of what numbers do not have: names of classes, and comparisons by what was chosen."""
    return (
        _without(
            "model.labels",
            given="has(self.model.labels)",
            holds=lambda spec: spec.model.labels is None,
            why="a number has no classes to name",
            problem="regression",
        ),
        _without(
            "data.allowMissingClasses",
            given="self.data.?allowMissingClasses.orValue(false)",
            holds=lambda spec: not spec.data.allow_missing_classes,
            why="a number has no classes that could be missing",
            problem="regression",
        ),
        _without(
            "output.formats",
            given="has(self.output) && has(self.output.formats) && 'onnx-int8' in self.output.formats",
            holds=lambda spec: spec.output is None or "onnx-int8" not in (spec.output.formats or ()),
            why="an int8 file is published if it chooses the same classes, and numbers have none; onnx is allowed",
            problem="regression",
        ),
        _without(
            "evaluation.compareWith",
            given="has(self.evaluation) && has(self.evaluation.compareWith)",
            holds=lambda spec: spec.evaluation is None or spec.evaluation.compare_with is None,
            why="models are compared by which rows they have right, and a number is near or far",
            problem="regression",
        ),
    )
