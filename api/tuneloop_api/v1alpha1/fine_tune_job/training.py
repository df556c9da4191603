"""The part of a FineTuneJob's spec that says how to learn: which parameters, how long, with which optimizer."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import Field
from pydantic.alias_generators import to_snake

from tuneloop_api.combinations.table import OPTIONS, PROMPTS
from tuneloop_api.v1alpha1.fine_tune_job.data import Count, Seed
from tuneloop_api.wire.model import SpecModel
from tuneloop_api.wire.rules import Rule, applies_only, exactly_one, not_together
from tuneloop_api.wire.text_formats import LAYER_NAME, PARAMETER_PATTERN

LayerName: TypeAlias = Annotated[str, LAYER_NAME.text(most=256)]
ParameterPattern: TypeAlias = Annotated[str, PARAMETER_PATTERN.text(most=256)]


def _of_method(field: str, *types: str) -> Rule:
    """Return the rule that a field of `method` (Python name) is given only for methods of these types."""
    return applies_only(
        field,
        to=f"type: {' or '.join(types)}",
        cel=f"self.?type.orValue('lora') in {list(types)}",
        holds=lambda method: (method.type or "lora") in types,
    )


class Method(SpecModel):
    """Which parameters are trained, and how."""

    type: Literal["full", "lora", "ia3", "bitfit", "prefix", "prompt", "p-tuning"] | None = None
    """`full` trains every parameter. `lora` trains low-rank adapters beside frozen weights, which needs much less memory. `ia3` trains one factor for each output of a
    layer, which is less still. `bitfit` trains the bias terms alone; a model without any fails the job. `prefix`, `prompt` and `p-tuning` train virtual
    tokens before each text, and publish an adapter alone (`output.mergeAdapter: false`). All of them train the new head. Default: `lora`."""
    rank: Annotated[int, Field(ge=1, le=1024)] | None = None
    """Rank of the LoRA matrices, 1 to 1024: more can learn more, and takes more memory. Applies only to `type: lora`. Default: 16. For example `8`."""
    alpha: Annotated[int, Field(ge=1, le=4096)] | None = None
    """The LoRA update is scaled by alpha / rank. From 1 to 4096. Applies only to `type: lora`. Default: 2 x rank. For example `32`."""
    dropout: Annotated[float, Field(ge=0, lt=1)] | None = None
    """Probability with which an input of the LoRA matrices is dropped, at least 0 and less than 1. Applies only to `type: lora`. Default: 0.05. For example `0.1`."""
    target_modules: Annotated[list[LayerName], Field(min_length=1, max_length=64)] | None = None
    """Linear layers that get adapters: their names or the ends of them, or `all-linear` for all but the head. Applies only to `type: lora` or `ia3`. A name that no layer
    has fails the job. Default: `[all-linear]`. For example `[query, value]`."""
    use_dora: bool | None = None
    """Whether LoRA learns the size of each output of a layer apart from its direction (DoRA): often better at low ranks, and slower. Applies only to `type: lora`. Not
    together with `deepspeed.stage: 3`. Default: false."""
    use_rslora: bool | None = None
    """Whether the LoRA update is scaled by alpha / √rank in place of alpha / rank (rsLoRA), so that high ranks learn as fast as low ones. Applies only to `type: lora`.
    Default: false."""
    use_pissa: bool | None = None
    """Whether LoRA begins with the largest singular vectors of each weight (PiSSA); published as LoRA of twice the rank. Applies only to `type: lora`. Not together
    with `useDora`. Default: false."""
    virtual_tokens: Annotated[int, Field(ge=1, le=512)] | None = None
    """Number of virtual tokens before each text, 1 to 512; the model reads texts that are shorter by as many. Applies only to `type: prefix` or `prompt` or `p-tuning`.
    Default: 20. For example `50`."""
    freeze: Annotated[list[ParameterPattern], Field(min_length=1, max_length=64)] | None = None
    """Parameters that stay as they are: regular expressions of Python that are searched in their names. The head is always trained. Applies only to `type: full`. A pattern
    that no name has fails the job; `layer\\.[0-5]\\.` names the first six layers of BERT. Default: none. For example `[embeddings]`."""

    rules = (
        *(_of_method(field, "lora") for field in ("rank", "alpha", "dropout")),
        _of_method("target_modules", "lora", "ia3"),
        _of_method("virtual_tokens", *PROMPTS),
        *(_of_method(to_snake(option), method) for option, method in OPTIONS.items()),
    )


class EvaluateEvery(SpecModel):
    """How often the validation split is measured: exactly one of the two."""

    steps: Count | None = None
    """Number of optimizer steps between two evaluations. Not together with `epochs`. Default: none, epochs are counted. For example `100`."""
    epochs: Annotated[float, Field(gt=0)] | None = None
    """Number of passes over the training split between two evaluations; may be a fraction. Not together with `steps`. Default: 1. For example `0.5`."""

    rules = (exactly_one("steps", "epochs"),)


MetricName = Literal[
    "loss",
    "accuracy",
    "macro_f1",
    "micro_f1",
    "weighted_f1",
    "mcc",
    "rmse",
    "mae",
    "r2",
    "pearson",
    "spearman",
    "span_f1",
    "span_precision",
    "span_recall",
    "perplexity",
    "bits_per_byte",
    "exact_match",
    "f1",
]
FALLING = ("loss", "rmse", "mae", "perplexity", "bits_per_byte", "bits_per_masked_byte")
"""Metrics that are to fall; all others are to rise."""
LANGUAGE_MODELS = ("text-generation", "text2text-generation")
"""Tasks whose classes are the tokens of a vocabulary."""
TASK_OF_METRIC: dict[str, str | tuple[str, ...]] = {
    "macro_f1": "text-classification",
    "micro_f1": "text-classification",
    "weighted_f1": "text-classification",
    "mcc": "text-classification",
    "rmse": "text-classification",
    "mae": "text-classification",
    "r2": "text-classification",
    "pearson": "text-classification",
    "spearman": "text-classification",
    "span_f1": "token-classification",
    "span_precision": "token-classification",
    "span_recall": "token-classification",
    "perplexity": LANGUAGE_MODELS,
    "bits_per_byte": LANGUAGE_MODELS,
    "exact_match": "question-answering",
    "f1": "question-answering",
}
"""The task, or the tasks, that each metric belongs to; the loss belongs to all, and accuracy to all but `WITHOUT_ACCURACY`."""
WITHOUT_ACCURACY = ("question-answering",)
PROBLEMS_OF_METRIC: dict[str, tuple[str, ...]] = {
    "accuracy": ("single-label", "multi-label"),
    "macro_f1": ("single-label", "multi-label"),
    "micro_f1": ("multi-label",),
    "weighted_f1": ("multi-label",),
    "mcc": ("single-label",),
    **dict.fromkeys(("rmse", "mae", "r2", "pearson", "spearman"), ("regression",)),
}
"""The problem types of text classification that each metric belongs to; the loss belongs to all."""


class EarlyStopping(SpecModel):
    """Stop when the validation split gets no better."""

    metric: MetricName | None = None
    """Validation metric that is watched: loss, rmse, mae, perplexity and bits_per_byte are to fall, the others are to rise. Default: `training.bestMetric`."""
    patience: Annotated[int, Field(ge=1, le=1000)] | None = None
    """Number of evaluations in a row without an improvement after which training stops, 1 to 1000. Default: 3. For example `5`."""
    min_delta: Annotated[float, Field(ge=0)] | None = None
    """Smallest change of the metric that counts as an improvement, in the metric's own unit. Default: 0, any change. For example `0.001`."""


class Training(SpecModel):
    """Length, batches and optimizer."""

    epochs: Annotated[float, Field(gt=0, le=10000)] | None = None
    """Number of passes over the training split, more than 0 and at most 10000; may be a fraction. Not together with `maxSteps`. Default: 3. For example `1.5`."""
    max_steps: Count | None = None
    """Number of optimizer steps after which training ends, instead of a number of passes. Not together with `epochs`. Default: none, `epochs` decides.
    For example `2000`."""
    global_batch_size: Annotated[int, Field(ge=1, le=1048576)] | None = None
    """Number of rows in one optimizer step, over all nodes together, so that the result does not depend on the number of nodes. From 1 to 1048576. Default: 32.
    For example `64`."""
    micro_batch_size: Annotated[int, Field(ge=1, le=1048576)] | None = None
    """Number of rows in one forward pass of one rank: less takes less memory, and does not change the result but for rounding. `globalBatchSize` must be a multiple of it.
    Default: planned from the data and shown in `status.resolved`. For example `8`."""
    learning_rate: Annotated[float, Field(gt=0, le=10)] | None = None
    """Learning rate at its peak, after the warm-up: more than 0 and at most 10, as a number and not as text. Default: by method and model, as shown in `status.resolved`.
    For example `2e-4`."""
    scheduler: Literal["linear", "cosine", "constant", "wsd"] | None = None
    """Course of the learning rate after the warm-up: `linear` and `cosine` fall to zero, `constant` stays at the peak, `wsd` (warm-up, stable, decay) stays and falls at
    the end. Default: `linear`."""
    warmup_ratio: Annotated[float, Field(ge=0, le=1)] | None = None
    """Fraction of all steps in which the learning rate rises to its peak, 0 to 1. Not together with `warmupSteps`. Default: 0.06. For example `0.1`."""
    warmup_steps: Annotated[int, Field(ge=0, le=2**31 - 1)] | None = None
    """Number of steps in which the learning rate rises to its peak, at most as many as the whole run has. Not together with `warmupRatio`. Default: none, `warmupRatio`
    decides. For example `100`."""
    weight_decay: Annotated[float, Field(ge=0, le=10)] | None = None
    """Decoupled weight decay of AdamW, 0 to 10; biases and norms have none. Default: 0.01. For example `0.1`."""
    beta1: Annotated[float, Field(ge=0, lt=1)] | None = None
    """Decay of AdamW's mean of gradients, at least 0 and less than 1. Default: 0.9. For example `0.95`."""
    beta2: Annotated[float, Field(ge=0, lt=1)] | None = None
    """Decay of AdamW's mean of squared gradients, at least 0 and less than 1. Default: 0.999. For example `0.98`."""
    epsilon: Annotated[float, Field(gt=0, le=1)] | None = None
    """What AdamW adds to its denominator so that it is never zero: more than 0 and at most 1. Default: 1e-8. For example `1e-6`."""
    max_grad_norm: Annotated[float, Field(ge=0)] | None = None
    """Norm to which a longer gradient is cut; 0 turns that off. Default: 1.0. For example `0.5`."""
    precision: Literal["auto", "fp32", "bf16"] | None = None
    """Number format of the forward and backward pass: `auto` is bf16 on GPUs that have it, and fp32 elsewhere. Default: `auto`."""
    dropout: Annotated[float, Field(ge=0, lt=1)] | None = None
    """Probability with which the model's own layers drop a value in training, at least 0 and less than 1. Default: what the model's configuration says.
    For example `0.1`."""
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] | None = None
    """Part of the probability that the loss spreads over all classes alike, at least 0 and less than 1. Not for `problemType: multi-label` or `regression`.
    Default: 0, none. For example `0.1`."""
    neftune_alpha: Annotated[float, Field(ge=0, le=100)] | None = None
    """Size of the noise that training adds to the embeddings of a text's tokens (NEFTune), 0 to 100. Default: 0, none. For example `5`."""
    layerwise_lr_decay: Annotated[float, Field(gt=0, le=1)] | None = None
    """Factor by which the learning rate falls from each layer to the one below, from the head down to the embeddings: more than 0 and at most 1. Applies only to
    `method.type: full` and `bitfit`. Default: 1, all layers learn alike. For example `0.9`."""
    gradient_checkpointing: Literal["always", "never"] | None = None
    """Whether the backward pass computes the insides of layers again in place of keeping them: this takes much less memory for activations and more time, and gives the same
    model. Default: `never`."""
    evaluate_every: EvaluateEvery | None = None
    """How often the validation split is measured: either `steps` or `epochs`. Default: every epoch. For example `{steps: 100}`."""
    early_stopping: EarlyStopping | None = None
    """When to stop early, because the validation split gets no better; `{}` takes the defaults. Default: train to the end. For example `{patience: 5}`."""
    best_metric: MetricName | None = None
    """Validation metric that chooses the best checkpoint: loss, rmse, mae, perplexity and bits_per_byte are to be low, the others are to be high. `macro_f1`, `micro_f1`, `weighted_f1` and `mcc`
    apply only to `task: text-classification`: `micro_f1` and `weighted_f1` to several labels, `mcc` to one; `rmse`, `mae`, `r2`, `pearson` and `spearman` apply only to its
    `problemType: regression`, and accuracy not to that. The metrics of spans apply only to `task: token-classification`, `perplexity` and `bits_per_byte` only to
    `task: text-generation` and `text2text-generation`, `exact_match` and `f1` only to `task: question-answering`. Default: `loss`."""
    seed: Seed | None = None
    """Seed of the head's weights, the order of the rows and dropout: the same job with the same seed gives the same model. Default: 42. For example `7`."""

    rules = (
        not_together("epochs", "max_steps"),
        not_together("warmup_ratio", "warmup_steps"),
        Rule(
            field="microBatchSize",
            message="globalBatchSize (32 by default) must be a multiple of it; for example globalBatchSize: 32 with microBatchSize: 8",
            cel="!has(self.microBatchSize) || self.?globalBatchSize.orValue(32) % self.microBatchSize == 0",
            holds=lambda training: (training.global_batch_size or 32) % (training.micro_batch_size or 1) == 0,
        ),
        Rule(
            field="warmupSteps",
            message="must be at most maxSteps, the length of the whole run; for example maxSteps: 1000 with warmupSteps: 60",
            cel="!(has(self.warmupSteps) && has(self.maxSteps)) || self.warmupSteps <= self.maxSteps",
            holds=lambda training: training.max_steps is None or (training.warmup_steps or 0) <= training.max_steps,
        ),
    )
