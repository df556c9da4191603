"""Makes the bill of materials of a program (CycloneDX) from its locks, with licences from the metadata of the installed packages.

The locks say names, versions, hashes and who requires whom. The same locks and the same commit make the same bytes.
"""

from __future__ import annotations

import importlib.metadata
import tomllib
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import ExternalReference, ExternalReferenceType, HashAlgorithm, HashType, Property, XsUri
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL
from packaging.markers import Marker

from supply_chain.locks import LOCKS, requirement_names
from supply_chain.pins import ROOT, Pin, read_lock

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cyclonedx.model.license import License

PROGRAMS = {
    "operator": ("operator",),
    "trainer": ("trainer", "deepspeed"),
    "server": ("server",),
    "router": ("router",),
}
"""Program → the locks that its image is made of."""
_IMAGE = {
    "sys_platform": "linux",
    "platform_system": "Linux",
    "os_name": "posix",
    "platform_python_implementation": "CPython",
}
_MACHINES = ("x86_64", "aarch64")
_LONGEST_LICENCE = 100
"""Some packages have the whole text of the licence where its name belongs."""


class SbomError(Exception):
    """A bill of materials does not fit CycloneDX's schema."""


def sbom(program: str, *, version: str, date: datetime) -> str:
    """Return a program's bill of materials as JSON; `version` is our package's."""
    pins = {name: pin for lock in PROGRAMS[program] for name, pin in read_lock(lock).items() if _on_linux(pin)}
    components = {name: _component(pin) for name, pin in pins.items()}
    ours = Component(
        type=ComponentType.APPLICATION, name=f"tuneloop-{program}", version=version, bom_ref=f"tuneloop-{program}",
        purl=PackageURL("pypi", None, "tuneloop", version), licenses=_licences(["Apache-2.0"]),
    )  # fmt: skip
    bom = Bom(components=components.values(), serial_number=_serial_number(program, version, pins.values()))
    bom.metadata.component, bom.metadata.timestamp = ours, date
    direct = {name for lock in LOCKS if lock.name in PROGRAMS[program] for name in requirement_names(lock)}
    bom.register_dependency(ours, [components[name] for name in sorted(direct & components.keys())])
    for name, component in components.items():
        bom.register_dependency(component, [components[other] for other in pins if name in pins[other].required_by])
    return JsonV1Dot6(bom).output_as_string(indent=1) + "\n"


def check(text: str) -> None:
    """Raise SbomError if the text does not fit CycloneDX's schema."""
    if problem := JsonStrictValidator(SchemaVersion.V1_6).validate_str(text):
        raise SbomError(str(problem))


def our_version() -> str:
    """Return the version in pyproject.toml."""
    return str(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"])


def date_of(seconds: int) -> datetime:
    """Return a date in UTC for seconds since 1970."""
    return datetime.fromtimestamp(seconds, tz=UTC)


def _on_linux(pin: Pin) -> bool:
    """Return whether the package is in an image for at least one kind of processor."""
    marker = Marker(pin.marker) if pin.marker else None
    return marker is None or any(marker.evaluate(_IMAGE | {"platform_machine": machine}) for machine in _MACHINES)


def _component(pin: Pin) -> Component:
    purl = PackageURL("pypi", None, pin.name, pin.version)
    hashes = [HashType(alg=HashAlgorithm.SHA_256, content=digest.removeprefix("sha256:")) for digest in pin.hashes]
    # the hashes are of files, of which an image holds one: CycloneDX keeps `hashes` of a component for the component itself
    files = ExternalReference(
        type=ExternalReferenceType.DISTRIBUTION, url=XsUri(str(purl)), hashes=hashes,
        comment="the hashes of all files of this version; one of the files is installed",
    )  # fmt: skip
    properties = [Property(name="tuneloop:marker", value=pin.marker)] if pin.marker else []
    return Component(
        type=ComponentType.LIBRARY, name=pin.name, version=pin.version, bom_ref=str(purl), purl=purl,
        external_references=[files], licenses=_licences(_licence_names(pin)), properties=properties,
    )  # fmt: skip


def _licence_names(pin: Pin) -> list[str]:
    """Return what the installed metadata of this very version says; empty if the package is not installed here."""
    try:
        metadata = importlib.metadata.metadata(pin.name)
    except importlib.metadata.PackageNotFoundError:
        return []
    if metadata["Version"] != pin.version:
        return []
    classifiers = metadata.get_all("Classifier") or []
    by_classifier = [text.rpartition(" :: ")[2] for text in classifiers if text.startswith("License :: ")]
    if expression := metadata["License-Expression"]:
        return [expression]
    named = (metadata["License"] or "").strip()
    if named and "\n" not in named and len(named) <= _LONGEST_LICENCE:
        return [named]
    return by_classifier


def _licences(names: Iterable[str]) -> list[License]:
    return [LicenseFactory().make_from_string(name, license_acknowledgement=None) for name in names]


def _serial_number(program: str, version: str, pins: Iterable[Pin]) -> uuid.UUID:
    content = "\n".join(sorted(f"{pin.name}=={pin.version} {pin.hashes}" for pin in pins))
    return uuid.uuid5(uuid.NAMESPACE_URL, f"tuneloop-{program}\n{version}\n{content}")
