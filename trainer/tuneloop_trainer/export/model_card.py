"""The model card: what the model is, what it was measured to do, and how to load it, written from the facts of the run alone.

Nothing here depends on when, where or in how many attempts the run was made, so that the same run gives the same text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from huggingface_hub import EvalResult, ModelCardData

from tuneloop_api.v1alpha1.fine_tune_job.training import FALLING
from tuneloop_api.wire.model import changed
from tuneloop_api.wire.uris import HUB_SCHEME
from tuneloop_trainer.diagnosis.curves import FEWEST_STEPS
from tuneloop_trainer.export.card_search import search
from tuneloop_trainer.export.card_usage import calibration, loading, onnx, parity, use

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tuneloop_api.contract.results import Measured, TrainResult
    from tuneloop_api.contract.settings import Settings
    from tuneloop_trainer.export.card_facts import Facts
    from tuneloop_trainer.tasks.task import Task

FEW = 30
_SHOWN_CLASSES = 20
"""A confusion matrix of more classes is no longer readable."""
_WORDS = {
    "OverFitting": "Over-fitting",
    "UnderFitting": "Under-fitting",
    "LearningRateTooHigh": "Learning rate too high",
    "LearningRateTooLow": "Learning rate too low",
    "DeadGradients": "Dead gradients",
}
_OF_THE_MACHINES = {"InputBound", "Straggler"}
_HUB_METRICS = {
    "accuracy": "accuracy",
    "macro_f1": "f1",
    "micro_f1": "f1",
    "weighted_f1": "f1",
    "mcc": "matthews_correlation",
    "auroc": "roc_auc",
    "rmse": "rmse",
    "mae": "mae",
    "r2": "r_squared",
    "pearson": "pearsonr",
    "spearman": "spearmanr",
    "span_f1": "f1",
    "span_precision": "precision",
    "span_recall": "recall",
    "perplexity": "perplexity",
    "bleu": "bleu",
    "chrf": "chrf",
    "rouge1": "rouge",
    "rouge2": "rouge",
    "rougeL": "rouge",
    "exact_match": "exact_match",
}
"""Names of the Hugging Face Hub."""


def model_card(facts: Facts) -> str:
    """Return README.md: YAML front matter of the Hugging Face Hub, then Markdown."""
    sections = (
        _head,
        _results,
        _classes,
        calibration,
        _data,
        _training,
        search,
        _diagnosis,
        parity,
        onnx,
        use,
        loading,
    )
    written = [text for section in sections if (text := section(facts))]
    return f"---\n{_front_matter(facts).to_yaml()}\n---\n\n" + "\n".join(written)


def license_of(card: str) -> str | None:
    """Return the license that a model card's front matter names."""
    front = card.split("---", 2)[1] if card.startswith("---") and card.count("---") > 1 else ""
    named = (
        line.removeprefix("license:").strip().strip("\"'") for line in front.splitlines() if line.startswith("license:")
    )
    return next(named, "") or None


def _front_matter(facts: Facts) -> ModelCardData:
    uri = facts.settings.model.uri
    metrics = [metric for metric in facts.evaluation.metrics if metric.name in _HUB_METRICS]
    results = [
        EvalResult(
            task_type=facts.task.hub_id,
            task_name=facts.task.card.title,
            dataset_type=facts.name,
            dataset_name=f"test split of {facts.name}",
            dataset_split="test",
            metric_type=_HUB_METRICS[metric.name],
            metric_name=metric.name,
            metric_value=round(metric.value, 4),
        )
        for metric in metrics
    ]
    return ModelCardData(
        license=facts.license or "unknown",
        base_model=uri.removeprefix(HUB_SCHEME)
        if uri.startswith(HUB_SCHEME)
        else None,  # the hub refuses any other value
        pipeline_tag=facts.task.hub_id,
        library_name=facts.library,
        tags=["tuneloop"],
        metrics=[_HUB_METRICS[metric.name] for metric in metrics],
        model_name=facts.name,
        eval_results=results,
    )


def _head(facts: Facts) -> str:
    summary = facts.task.card.summary([_cell(label) for label in facts.prepared.resolved.labels])
    revision = facts.prepared.model_revision
    licensed = f"license {facts.license}" if facts.license else "license not known"
    return (
        f"# {facts.name}\n\n{summary}\n"
        f"Fine-tuned from `{facts.settings.model.uri}` ({facts.prepared.model_type}, revision `{revision}`, {licensed}).\n"
    )


def _results(facts: Facts) -> str:
    primary, comparison = facts.task.primary_metric, facts.comparison
    after = next(metric for metric in facts.evaluation.metrics if metric.name == primary)
    rows = [*comparison.baselines, changed(after, name="**after training**")]
    names = (
        {facts.task.rival: f"{facts.task.rival} ({comparison.rival_description})"}
        if comparison.rival_description
        else {}
    )
    text = (
        f"## Results\n\nMeasured on {facts.prepared.counts.splits['test']} test rows that took no part in training or in any choice. "
        "In brackets: 95 % bootstrap intervals.\n\n"
        + _table((f"{primary} of", "value", "95 % interval"), ([names.get(m.name, m.name), *_numbers(m)] for m in rows))
        + "\n"
        + _table(("metric", "value", "95 % interval"), ([m.name, *_numbers(m)] for m in facts.evaluation.metrics))
    )
    return text + (f"\n{_comparison_sentence(comparison.paired, facts.task)}\n" if comparison.paired else "")


def _comparison_sentence(paired: Measured, task: Task) -> str:
    sign, remark = (-1, ", where less is better") if task.primary_metric in FALLING else (1, "")
    limits = ", ".join(
        f"{limit:+.4f}" for limit in sorted(sign * limit for limit in (paired.low, paired.high) if limit is not None)
    )
    shown = f"{sign * paired.value:+.4f} {task.primary_metric} [{limits}]"
    compared = f"Against {task.rival_title} on the same rows: {shown}{remark}."
    if paired.low is not None and paired.low > 0:
        return f"{compared} The model is better."
    if paired.high is not None and paired.high < 0:
        return f"{compared} **The model is worse than a far simpler one.**"
    return f"{compared} **These rows do not show that the model is better.**"


def _classes(facts: Facts) -> str:
    if not facts.evaluation.classes:
        return ""
    card, scores = facts.task.card, {_cell(name): score for name, score in facts.evaluation.classes.items()}
    rows = (
        [name, f"{score.precision:.4f}", f"{score.recall:.4f}", f"{score.f1:.4f}", str(score.support)]
        for name, score in scores.items()
    )
    text = "## Classes\n\n" + _table(("class", "precision", "recall", "F1", card.unit), rows)
    few = [name for name, score in scores.items() if score.support < FEW]
    if few:
        text += f"\nFewer than {FEW} {card.unit}, so that the numbers say little: {', '.join(few)}.\n"
    labels = [_cell(label) for label in facts.prepared.resolved.labels]
    confusion = facts.evaluation.confusion
    if confusion is not None and len(labels) <= _SHOWN_CLASSES:
        counts = ([f"**{label}**", *map(str, line)] for label, line in zip(labels, confusion, strict=True))
        text += f"\n{card.confusion}\n\n" + _table(("", *labels), counts)
    return text


def _data(facts: Facts) -> str:
    counts = facts.prepared.counts
    sources = [source.uri for source in facts.settings.data.train]
    rows = [
        (
            "sources",
            ", ".join(f"`{uri}`" for uri in sources[:5])
            + (f" and {len(sources) - 5} more" if len(sources) > 5 else ""),
        ),
        *((f"{split} rows", str(count)) for split, count in sorted(counts.splits.items())),
        ("unusable rows", str(counts.bad)),
        ("repeated rows removed", str(counts.duplicates)),
        ("rows cut to the token limit", str(counts.truncated)),
        ("digest of the prepared data", f"`{facts.prepared.dataset_digest}`"),
    ]
    return "## Data\n\n" + _table(("", ""), rows)


def _training(facts: Facts) -> str:
    settings, resolved = facts.settings, facts.prepared.resolved
    training = settings.training
    described = facts.inputs.method.describe(settings.method, "model" in facts.parts)
    stopped = ", stopped early" if facts.trained.stopped_early else ""
    rows = [
        ("method", f"{settings.method.type} ({described})"),
        ("optimizer steps", f"{facts.trained.steps} of {resolved.total_steps}{stopped}"),
        ("published", f"weights of step {facts.published_step} (`output.checkpoint: {settings.output.checkpoint}`)"),
        ("global batch", f"{resolved.global_batch_size} rows"),
        ("learning rate", f"{resolved.learning_rate:g}, {training.scheduler}, {resolved.warmup_steps} warm-up steps"),
        ("optimizer", f"AdamW, betas {training.beta1:g} and {training.beta2:g}, epsilon {training.epsilon:g}"),
        ("weight decay", f"{training.weight_decay:g}"),
        ("gradient norm", f"clipped to {training.max_grad_norm:g}" if training.max_grad_norm else "not clipped"),
        ("label smoothing", f"{training.label_smoothing:g}"),
        *_options(settings),
        ("precision", facts.trained.precision),
        ("token limit", str(resolved.max_tokens)),
        ("seed", str(training.seed)),
    ]
    return "## Training\n\n" + _table(("", ""), rows)


def _options(settings: Settings) -> list[tuple[str, str]]:
    """Return the rows of the options that the job set."""
    training, balance = settings.training, settings.data.balance
    rows = (
        ("class weights", balance.class_weights, balance.class_weights != "none"),
        ("focal loss", f"gamma {balance.focal_gamma:g}", balance.focal_gamma > 0),
        ("noise on embeddings (NEFTune)", f"alpha {training.neftune_alpha:g}", training.neftune_alpha > 0),
        ("learning rate of a layer", f"{training.layerwise_lr_decay:g} of that of the layer above", training.layerwise_lr_decay < 1),
        ("gradient checkpointing", training.gradient_checkpointing, training.gradient_checkpointing != "never"),
    )  # fmt: skip
    return [(name, value) for name, value, is_set in rows if is_set]


def _diagnosis(facts: Facts) -> str:
    return diagnosis_section(facts.trained)


def diagnosis_section(trained: TrainResult) -> str:
    """Return what the curves of the training showed of the model; findings about the machines are left out."""
    findings = [finding for finding in trained.findings if finding.name not in _OF_THE_MACHINES]
    shown = "".join(
        f"- **{_WORDS.get(finding.name, finding.name)}**: {finding.message}. {finding.advice}\n" for finding in findings
    )
    if trained.steps < FEWEST_STEPS:
        nothing = f"Its {trained.steps} steps are too few to tell.\n"
    else:
        nothing = "The curves of losses and gradients show no sign of over- or under-fitting, of a wrong learning rate or of dead gradients.\n"
    return "## How the training went\n\n" + (shown or nothing)


def _numbers(measured: Measured) -> tuple[str, str]:
    interval = "–" if measured.low is None or measured.high is None else f"[{measured.low:.4f}, {measured.high:.4f}]"
    return f"{measured.value:.4f}", interval


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _cell(text: str) -> str:
    """Return a class name that cannot break a table."""
    return " ".join(text.replace("|", "\\|").replace("`", "'").split())
