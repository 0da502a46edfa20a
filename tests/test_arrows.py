"""Who may import whom (docs/architecture.md): each room of the house knows only what it needs."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from tests.support.each_case import each_case

ROOT = Path(__file__).resolve().parents[1]
OURS = ("VenAgent", "backend", "benchmarks", "ops", "simulator", "tests")
ROOMS: dict[str, set[str]] = {
    "contract": set(),
    "baseline": set(),
    "dr": {"baseline", "contract"},
    "config": {"baseline", "contract", "dr"},
    "storage": {"baseline", "contract", "dr"},
    "site": {"config", "contract", "dr", "volttron_compat"},
    "cloud": {"config", "contract", "storage"},
    "web": {"config", "contract", "version"},
    "reporting": {
        *("cloud", "config", "contract", "dr", "site", "storage"),
        *("version", "volttron_compat"),
    },
    "runtime": {
        *("cloud", "config", "contract", "dr", "reporting", "site", "storage"),
        "volttron_compat",
    },
}
"""The rooms of VenAgent, and which of its modules each may import, and does. Beside the drawing in
docs/architecture.md: the configuration builds the core's panel and policy, the journal keeps the
core's events, readings and writes are the core's values, and a damaged file is put aside in one way
(cloud → storage). The page reads what a person sends as strictly as the contract does."""
LOOSE = {"agent", "health", "ven", "version", "volttron_compat"}
"""The modules beside the rooms: `ven` wires them, `agent` is VOLTTRON's door."""
DISTRIBUTIONS = {
    "VenAgent": {"VenAgent"},
    "backend": {"backend", "VenAgent.baseline", "VenAgent.contract"},
    "simulator": {"simulator"},
    "ops": {
        *("ops", "VenAgent.baseline", "VenAgent.config", "VenAgent.contract"),
        # An operator's client reaches the broker the way the agent does.
        "VenAgent.cloud.tls",
    },
}
WITHOUT_CIRCLES = ("VenAgent", "backend", "benchmarks", "ops", "simulator")
PURE = ("baseline", "contract", "dr")
NEITHER_CLOCK_NOR_WORLD = {
    *("volttron", "gevent", "paho", "boto3", "threading", "asyncio", "socket", "ssl"),
    *("sqlite3", "os", "pathlib", "subprocess", "time", "random", "logging"),
}
ONLY_IN = {
    "volttron": {"VenAgent/volttron_compat.py", "ops/volttron/rpc_call.py"},
    "paho": {"VenAgent/cloud", "backend", "ops/clients/mqtt_client.py"},
    "boto3": {"VenAgent/cloud", "backend", "ops/provision/aws_registry.py"},
    "threading": {"VenAgent/cloud", "backend", "ops"},
    "gevent": {"VenAgent", "ops/volttron/rpc_call.py"},
}


def imports(folder: str) -> Iterator[tuple[str, str]]:
    """(file, what it imports) of every module below a folder, wherever in the file."""
    for file in sorted((ROOT / folder).rglob("*.py")):
        yield from ((file.relative_to(ROOT).as_posix(), module) for module in imported_by(file))


_STATEMENT = re.compile(
    r"^[ \t]*(from[ \t]+\S+[ \t]+import[ \t]+(?:\([^)]*\)|[^\n]+)|import[ \t]+[^\n]+)", re.MULTILINE
)


@cache
def imported_by(file: Path) -> tuple[str, ...]:
    """By its import statements alone: to parse whole files takes ten times as long."""
    found: list[str] = []
    for statement in _STATEMENT.findall(file.read_text()):
        try:
            (node,) = ast.parse(statement).body
        except SyntaxError:
            continue  # a sentence of a text that begins so
        if isinstance(node, ast.Import):
            found += [each.name for each in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: name the whole module"
            # `from VenAgent import web` imports VenAgent.web
            found += [node.module or "", *(f"{node.module}.{each.name}" for each in node.names)]
    return tuple(found)


def is_below(module: str, package: str) -> bool:
    return f"{module}.".startswith(f"{package}.")


def test_the_rooms_are_all_there_is() -> None:
    packages = {path.parent.name for path in (ROOT / "VenAgent").glob("*/__init__.py")}
    modules = {path.stem for path in (ROOT / "VenAgent").glob("*.py")} - {"__init__"}
    assert packages == set(ROOMS)
    assert modules == LOOSE


@each_case("room", ROOMS)
def test_a_room_knows_only_its_neighbours(room: str) -> None:
    neighbours = {
        module.split(".")[1]: f"{file}: {module}"
        for file, module in imports(f"VenAgent/{room}")
        if is_below(module, "VenAgent") and module != "VenAgent"
    }
    neighbours.pop(room, None)
    strangers = [where for name, where in neighbours.items() if name not in ROOMS[room]]
    assert strangers == []
    assert ROOMS[room] - set(neighbours) == set(), "an arrow that is drawn here does not exist"


@each_case("distribution", DISTRIBUTIONS)
def test_a_distribution_stands_by_itself(distribution: str) -> None:
    strangers = [
        f"{file}: {module}"
        for file, module in imports(distribution)
        if module.split(".")[0] in OURS
        and not any(is_below(module, each) for each in DISTRIBUTIONS[distribution])
    ]
    assert strangers == []


def test_dispatch_and_ingest_do_not_know_each_other() -> None:
    found = [
        f"{file}: {module}"
        for one, other in (("dispatch", "ingest"), ("ingest", "dispatch"))
        for file, module in imports(f"backend/{one}")
        if is_below(module, f"backend.{other}")
    ]
    assert found == []


def test_alerts_look_at_the_store_and_know_neither_who_fills_it_nor_who_asks() -> None:
    found = {
        module.split(".")[1]
        for _, module in imports("backend/alerts")
        if is_below(module, "backend") and module != "backend"
    }
    assert found == {"alerts", "config", "process", "store"}


@each_case("room", PURE)
def test_the_core_and_the_contract_have_no_clock_and_no_world(room: str) -> None:
    found = [
        f"{file}: {module}"
        for file, module in imports(f"VenAgent/{room}")
        if module.split(".")[0] in NEITHER_CLOCK_NOR_WORLD
    ]
    assert found == []


@each_case("library", ONLY_IN)
def test_a_library_is_met_in_one_place(library: str) -> None:
    found = {
        file for folder in DISTRIBUTIONS for file, m in imports(folder) if is_below(m, library)
    }
    places = ONLY_IN[library]
    strangers = {f for f in found if not any(f == p or f.startswith(f"{p}/") for p in places)}
    assert found
    assert strangers == set()


@each_case("folder", WITHOUT_CIRCLES)
def test_no_module_imports_itself_by_way_of_others(folder: str) -> None:
    assert circles(arrows_within(folder)) == []


def test_a_circle_is_found_wherever_it_begins() -> None:
    arrows = {"a": {"b"}, "b": {"c"}, "c": {"d", "b"}, "d": set(), "e": {"a", "e"}}
    assert circles(arrows) == [["b", "c"], ["e"]]


def arrows_within(folder: str) -> dict[str, set[str]]:
    """Which modules below `folder` each of them imports, at its top or inside a function."""
    files = {file: _module(file) for file in sorted((ROOT / folder).rglob("*.py"))}
    modules = set(files.values())
    return {
        module: {found for found in imported_by(file) if found in modules} - {folder}
        for file, module in files.items()
    }


def _module(file: Path) -> str:
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts).removesuffix(".__init__")


def circles(arrows: dict[str, set[str]]) -> list[list[str]]:
    """The sets of modules that reach each other, and those that import themselves, sorted."""
    reached = {module: set(found) for module, found in arrows.items()}
    grown = True
    while grown:
        grown = False
        for found in reached.values():
            more = set().union(*(reached[each] for each in found)) - found if found else set()
            if more:
                found |= more
                grown = True
    found_circles = {
        tuple(sorted(each for each in found if module in reached[each]))
        for module, found in reached.items()
        if module in found
    }
    return [list(circle) for circle in sorted(found_circles)]


def test_nothing_imports_the_agent_and_only_the_agent_what_is_wired() -> None:
    importers = {
        (file, name)
        for file, module in imports("VenAgent")
        for name in ("agent", "ven")
        if is_below(module, f"VenAgent.{name}")
    }
    assert importers == {("VenAgent/agent.py", "ven")}
