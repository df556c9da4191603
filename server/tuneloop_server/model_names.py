"""The names by which clients ask for what a server has: that of the deployment, and those of its adapters."""

from __future__ import annotations

from dataclasses import dataclass

from tuneloop_server.errors import RequestError
from tuneloop_server.fields import invalid, shown


@dataclass(frozen=True, kw_only=True)
class ModelNames:
    """What may be asked for. The deployment's name stands for the base model's own head; without one, for the only adapter."""

    deployment: str
    adapters: tuple[str, ...] = ()
    has_own_model: bool = True

    @property
    def served(self) -> tuple[str, ...]:
        """The names that are answered."""
        return (self.deployment, *self.adapters) if self._has_default else self.adapters

    def require(self, name: object, *, field: str, may_be_absent: bool = True) -> str:
        """Return the name that a client asks for; the deployment's if it asks for none. Raises RequestError for a name that is not served.

        field: where the name stands in the request.
        """
        if isinstance(name, str) and name in self.served:
            return name
        if name is None and self._has_default:
            return self.deployment
        allowed = f"allowed {'is' if len(self.served) == 1 else 'are'} {', '.join(self.served)}"
        if name is None:
            message = f"{field}: is missing, and the base model has no answer of its own; {allowed}"
            raise invalid(message, field=field)
        nothing = ", or nothing" if may_be_absent and self._has_default else ""
        message = f"{field}: {shown(name)} is not served here; {allowed}{nothing}"
        raise RequestError(message, status=404, reason="validation", field=field)

    def adapter(self, name: str) -> str | None:
        """Return the adapter that answers to a served name; None: the base model itself."""
        if name != self.deployment:
            return name
        return None if self.has_own_model else self.adapters[0]

    @property
    def _has_default(self) -> bool:
        return self.has_own_model or len(self.adapters) == 1
