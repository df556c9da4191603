"""The table of combinations that are refused, each with its reason and what to do instead. Whatever no row refuses is allowed, and runs in a test.

A row names values on some axes; it refuses a combination that has them all. An axis that a row does not name plays no part. The spec alone decides
rows without `families`, `models` and `lacks`: `rules.py` makes rules of the CRD of them. The trainer decides the others once it has opened the model.
"""

from __future__ import annotations

from dataclasses import dataclass

METHODS = ("full", "lora", "ia3", "bitfit", "prefix", "prompt", "p-tuning")
"""Values of `spec.method.type`."""
PROMPTS = ("prefix", "prompt", "p-tuning")
"""Methods that train virtual tokens before each text. No weight of the base model could hold these: they are published as adapters alone."""
ADAPTERS = ("lora", "ia3", *PROMPTS)
"""Methods whose trained weights lie beside those of the base model."""
TASKS = (
    "text-classification",
    "token-classification",
    "question-answering",
    "text-generation",
    "text2text-generation",
    "fill-mask",
)
FAMILIES = ("encoder", "decoder", "encoder-decoder")
ZERO_STAGES = (0, 1, 2, 3)
PRECISIONS = ("fp32", "bf16")
OPTIONS = {"useDora": "lora", "useRslora": "lora", "usePissa": "lora", "freeze": "full"}
"""Options of a method that change what is trained or how, by their name in `spec.method`, with the method that they belong to."""


@dataclass(frozen=True, kw_only=True)
class Combination:
    """What a job combines. None: not known yet."""

    method: str
    """As in `spec.method.type`."""
    options: frozenset[str] = frozenset()
    """Those of `OPTIONS` that are set."""
    task: str | None = None
    family: str | None = None
    model_type: str | None = None
    """As in the model's configuration."""
    zero_stage: int | None = None
    precision: str | None = None
    lacks: frozenset[str] = frozenset()
    """What the model has none of, in the words of `Refused.lacks`."""


@dataclass(frozen=True, kw_only=True)
class Refused:
    """A row of the table: a combination of these values does not work. An empty axis holds all values."""

    field: str
    """Path of the field in `spec` that a message names as wrong."""
    methods: tuple[str, ...]
    options: tuple[str, ...] = ()
    """All of them are set."""
    tasks: tuple[str, ...] = ()
    families: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    """Values of `model_type` in configurations."""
    zero_stages: tuple[int, ...] = ()
    precisions: tuple[str, ...] = ()
    lacks: str | None = None
    """What the model has none of: `biases`, `past_key_values`."""
    reason: str
    """Why, as the part of a sentence behind the field."""
    advice: str
    """What to do instead, as the imperative of a sentence."""

    @property
    def is_of_the_spec(self) -> bool:
        """Whether the spec alone decides: the model plays no part."""
        return not self.families and not self.models and self.lacks is None

    def refuses(self, combination: Combination) -> bool:
        """Tell whether a combination has every value that this row names. What is not known yet is not refused."""
        axes = (
            (self.tasks, combination.task),
            (self.families, combination.family),
            (self.models, combination.model_type),
            (self.zero_stages, combination.zero_stage),
            (self.precisions, combination.precision),
        )
        return (
            combination.method in self.methods
            and combination.options.issuperset(self.options)
            and (self.lacks is None or self.lacks in combination.lacks)
            and all(not values or value in values for values, value in axes)
        )


REFUSED: tuple[Refused, ...] = (
    Refused(
        field="deepspeed.stage",
        methods=("lora",),
        options=("useDora",),
        zero_stages=(3,),
        reason="cannot be 3 with method.useDora: DoRA reads the norms of the base model's weights in every pass, and ZeRO-3 has divided these weights between the ranks",
        advice="use stage: 2, or leave out method.useDora",
    ),
    Refused(
        field="method.usePissa",
        methods=("lora",),
        options=("useDora", "usePissa"),
        reason="cannot be true with method.useDora: DoRA divides by the norms of the weights and the matrices together, and PiSSA begins with matrices that are a part of the weights",
        advice="leave out one of the two",
    ),
    Refused(
        field="method.type",
        methods=("bitfit",),
        lacks="biases",
        reason="bitfit trains the bias terms of a model, and {model} has none",
        advice="use method.type: lora, or a model with biases such as bert or roberta",
    ),
    Refused(
        field="method.type",
        methods=("prompt", "p-tuning"),
        tasks=("token-classification",),
        reason="must not be prompt or p-tuning with task: token-classification: the model would answer for the virtual tokens, too, and the answers of words would be off by as many",
        advice="use method.type: prefix or lora",
    ),
    Refused(
        field="task",
        methods=METHODS,
        tasks=("text-generation",),
        families=("encoder", "encoder-decoder"),
        reason="text-generation works with decoders alone: an encoder reads what follows a token, and an encoder-decoder writes a second text",
        advice="use a decoder such as gpt2, llama, qwen3, mistral or gemma",
    ),
    Refused(
        field="method.type",
        methods=PROMPTS,
        tasks=("fill-mask",),
        reason="must not be prefix, prompt or p-tuning with task: fill-mask: virtual tokens lie beside the model, and a job that goes on from it would read none of what they have learned",
        advice="use method.type: full or lora",
    ),
    Refused(
        field="method.type",
        methods=PROMPTS,
        tasks=("text2text-generation",),
        reason="must not be prefix, prompt or p-tuning with task: text2text-generation: a prefix would reach the decoder alone, which has read the text already, and virtual tokens "
        "of the input are lost when a text is written token by token",
        advice="use method.type: lora, ia3, bitfit or full",
    ),
    Refused(
        field="method.type",
        methods=("prompt", "p-tuning"),
        tasks=("question-answering",),
        reason="must not be prompt or p-tuning with task: question-answering: the model would point at virtual tokens, too, and the places of answers would be off by as many",
        advice="use method.type: prefix or lora",
    ),
    Refused(
        field="task",
        methods=METHODS,
        tasks=("question-answering",),
        families=("decoder",),
        reason="question-answering does not work with a decoder: the first token says that there is no answer, and a decoder has read neither question nor context there",
        advice="use an encoder such as bert, roberta, electra or deberta-v2",
    ),
    Refused(
        field="method.type",
        methods=("prompt", "p-tuning"),
        tasks=("text-classification",),
        families=("decoder",),
        reason="prompt and p-tuning do not work with a decoder and task: text-classification: its head answers at the last token of a text, which it finds by ids of tokens; virtual tokens have none, and padding would "
        "change the answers",
        advice="use method.type: prefix or lora",
    ),
    Refused(
        field="method.type",
        methods=PROMPTS,
        families=("encoder-decoder",),
        reason="virtual tokens do not work with an encoder-decoder: its head reads ids of tokens alone, and a prefix would reach the decoder alone",
        advice="use method.type: lora",
    ),
    Refused(
        field="method.type",
        methods=("prefix",),
        models=(
            "axk1", "axk2", "deepseek_v2", "deepseek_v3", "esmc", "falcon", "gpt_bigcode", "jamba", "jetmoe", "minicpm3", "minimax", "mistral4",
            "openai_privacy_filter", "qwen3_5", "qwen3_5_text", "qwen3_next", "zamba", "zamba2",
        ),
        reason="prefix puts keys and values before those of a text, and {model} takes them in another shape or form than PEFT makes them",
        advice="use method.type: lora, or a model such as bert, roberta or llama",
    ),
    Refused(
        field="method.type",
        methods=("prefix",),
        tasks=("text-classification",),
        models=("big_bird", "roformer"),
        reason="prefix does not work with {model} and task: text-classification: PEFT would give its head the keys and values in place of the states of the text",
        advice="use method.type: lora, or a model such as bert, roberta or llama",
    ),
    Refused(
        field="method.type",
        methods=("prefix",),
        lacks="past_key_values",
        reason="prefix puts keys and values before those of a text, and {model} takes none (past_key_values)",
        advice="use method.type: lora, or a model such as bert, roberta or llama",
    ),
    Refused(
        field="method.type",
        methods=("prompt", "p-tuning"),
        tasks=("text-classification",),
        models=("esmc", "ibert", "longformer"),
        reason="prompt and p-tuning put embeddings before those of a text, and {model} reads ids of tokens alone",
        advice="use method.type: lora or bitfit",
    ),
)  # fmt: skip


def serves_adapter(method: str, options: frozenset[str]) -> bool:
    """Whether model servers run the adapter of a method beside its base model.

    They pack the base model's weights, which DoRA would read in every pass; of the layers that PEFT adds, they know those of LoRA.
    """
    return method == "lora" and "useDora" not in options


def refusal(combination: Combination) -> Refused | None:
    """Return the first row that refuses a combination; None: it is allowed."""
    return next((row for row in REFUSED if row.refuses(combination)), None)
