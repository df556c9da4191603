"""The sections of the model card for whoever uses the model: how sure it is, how it was checked, what it is for, how it is loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_api.contract.artifact import ONNX_FP32, ONNX_INT8
from tuneloop_api.wire.uris import HUB_SCHEME
from tuneloop_trainer.export.parity import ROWS
from tuneloop_trainer.export.rounding import EPSILONS, share_allowed

if TYPE_CHECKING:
    from tuneloop_api.contract.artifact import Int8File
    from tuneloop_api.contract.results import Precision
    from tuneloop_trainer.export.card_facts import Facts
    from tuneloop_trainer.tasks.task import Task


def calibration(facts: Facts) -> str:
    """Say which temperature is published and why, and that scores are answered without it."""
    values = {metric.name: metric.value for metric in facts.evaluation.metrics}
    if "ece" not in values:
        return f"## Calibration\n\n{facts.evaluation.calibration}\n"
    error = (
        f"Expected calibration error on the {facts.task.card.calibrated}, 15 bins of equal mass: {values['ece']:.4f}"
    )
    if facts.evaluation.temperature == 1.0:
        measured = f"{error}. Log loss: {values['log_loss']:.4f}.\n"
        return f"## Calibration\n\n{facts.evaluation.calibration}\n{measured}"
    return (
        f"## Calibration\n\n{facts.evaluation.calibration}\n"
        f"Divide the logits by the temperature **{facts.evaluation.temperature:.4f}** (fitted on the validation split; "
        f"`temperature` in manifest.json) before the {facts.task.card.function}; the predicted class stays the same.\n"
        "The scores of the model server, and of the pipelines of transformers, are without the temperature; the server's metric "
        "`tuneloop_calibrated_confidence_ratio` is with it.\n"
        f"{error} as it is, {values['ece_calibrated']:.4f} with the temperature. "
        f"Log loss: {values['log_loss']:.4f} and {values['log_loss_calibrated']:.4f}.\n"
    )


def parity(facts: Facts) -> str:
    """Say how the files were compared with the trained weights and with training, and why the bounds are what they are."""
    return (
        f"## Check before publishing\n\nEvery format was loaded from its own files, and its logits on up to {ROWS} test rows were compared:\n\n"
        f"- with those of the trained weights, both in fp32: a logit may differ by {_bound('fp32')};\n"
        f"- with those that training measured in {facts.trained.precision}: by {_bound(facts.trained.precision)}.\n\n"
        "The root mean square of all differences may be a quarter of that. Each layer rounds numbers to a share of their size (the epsilon of the "
        "format), so the bounds are shares of the logits' root mean square.\n"
    )


def onnx(facts: Facts) -> str:
    """Say which ONNX files there are, and how far they were checked; empty if none was asked for."""
    found = facts.onnx
    if found is None:
        return ""
    if found.refusal is not None:
        return f"## ONNX\n\nNo ONNX file is published: {found.refusal}.\n"
    return (
        "## ONNX\n\n"
        f"- `onnx/{ONNX_FP32}`: fp32. On {found.rows} test rows its logits are those of the trained weights; one may differ by "
        f"{found.tolerance:.2g} of the logits' root mean square.\n"
        f"{_int8(found.int8) if found.int8 else ''}"
        "\nBatch and length are open; the inputs are `input_ids` and `attention_mask`, the output is `logits`. The tokenizer lies beside the files.\n"
    )


def _int8(found: Int8File) -> str:
    if found.refusal is not None:
        return f"- No int8 file is published: {found.refusal}.\n"
    return (
        f"- `onnx/{ONNX_INT8}`: weights of linear layers in 8 bits. {found.agreement:.2%} of its predictions on {found.rows} held-out rows are those of "
        f"the fp32 file ({found.least_agreement:.0%} are needed). The numbers above were not measured with it.\n"
    )


def use(facts: Facts) -> str:
    """Say what the model is for, and what was not measured."""
    limit = facts.prepared.resolved.max_tokens
    limits = "".join(f"- {sentence}\n" for sentence in facts.task.card.limits)
    return (
        "## Intended use and limits\n\n"
        "For texts like those of the training data: the same kind, source and language. The numbers above hold for such texts only.\n\n"
        f"- {_long_texts(facts.task, limit=limit)}\n"
        f"{limits}"
        "- Not measured: fairness between groups, robustness to typing errors or attacks, other languages.\n"
        "- The licenses of the base model and of the data decide what the model may be used for; check both.\n"
    )


def loading(facts: Facts) -> str:
    """Return code that loads the artifact and gives the scores of the model server."""
    if "model" in facts.parts:
        code = facts.task.card.loading(facts.evaluation.temperature)
        return f"## Loading\n\nIn the artifact's folder:\n\n```python\n{code}```\n"
    return (
        "## Loading\n\nThe artifact holds the adapter alone; the base model is needed besides. In the artifact's folder:\n\n```python\n"
        f"{_adapter_code(facts)}```\n"
    )


def _adapter_code(facts: Facts) -> str:
    uri, auto_class = facts.settings.model.uri, facts.task.auto_class
    base, revision = "BASE_MODEL_FOLDER", ""
    if uri.startswith(HUB_SCHEME):
        base, revision = f'"{uri.removeprefix(HUB_SCHEME)}"', f', revision="{facts.prepared.model_revision}"'
    return (
        f"from peft import PeftModel\nfrom transformers import AutoConfig, {auto_class}, AutoTokenizer\n\n"
        'config = AutoConfig.from_pretrained("adapter")  # with the names of the classes\n'
        f"base = {auto_class}.from_pretrained({base}{revision}, config=config)  # {uri}\n"
        'model = PeftModel.from_pretrained(base, "adapter").eval()\n'
        'tokenizer = AutoTokenizer.from_pretrained("adapter")\n'
    )


def _bound(precision: Precision) -> str:
    return f"{EPSILONS[precision]} epsilons of {precision} ({share_allowed(precision):.2g} of the logits' size)"


def _long_texts(task: Task, *, limit: int) -> str:
    if task.windows is None:
        return f"A text longer than {limit} tokens is cut to that length, as in training."
    if task.windows_of_text is None:
        return f"The model reads at most {limit} tokens at once. Training read longer texts in blocks of so many; who uses the model divides or cuts them."
    return f"A context that is too long for {limit} tokens is read in windows of so many, as in training."
