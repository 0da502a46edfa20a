"""`doctor`, and the archive of `diagnostics`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

from ops.cli.command_options import Json
from ops.doctor import diagnostics_archive as archive
from ops.doctor import examination as examiner
from ops.doctor.doctor_check import DoctorCheck
from ops.host import terminal as show
from ops.host.paths import Paths
from ops.volttron.meant_site import meant_site_settings

_MARKS = {True: ("✓ ", "bold green"), False: ("✗ ", "bold red"), None: ("· ", "dim")}


def doctor_command(json: Json = False) -> None:
    """Look at everything a working VEN needs; say what is wrong and what to do.

    Platform, agents, devices, actuator, broker and its TLS, certificate, clock, shadow, backend,
    disk. Nothing is changed. Exits with 1 if something is wrong.
    """
    paths = Paths.from_environment()
    checks = []
    with _working("looking …") as progress:
        for check in examiner.examination_of_site(paths, meant_site_settings(paths)):
            checks.append(check)
            if not json:
                progress.console.print(_shown(check), soft_wrap=True)
    wrong = [check for check in checks if check.ok is False]
    if json:
        show.print_json({"ok": not wrong, "checks": [check.as_json() for check in checks]})
    elif wrong:
        show.out.print(Text(f"{len(wrong)} of {len(checks)} need you", style="bold red"))
    else:
        show.out.print(Text("nothing is wrong", style="bold green"))
    raise typer.Exit(1 if wrong else 0)


def _shown(check: DoctorCheck) -> Text:
    text = Text.assemble(_MARKS[check.ok], f"{check.name}: {check.text}")
    return text.append(f"\n  → {check.remedy}", style="bold") if check.remedy else text


def _working(what: str) -> Progress:
    """A spinner and the time passed, on a terminal only."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    progress = Progress(
        *columns, console=show.out, transient=True, disable=not show.out.is_terminal
    )
    progress.add_task(what, total=None)
    return progress


def diagnostics_command(
    output: Annotated[
        Path | None, typer.Option(help="The archive; named by the time if none.")
    ] = None,
) -> None:
    """Write an archive for a person who helps, with all secrets removed.

    Versions, what the doctor finds, status, settings, the config stores of driver and agent, and
    the ends of the logs. Look through it before you send it: names and powers of your site are in
    it.
    """
    paths = Paths.from_environment()
    default = Path(f"ven-diagnostics-{time.strftime('%Y%m%d-%H%M%S')}.tar.gz")
    file = output or default
    with _working("collecting …") as progress:
        task = progress.task_ids[0]
        names = archive.write_diagnostics_archive(
            paths,
            meant_site_settings(paths),
            file,
            lambda name: progress.update(task, description=f"collecting {name}"),
        )
    show.out.print(f"{file}: {len(names)} files, secrets removed", soft_wrap=True)
