"""The bill of materials of each program fits CycloneDX's schema and names all that is installed for the program."""

from __future__ import annotations

import importlib.metadata
import json
from functools import cache

import pytest
from packaging.requirements import Requirement
from supply_chain import pins, sbom
from supply_chain.locks import LOCKS

DATE = sbom.date_of(1_700_000_000)


@cache
def text_of(program: str) -> str:
    return sbom.sbom(program, version="1.2.3", date=DATE)


@pytest.fixture(params=sorted(sbom.PROGRAMS))
def program(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def bill(program: str) -> dict:
    return json.loads(text_of(program))


def installed_for(extra: str) -> dict[str, str]:
    """Return name → version of all distributions that our package needs with this extra, by their own metadata."""
    found: dict[str, str] = {}
    asked: set[tuple[str, str]] = set()
    waiting = [("tuneloop", ""), ("tuneloop", extra)]
    while waiting:
        name, chosen = waiting.pop()
        if (name, chosen) in asked:
            continue
        asked.add((name, chosen))
        distribution = importlib.metadata.distribution(name)
        found[pins.normalized(name)] = distribution.version
        for requirement in map(Requirement, distribution.requires or []):
            if requirement.marker is None or requirement.marker.evaluate({"extra": chosen}):
                waiting += [(requirement.name, other) for other in ("", *requirement.extras)]
    return {name: version for name, version in found.items() if name != "tuneloop"}


def test_every_program_that_has_a_lock_has_a_bill():
    assert set(sbom.PROGRAMS) == {lock.name for lock in LOCKS if lock.extras} - {"dev"}


def test_it_fits_the_schema(program):
    sbom.check(text_of(program))


def test_what_does_not_fit_the_schema_is_refused():
    with pytest.raises(sbom.SbomError):
        sbom.check('{"bomFormat": "CycloneDX", "specVersion": "1.6", "components": [{"name": "no type"}]}')


def test_it_names_all_that_is_installed_for_the_program(program, bill):
    named = {component["name"]: component["version"] for component in bill["components"]}
    assert named == named | installed_for(program)


def test_every_package_has_a_hash_and_a_name_that_scanners_know(bill):
    for component in bill["components"]:
        assert component["purl"] == f"pkg:pypi/{component['name']}@{component['version']}"
        assert all(len(found["content"]) == 64 for found in component["externalReferences"][0]["hashes"])
        assert component["externalReferences"][0]["hashes"]


def test_nearly_every_package_has_a_licence(bill):
    # cuda-toolkit is a package without files and says nothing
    assert {component["name"] for component in bill["components"] if "licenses" not in component} <= {"cuda-toolkit"}


def test_every_package_is_required_by_the_program_or_by_another(program, bill):
    requires = {entry["ref"]: entry.get("dependsOn", []) for entry in bill["dependencies"]}
    reached: set[str] = set()
    waiting = [f"tuneloop-{program}"]
    while waiting:
        reached.add(reference := waiting.pop())
        waiting += [other for other in requires[reference] if other not in reached]
    assert {component["bom-ref"] for component in bill["components"]} == reached - {f"tuneloop-{program}"}


def test_packages_of_other_systems_are_not_in_it(bill):
    assert not {"pywin32", "httpx2-jsfetch"} & {component["name"] for component in bill["components"]}


def test_no_address_of_an_index_is_in_it(program):
    assert "://" not in text_of(program).replace("http://cyclonedx.org/schema/bom-1.6.schema.json", "")


def test_the_same_locks_make_the_same_bytes():
    assert sbom.sbom("operator", version="1.2.3", date=DATE) == text_of("operator")
