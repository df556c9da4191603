"""The bases of every model on the wire: camelCase names, no coercion, no inf or nan, null means absent.

People write a `SpecModel`: an unknown field is an error there, since somebody expects it to do something. Programs write a `MessageModel`:
the reader may be of another release than the writer, so that the reader ignores fields that it does not know.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from pydantic.alias_generators import to_camel
from pydantic_core import CoreSchema, InitErrorDetails, PydanticCustomError, core_schema

from tuneloop_api.wire.rules import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic import GetCoreSchemaHandler, ValidatorFunctionWrapHandler

Model = TypeVar("Model", bound="WireModel")


class WireModel(BaseModel):
    """What both bases have in common: a frozen model that reads and writes JSON as the API server does. Derive from one of the two."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        frozen=True,
        strict=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
    )

    rules: ClassVar[tuple[Rule, ...]] = ()
    """Conditions over several fields; the API server checks the same conditions."""

    @classmethod
    def from_wire(cls, data: object) -> Self:
        """Read decoded JSON exactly as the API server does: by the wire's names alone, where `model_validate` also takes Python's."""
        return cls.model_validate(data, by_alias=True, by_name=False)

    @model_validator(mode="before")
    @classmethod
    def _as_the_server_reads(cls, data: Any) -> Any:
        """Drop the nulls of known fields, and read 2.0 as 2: JSON has one kind of number, and the API server prunes nulls."""
        if not isinstance(data, dict):
            return data
        known = _names(cls)
        return {key: _whole(value) for key, value in data.items() if value is not None or key not in known}

    @model_validator(mode="after")
    def _rules_hold(self) -> Self:
        broken = [rule for rule in self.rules if not rule.holds(self)]
        if broken:
            raise ValidationError.from_exception_data(type(self).__name__, [_details(rule, self) for rule in broken])
        return self

    def to_wire(self) -> dict[str, Any]:
        """Return plain JSON data with the wire's names, without fields that are not set."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


class SpecModel(WireModel):
    """A model that people write: an unknown field is an error."""

    model_config = ConfigDict(extra="forbid")


class MessageModel(WireModel):
    """A model that a program writes for another program: a field that only a later release knows is ignored.

    What makes old and new releases read each other: a new field has a default, a field is never renamed or given another meaning, and
    a set of words that may grow is `Open`.
    """

    model_config = ConfigDict(extra="ignore")

    def non_defaults(self, *names: str) -> dict[str, Any]:
        """Return the fields that differ from their defaults, as plain JSON data with the wire's names; only `names` (Python's), where some are given.

        Hashes are made of these fields: a new field with a default changes no hash, and a default that is written out means the same as no
        field.
        """
        only = set(names) if names else None
        return self.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_defaults=True, include=only)


KEPT = object()
"""The fallback of an `Open` field that keeps an unknown word as it is: for words that are only shown to people."""
_WORD = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,62}")


@dataclass(frozen=True)
class Open:
    """Marks a field of a message whose words a later release may extend: `Annotated[Literal["exact", "rounding"], Open("rounding")]`.

    A word that this release does not know is read as `fallback`, so that the rest of the message stays readable.
    """

    fallback: object

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Wrap the field's own validation."""
        plain = core_schema.plain_serializer_function_ser_schema(lambda word: word)
        return core_schema.no_info_wrap_validator_function(self._read, handler(source), serialization=plain)

    def _read(self, value: object, validate: ValidatorFunctionWrapHandler) -> object:
        try:
            return validate(value)
        except ValidationError:
            if not isinstance(value, str) or (self.fallback is KEPT and not _WORD.fullmatch(value)):
                raise
            return value if self.fallback is KEPT else self.fallback


def changed(model: Model, /, **fields: Any) -> Model:
    """Return a copy of a model with these fields (Python names) changed, validated as a whole.

    In place of `model_copy(update=…)`, which neither pydantic nor mypy checks. Raises TypeError for a field that the model does not have,
    ValidationError for a value that does not fit or a rule that no longer holds.
    """
    if unknown := sorted(fields.keys() - type(model).model_fields.keys()):
        raise TypeError(f"{type(model).__name__} has no field {', '.join(unknown)}")
    kept = {name: getattr(model, name) for name in model.model_fields_set}
    return type(model).model_validate(kept | fields, by_name=True, by_alias=False)


def ignored_fields(data: object, message: object, path: str = "") -> Iterator[str]:
    """Yield the paths of the fields in decoded JSON that the message which was read from it does not know."""
    if isinstance(message, WireModel) and isinstance(data, dict):
        known = {field.alias or name: name for name, field in type(message).model_fields.items()}
        for key, value in data.items():
            if key in known:
                yield from ignored_fields(value, getattr(message, known[key]), f"{path}{key}.")
            else:
                yield f"{path}{key}"
    elif isinstance(message, list) and isinstance(data, list):
        for number, pair in enumerate(zip(data, message, strict=True)):
            yield from ignored_fields(*pair, path=f"{path.removesuffix('.')}[{number}].")


def without_nulls(value: object) -> object:
    """Drop the nulls of a map, as the API server does; for the fields that are maps: `Annotated[dict[…], BeforeValidator(without_nulls)]`."""
    return {key: item for key, item in value.items() if item is not None} if isinstance(value, dict) else value


@cache
def _names(model: type[WireModel]) -> frozenset[str | None]:
    """Return the names of all fields, in Python and on the wire."""
    return frozenset(name for python, field in model.model_fields.items() for name in (python, field.alias))


def _whole(value: object) -> object:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return [_whole(item) for item in value] if isinstance(value, list) else value


def _details(rule: Rule, model: WireModel) -> InitErrorDetails:
    """Return a broken rule as an error at the wrong field, with what was given there."""
    error = PydanticCustomError("rule", "{message}", {"message": rule.message})
    location = tuple(rule.field.split(".")) if rule.field else ()
    given: Any = model.to_wire()
    for name in location:
        given = given.get(name)
    return InitErrorDetails(type=error, loc=location, input=given)
