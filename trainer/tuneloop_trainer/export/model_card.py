"""The model card: what the model is, what it was measured to do, and how to load it, written from the facts of the run alone.

Nothing here depends on when, where or in how many attempts the run was made, so that the same run gives the same text.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tuneloop_api.crd.generator import to_yaml
from tuneloop_trainer.diagnosis.curves import FEWEST_STEPS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tuneloop_api.contract.results import Measured, PrepareResult, TrainResult
    from tuneloop_api.contract.run_config import Settings
    from tuneloop_trainer.evaluation.measure import Evaluation

FEW_ROWS = 30
_SHOWN_CLASSES = 20
"""A confusion matrix of more classes is no longer readable."""
_WORDS = {
    "OverFitting": "Over-fitting",
    "UnderFitting": "Under-fitting",
    "LearningRateTooHigh": "Learning rate too high",
    "LearningRateTooLow": "Learning rate too low",
    "DeadGradients": "Dead gradients",
}
_HUB = "hf://"
_HUB_METRICS = {"accuracy": "accuracy", "macro_f1": "f1", "mcc": "matthews_correlation", "auroc": "roc_auc"}
"""Names of the Hugging Face Hub."""


@dataclass(frozen=True, kw_only=True)
class Facts:
    """Everything that the card tells."""

    name: str
    settings: Settings
    prepared: PrepareResult
    trained: TrainResult
    evaluation: Evaluation
    baselines: list[Measured]
    paired: Measured | None
    baseline_model: str | None
    """Which TF-IDF model the validation split chose."""
    published_step: int
    license: str | None
    """License of the base model, if its own card says it."""
    parts: list[str]
    """Folders of the artifact: `model`, `adapter`."""


def model_card(facts: Facts) -> str:
    """Return README.md: YAML front matter of the Hugging Face Hub, then Markdown."""
    sections = (_head, _results, _classes, _calibration, _data, _training, _course, _use, _loading)
    return f"---\n{to_yaml(_front_matter(facts))}---\n\n" + "\n".join(section(facts) for section in sections)


def license_of(card: str) -> str | None:
    """Return the license that a model card's front matter names."""
    front = card.split("---", 2)[1] if card.startswith("---") and card.count("---") > 1 else ""
    named = [
        line.removeprefix("license:").strip().strip("\"'") for line in front.splitlines() if line.startswith("license:")
    ]
    return named[0] or None if named else None


def _front_matter(facts: Facts) -> dict[str, Any]:
    uri = facts.settings.model.uri
    metrics = [each for each in facts.evaluation.metrics if each.name in _HUB_METRICS]
    results = [{"type": _HUB_METRICS[each.name], "name": each.name, "value": round(each.value, 4)} for each in metrics]
    dataset = {"name": f"test split of {facts.name}", "type": facts.name, "split": "test"}
    task = {"type": facts.settings.task, "name": "Text classification"}
    hub_model = (
        {"base_model": uri.removeprefix(_HUB)} if uri.startswith(_HUB) else {}
    )  # the hub refuses any other value
    return {
        "license": facts.license or "unknown",
        **hub_model,
        "pipeline_tag": facts.settings.task,
        "library_name": "transformers" if "model" in facts.parts else "peft",
        "tags": ["tuneloop"],
        "metrics": [_HUB_METRICS[each.name] for each in metrics],
        "model-index": [{"name": facts.name, "results": [{"task": task, "dataset": dataset, "metrics": results}]}],
    }


def _head(facts: Facts) -> str:
    labels = ", ".join(f"`{_cell(label)}`" for label in facts.prepared.resolved.labels)
    revision = facts.prepared.model_revision
    licensed = f"license {facts.license}" if facts.license else "license not known"
    return (
        f"# {facts.name}\n\nClassifies a text as one of {len(facts.prepared.resolved.labels)} classes: {labels}.\n"
        f"Fine-tuned from `{facts.settings.model.uri}` ({facts.prepared.model_type}, revision `{revision}`, {licensed}).\n"
    )


def _results(facts: Facts) -> str:
    rows = sum(score.support for score in facts.evaluation.classes)
    after = next(each for each in facts.evaluation.metrics if each.name == "accuracy")
    ladder = [*facts.baselines, after.model_copy(update={"name": "**after training**"})]
    names = {"tfidf-linear": f"tfidf-linear ({facts.baseline_model})"}
    text = (
        f"## Results\n\nMeasured on {rows} test rows that took no part in training or in any choice. "
        "In brackets: 95 % bootstrap intervals.\n\n"
        + _table(("accuracy of", "value", "95 % interval"), ([names.get(m.name, m.name), *_numbers(m)] for m in ladder))
        + "\n"
        + _table(("metric", "value", "95 % interval"), ([m.name, *_numbers(m)] for m in facts.evaluation.metrics))
    )
    return text + (f"\n{_verdict(facts.paired)}\n" if facts.paired else "")


def _verdict(paired: Measured) -> str:
    shown = f"{paired.value:+.4f} accuracy [{paired.low:+.4f}, {paired.high:+.4f}]"
    if paired.low is not None and paired.low > 0:
        return f"Against TF-IDF + linear on the same rows: {shown}. The model is better."
    if paired.high is not None and paired.high < 0:
        return f"Against TF-IDF + linear on the same rows: {shown}. **The model is worse than a far simpler one.**"
    return f"Against TF-IDF + linear on the same rows: {shown}. **These rows do not show that the model is better.**"


def _classes(facts: Facts) -> str:
    labels = [_cell(label) for label in facts.prepared.resolved.labels]
    scores = facts.evaluation.classes
    rows = (
        [label, f"{score.precision:.4f}", f"{score.recall:.4f}", f"{score.f1:.4f}", str(score.support)]
        for label, score in zip(labels, scores, strict=True)
    )
    text = "## Classes\n\n" + _table(("class", "precision", "recall", "F1", "test rows"), rows)
    few = [label for label, score in zip(labels, scores, strict=True) if score.support < FEW_ROWS]
    if few:
        text += f"\nFewer than {FEW_ROWS} test rows, so that the numbers say little: {', '.join(few)}.\n"
    if len(labels) <= _SHOWN_CLASSES:
        counts = (
            [f"**{label}**", *map(str, line)] for label, line in zip(labels, facts.evaluation.confusion, strict=True)
        )
        text += "\nTest rows by true class (line) and predicted class (column):\n\n" + _table(("", *labels), counts)
    return text


def _calibration(facts: Facts) -> str:
    values = {each.name: each.value for each in facts.evaluation.metrics}
    return (
        f"## Calibration\n\nDivide the logits by the temperature **{facts.evaluation.temperature:.4f}** (fitted on the validation split; "
        "`temperature` in manifest.json) before the softmax; the predicted class stays the same.\n"
        f"Expected calibration error on the test rows, 15 bins of equal mass: {values['ece']:.4f} as it is, "
        f"{values['ece_calibrated']:.4f} with the temperature. Log loss: {values['log_loss']:.4f} and {values['log_loss_calibrated']:.4f}.\n"
    )


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
    method, training = settings.method, settings.training
    described = "all parameters" if method.type == "full" else _lora(facts)
    stopped = ", stopped early" if facts.trained.stopped_early else ""
    rows = [
        ("method", f"{method.type} ({described})"),
        ("optimizer steps", f"{facts.trained.steps} of {resolved.total_steps}{stopped}"),
        ("published", f"weights of step {facts.published_step} (`output.checkpoint: {settings.output.checkpoint}`)"),
        ("global batch", f"{resolved.global_batch_size} rows"),
        ("learning rate", f"{resolved.learning_rate:g}, {training.scheduler}, {resolved.warmup_steps} warm-up steps"),
        ("optimizer", f"AdamW, betas {training.beta1:g} and {training.beta2:g}, epsilon {training.epsilon:g}"),
        ("weight decay", f"{training.weight_decay:g}"),
        ("gradient norm", f"clipped to {training.max_grad_norm:g}" if training.max_grad_norm else "not clipped"),
        ("label smoothing", f"{training.label_smoothing:g}"),
        ("precision", facts.trained.precision),
        ("token limit", str(resolved.max_tokens)),
        ("seed", str(training.seed)),
    ]
    return "## Training\n\n" + _table(("", ""), rows)


def _course(facts: Facts) -> str:
    """What the curves of the training told; slow input says something about the machines alone."""
    found = [finding for finding in facts.trained.findings if finding.name != "InputBound"]
    told = "".join(f"- **{_WORDS[finding.name]}**: {finding.message}. {finding.advice}\n" for finding in found)
    if facts.trained.steps < FEWEST_STEPS:
        nothing = f"Its {facts.trained.steps} steps are too few to tell.\n"
    else:
        nothing = "The curves of losses and gradients show no sign of over- or under-fitting, of a wrong learning rate or of dead gradients.\n"
    return "## How the training went\n\n" + (told or nothing)


def _lora(facts: Facts) -> str:
    method = facts.settings.method
    alpha = 2 * method.rank if method.alpha is None else method.alpha
    merged = "merged into the weights" if "model" in facts.parts else "not merged"
    return (
        f"rank {method.rank}, alpha {alpha}, dropout {method.dropout:g}, {', '.join(method.target_modules)}; {merged}"
    )


def _use(facts: Facts) -> str:
    limit = facts.prepared.resolved.max_tokens
    return (
        "## Intended use and limits\n\n"
        "For texts like those of the training data: the same kind, source and language. The numbers above hold for such texts only.\n\n"
        f"- A text longer than {limit} tokens is cut to that length, as in training.\n"
        "- Every text gets one of the classes, also one that fits none; a low calibrated confidence is the only sign.\n"
        "- Not measured: fairness between groups, robustness to typing errors or attacks, other languages.\n"
        "- The licenses of the base model and of the data decide what the model may be used for; check both.\n"
    )


def _loading(facts: Facts) -> str:
    if "model" not in facts.parts:
        return (
            "## Loading\n\nThe artifact holds the adapter alone; the base model is needed besides.\n\n```python\n"
            "from peft import PeftModel\nfrom transformers import AutoModelForSequenceClassification\n\n"
            f"labels = {facts.prepared.resolved.labels!r}\n"
            "base = AutoModelForSequenceClassification.from_pretrained(BASE_MODEL_FOLDER, num_labels=len(labels))\n"
            'model = PeftModel.from_pretrained(base, "adapter").eval()\n```\n'
        )
    return (
        "## Loading\n\nIn the artifact's folder:\n\n```python\nimport torch\n"
        "from transformers import AutoModelForSequenceClassification, AutoTokenizer\n\n"
        'model = AutoModelForSequenceClassification.from_pretrained("model").eval()\n'
        'tokenizer = AutoTokenizer.from_pretrained("model")\n'
        'inputs = tokenizer(["Your text"], truncation=True, padding=True, return_tensors="pt")\n'
        "with torch.inference_mode():\n"
        f"    probabilities = (model(**inputs).logits / {facts.evaluation.temperature}).softmax(-1)\n"
        "print([model.config.id2label[row.argmax().item()] for row in probabilities], probabilities.max(-1).values)\n```\n"
    )


def _numbers(measured: Measured) -> tuple[str, str]:
    interval = "–" if measured.low is None or measured.high is None else f"[{measured.low:.4f}, {measured.high:.4f}]"
    return f"{measured.value:.4f}", interval


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _cell(text: str) -> str:
    """Return a class name that cannot break a table."""
    return " ".join(text.replace("|", "\\|").replace("`", "'").split())
