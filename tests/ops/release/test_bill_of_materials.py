"""The bill of materials in the wheel: what is installed on a site, in the locked versions."""

from __future__ import annotations

import json
from importlib.metadata import distribution

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from ops.release.bill_of_materials import (
    BROUGHT,
    SBOM_FILE,
    UPLOT,
    bill_of_materials_text,
    required_packages,
)


def test_it_is_what_the_source_says() -> None:
    assert SBOM_FILE.read_text() == bill_of_materials_text(), (
        "run: python -m ops.release.bill_of_materials"
    )


def test_it_names_what_the_agent_needs_and_all_that_brings() -> None:
    assert set(BROUGHT) == set(required_packages())
    for name, brought in BROUGHT.items():
        todo, found = [name], set()
        while todo:
            for each in map(Requirement, distribution(todo.pop()).requires or ()):
                known = canonicalize_name(each.name)
                wanted = each.marker is None or each.marker.evaluate({"extra": ""})
                if wanted and known not in found:
                    found.add(known)
                    todo.append(known)
        # what only one generation of a package brings may stand there for the other
        assert found - {"typing-extensions"} <= set(brought), name


def test_it_has_the_form_of_cyclonedx() -> None:
    bill = json.loads(SBOM_FILE.read_text())
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    references = {part["bom-ref"] for part in bill["components"]}
    own = bill["metadata"]["component"]["bom-ref"]
    assert len(references) == len(bill["components"])
    for depends in bill["dependencies"]:
        assert depends["ref"] in references | {own}
        assert set(depends["dependsOn"]) <= references
    for part in bill["components"]:
        assert part["purl"].endswith(f"@{part['version']}")
        assert part["name"] == UPLOT["name"] or part["hashes"]


def test_uplot_is_the_version_that_is_told() -> None:
    script = (SBOM_FILE.parent / "web" / "static" / "uplot.js").read_text()
    assert f"v{UPLOT['version']}" in script[:500]
