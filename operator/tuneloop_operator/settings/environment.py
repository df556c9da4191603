"""Settings from environment variables, read by pydantic-settings: one variable for each field, and one sentence for each mistake.

The sentence names the variable, its value, what is allowed and an example.
"""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, TypeVar, cast

from pydantic import BaseModel, Field, ValidationError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from pydantic.fields import FieldInfo
    from pydantic_settings import BaseSettings

PREFIX = "TUNELOOP_"
_SERVICE_LINK = re.compile(r"_SERVICE_HOST$|_SERVICE_PORT(_\w+)?$|_PORT_\d+_(TCP|UDP)(_(PROTO|PORT|ADDR))?$")
_SERVICE_LINK_HINT = "Kubernetes sets it for a Service of this namespace; set `enableServiceLinks: false` in the pod"
_LONGEST_SHOWN = 100
_CREDENTIAL = re.compile(r"(?<=//)\S*(?=@)|(?<=\?)\S+")
"""What may be one in an address: user and password, and what follows a question mark."""
_Settings = TypeVar("_Settings", bound=BaseModel)


class SettingsError(Exception):
    """A variable is missing, unknown or has a wrong value. The message is one line."""


def setting(default: Any = ..., *, allowed: str, example: str, **constraints: Any) -> Any:
    """Return a field that the environment sets. allowed, example: for the message about a wrong value."""
    return Field(default, json_schema_extra={"allowed": allowed, "example": example}, **constraints)


def variable_of(field: str) -> str:
    """Return the name of the variable that sets a field."""
    return PREFIX + field.upper()


def fields_of(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """Return the fields that the environment sets."""
    return {name: field for name, field in model.model_fields.items() if isinstance(field.json_schema_extra, dict)}


def read(model: type[_Settings], environment: Mapping[str, str]) -> _Settings:
    """Return the settings; an empty variable counts as not set. Raises SettingsError."""
    # imported here, because local mode makes settings without an environment, and the import takes 60 ms
    from pydantic_settings import EnvSettingsSource  # noqa: PLC0415

    source = EnvSettingsSource(cast("type[BaseSettings]", model), env_prefix=PREFIX)
    source.env_vars = {name.lower(): value.strip() for name, value in environment.items() if value.strip()}
    given = source()
    try:
        return model.model_validate(given)
    except ValidationError as error:
        name = str(error.errors(include_url=False)[0]["loc"][0])
        value = source.env_vars.get(variable_of(name).lower()) or ""
        raise SettingsError(_sentence(name, value, fields_of(model)[name])) from error


def refuse_unknown(environment: Mapping[str, str], *, models: Collection[type[BaseModel]]) -> None:
    """Raise SettingsError if a variable with our prefix is no setting: a typing mistake must not be ignored."""
    known = [variable_of(name) for model in models for name in fields_of(model)]
    for name in sorted(environment):
        if not name.startswith(PREFIX) or name in known:
            continue
        if _SERVICE_LINK.search(name):
            raise SettingsError(f"{name} is not a setting: {_SERVICE_LINK_HINT}")
        near = get_close_matches(name, known, n=1, cutoff=0.0)
        raise SettingsError(f"{name} is not a setting; the nearest one is {near[0]}")


def explained(models: Collection[type[BaseModel]]) -> Iterator[str]:
    """Yield name, default and meaning of each variable."""
    for model in models:
        for name, field in fields_of(model).items():
            default = "required" if field.is_required() else f"default: {_shown(field.default)}"
            yield f"  {variable_of(name)} ({default})\n      {field.description}"


def _shown(default: Any) -> str:
    if isinstance(default, tuple):
        return ",".join(default) or "empty"
    return "unset" if default is None else str(default)


def _sentence(name: str, value: str, field: FieldInfo) -> str:
    extra = field.json_schema_extra
    assert isinstance(extra, dict)
    rule = f"allowed is {extra['allowed']}, for example {extra['example']}"
    if not value:
        return f"{variable_of(name)} is not set; {rule}"
    hint = f" ({_SERVICE_LINK_HINT})" if value.startswith("tcp://") else ""
    shown = _CREDENTIAL.sub("…", value)
    shown = shown if len(shown) <= _LONGEST_SHOWN else f"{shown[:_LONGEST_SHOWN]}…"
    return f"{variable_of(name)}={shown!r}: {rule}{hint}"
