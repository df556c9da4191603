"""How deep the parameters of a model lie, and what the learning rate of each depth is multiplied by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import nn

from tuneloop_trainer.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

_EMBEDDING = "emb"
"""In the names of embeddings, and of their norms and projections."""


@dataclass(frozen=True, kw_only=True)
class Stack:
    """A list of layers, one on the other."""

    name: str
    """Name of the list in the model."""
    first: int
    """Depth of its first layer."""
    length: int

    @property
    def last(self) -> int:
        """Depth of its last layer."""
        return self.first + self.length - 1

    @property
    def owner(self) -> str:
        """Name of the module that holds the list."""
        return self.name.rpartition(".")[0]

    def depth_of(self, parameter: str) -> int | None:
        """Return the depth of a parameter by its name; None if it lies in no layer of this list."""
        if not parameter.startswith(f"{self.name}."):
            return None
        return self.first + int(parameter.removeprefix(f"{self.name}.").partition(".")[0])


def rate_factors(model: Any, decay: float) -> dict[str, float]:
    """Return for each parameter, by name, decay ** (layers + 1 - depth): 1 in the head, `decay` in the last layer, and the least in the embeddings.

    model: as `load_model` returns it. Raises ConfigError if it has no list of layers. Sources: discriminative fine-tuning of ULMFiT (Howard and Ruder 2018, arXiv:1801.06146); the depths are those of
    BEiT (Bao et al. 2021, arXiv:2106.08254).
    """
    found, layers = depths(model)
    if not layers:
        raise ConfigError(
            f"spec.training.layerwiseLrDecay: {model.config.model_type} keeps its layers in no list, so that their order is not known",
            hint="leave training.layerwiseLrDecay out, or use a model such as bert, roberta or llama",
        )
    return {name: decay ** (layers + 1 - depth) for name, depth in found.items()}


def depths(model: Any) -> tuple[dict[str, int], int]:
    """Return the depth of each parameter by name, and the number of layers.

    Embeddings have depth 0, layers 1 and more in the order of the computation (those of a decoder behind those of its encoder), the head one more than the last layer. What lies outside the layers, such
    as a last norm, has the depth of the last layer of the smallest module that holds both.
    """
    stacks = _stacks(model)
    layers = max((stack.last for stack in stacks), default=0)
    embeddings = {f"{name}." for name, module in model.named_modules() if isinstance(module, nn.Embedding)}
    found = {}
    for name, _ in model.named_parameters():
        inside = next((depth for stack in stacks if (depth := stack.depth_of(name)) is not None), None)
        if any(name.startswith(f"{module}.") for module in model.head_modules):
            found[name] = layers + 1
        elif inside is not None:
            found[name] = inside
        elif _names_embeddings(name, model) or any(name.startswith(table) for table in embeddings):
            found[name] = 0
        else:
            found[name] = _last_beside(name, stacks)
    return found, layers


def _last_beside(parameter: str, stacks: Sequence[Stack]) -> int:
    """Return the depth of the last layer of the smallest module that holds a parameter, and layers; 0 if there is none."""
    module = parameter
    while module:
        module = module.rpartition(".")[0]
        within = [stack.last for stack in stacks if f"{stack.owner}.".startswith(f"{module}." if module else "")]
        if within:
            return max(within)
    return 0


def _stacks(model: Any) -> list[Stack]:
    """Return the lists of layers of the body, in the order of the computation.

    Lists of one module run side by side: XLM has a list of attentions and a list of feed-forward parts. A list inside of a layer, or of embeddings, is no stack.
    """
    lists = {name: module for name, module in model.named_modules() if isinstance(module, nn.ModuleList)}
    found: list[Stack] = []
    for name, module in lists.items():
        if _names_embeddings(name, model) or any(
            name.startswith(f"{outer}.") for outer in (*lists, *model.head_modules)
        ):
            continue
        owner = name.rpartition(".")[0]
        below = max((stack.last for stack in found if stack.owner != owner), default=0)
        found.append(Stack(name=name, first=below + 1, length=len(module)))
    return found


def _names_embeddings(name: str, model: Any) -> bool:
    """Whether a name below that of the body says so; the body of RemBERT is called `rembert`."""
    return _EMBEDDING in name.removeprefix(f"{model.base_model_prefix}.")
