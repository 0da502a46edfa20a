"""The contract and the baselines can be imported with pydantic and the standard library alone."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SHARED = [
    ".".join(file.relative_to(ROOT).with_suffix("").parts)
    for room in ("contract", "baseline")
    for file in sorted((ROOT / "VenAgent" / room).glob("*.py"))
]
IMPORT_ALL = """
import importlib, json, sys
for name in {names!r}:
    importlib.import_module(name.removesuffix(".__init__"))
tops = {{each.partition(".")[0] for each in sys.modules}}
print(json.dumps(sorted(each for each in tops if not each.startswith("_sysconfigdata"))))
"""
PYDANTIC = {
    "pydantic",
    "pydantic_core",
    "annotated_types",
    "typing_extensions",
    "typing_inspection",
}


@pytest.mark.long
def test_nothing_but_pydantic_and_the_standard_library_is_imported() -> None:
    code = IMPORT_ALL.format(names=SHARED)
    run = subprocess.run(
        [sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{code}"],
        capture_output=True,
        text=True,
        check=True,
    )
    imported = set(ast.literal_eval(run.stdout))
    bare = subprocess.run(
        [sys.executable, "-I", "-c", IMPORT_ALL.format(names=["pydantic"])],
        capture_output=True,
        text=True,
        check=True,
    )
    known = set(ast.literal_eval(bare.stdout)) | PYDANTIC | set(sys.stdlib_module_names)
    assert imported - known == {"VenAgent"}
