"""alert_code_ends.yaml: every code that the agent raises has the test of its end."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import yaml

TESTS = Path(__file__).parent
SOURCES = TESTS.parent / "VenAgent"
ENDS: dict[str, dict[str, list[str]]] = yaml.safe_load((TESTS / "alert_code_ends.yaml").read_text())
RAISING = ("RaiseAlertEffect", "CredentialsFinding", "raise_alert")
OF_ALERTS = re.compile(
    rf'{"|".join(RAISING)}|alerts\.set|^[A-Z].* = "[a-z_]+\.[a-z_]+"', re.MULTILINE
)
"""What raises some, or names a code: to parse all sources takes a second."""
GIVEN = {"code", "effect.code"}
"""What hands on the code that someone else has chosen."""


def constants(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """The module's names of texts."""
    for node in tree.body:
        if not isinstance(node, ast.Assign):
            continue
        pairs = zip(
            getattr(node.targets[0], "elts", node.targets),
            getattr(node.value, "elts", [node.value]),
            strict=False,
        )
        for name, value in pairs:
            if isinstance(name, ast.Name) and isinstance(value, ast.Constant):
                yield name.id, str(value.value)


def raised_codes() -> set[str]:
    """The first argument of each call that raises an alert; AssertionError for one that cannot be
    followed to its text."""
    sources = [text for file in SOURCES.rglob("*.py") if OF_ALERTS.search(text := file.read_text())]
    trees = {source: ast.parse(source) for source in sources}
    texts = dict(pair for tree in trees.values() for pair in constants(tree) if "." in pair[1])
    codes = set()
    for source, tree in trees.items():
        if not any(name in source for name in (*RAISING, "alerts.set")):
            continue
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call):
                continue
            called = ast.unparse(node.func)
            is_set = called.endswith("alerts.set")
            if not (is_set or called.split(".")[-1] in RAISING) or not node.args:
                continue
            code = node.args[0]
            if isinstance(code, ast.Constant):
                codes.add(str(code.value))
            elif ast.unparse(code) not in GIVEN:
                assert ast.unparse(code) in texts, f"{ast.unparse(node)}: what is its code?"
                codes.add(texts[ast.unparse(code)])
    return codes


def test_every_alert_has_the_test_of_its_end() -> None:
    codes = raised_codes()
    assert len(codes) >= 20
    assert codes == set(ENDS)
    for code, files in ENDS.items():
        assert files, code
        for file, names in files.items():
            text = (TESTS / file).read_text()
            known = set(re.findall(r"^(?:async )?def (test_\w+)", text, re.MULTILINE))
            assert names, code
            assert set(names) <= known, (code, file)
