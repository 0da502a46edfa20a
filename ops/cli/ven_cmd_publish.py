"""scripts/ven_cmd_publish.py: publishes one command."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from ops.cli import script_options as options
from ops.cli.command_exchange import ack_exit_code
from ops.cli.command_options import Timeout, option_duration, option_number
from ops.clients.command_sender import ACK_WITHIN_SEC, CommandSenderDraft, send_command_to_ven
from ops.clients.mqtt_client import OperatorMqttClient
from ops.host import terminal
from VenAgent.contract.command_fields import SPELLINGS
from VenAgent.contract.json_codec import decode_json
from VenAgent.contract.message_refused import MessageRefused


def ven_cmd_publish_script(
    ven: options.ScriptVen = None,
    op: Annotated[
        str | None,
        typer.Option(help="event, shedPanel, shedLoad, restore, cancel, get, …; ping if none."),
    ] = None,
    ven_id: options.ScriptVenId = None,
    corr_id: Annotated[str | None, typer.Option(help="correlationId; made up if none.")] = None,
    shed_kw: Annotated[
        float | None, typer.Option(help="Power to shed, kW.", parser=option_number, metavar="KW")
    ] = None,
    duration: Annotated[
        float | None,
        typer.Option(
            "--duration",
            "--duration-sec",
            help="Seconds, or PT30M.",
            parser=option_duration,
            metavar="TIME",
        ),
    ] = None,
    event_id: Annotated[str | None, typer.Option(help="The event's id.")] = None,
    modification: Annotated[
        int | None, typer.Option(help="Number of a change to an event sent before.", min=0)
    ] = None,
    load_id: Annotated[
        str | None, typer.Option(help="The circuit of shedLoad and setLoad.")
    ] = None,
    what: Annotated[
        str | None, typer.Option(help="What to get: status, config, loads, shadow.")
    ] = None,
    data: Annotated[str, typer.Option(help="More fields, a JSON object.")] = "{}",
    timeout: Timeout = ACK_WITHIN_SEC,
    no_wait: Annotated[
        bool,
        typer.Option("--no-wait", help="Do not wait for the ack; it expires all the same."),
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the ack as JSON.")] = False,
    endpoint: options.Endpoint = None,
    port: options.BrokerPort = None,
    region: options.AwsRegion = None,
    ca_cert: options.CaCert = None,
    client_cert: options.ClientCert = None,
    private_key: options.PrivateKey = None,
) -> None:
    """Publish a command to a VEN and wait for its ack; 0 when that says ok, 4 when none comes."""
    target = options.script_option_target(
        ven_id=options.script_option_ven_id(ven, ven_id),
        endpoint=endpoint,
        port=port,
        region=region,
        ca_cert=ca_cert,
        client_cert=client_cert,
        private_key=private_key,
    )
    more, draft = _object(data), CommandSenderDraft(target.ven_id, timeout)
    typed: dict[str, object] = {
        "op": op,
        "ven_id": ven_id or ven,
        "correlation_id": corr_id,
        "event_id": event_id,
    }
    typed |= {"shed_kw": shed_kw, "duration_sec": duration, "modification": modification}
    _refuse_two_values({**typed, "circuit_id": load_id, "what": what}, more)
    op = op or str(more.get("op", "ping"))
    if op == "event" and shed_kw is not None:
        seconds = 3600.0 if duration is None else duration
        message = draft.event(shed_kw, seconds, event_id, corr_id, modification)
    else:
        fields = {"event_id": event_id, "shed_kw": shed_kw, "duration_sec": duration}
        fields |= {"loadId": load_id, "what": what, "modification": modification}
        message = draft.of(op, corr_id, **fields)
    message = _with_more(message, more)
    if no_wait:
        with OperatorMqttClient(target) as client:
            client.publish(target.topics.command, message, expiry_sec=timeout)
        terminal.print_json(message)
        return
    answer = send_command_to_ven(target, message, timeout)
    if json or answer.get("data"):
        terminal.print_json(answer)
    else:
        terminal.print_ack(answer)
    raise typer.Exit(ack_exit_code(answer))


def _refuse_two_values(typed: dict[str, Any], more: dict[str, Any]) -> None:
    """An option and a field of --data, however spelled, may not say two things."""
    for name, value in typed.items():
        for key in SPELLINGS[name]:
            if value is not None and key in more and more[key] != value:
                raise typer.BadParameter(
                    f"--data: {key} is {more[key]!r}, an option says {value!r}; give one of them"
                )


def _with_more(message: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    """`message`, in which a field of `more` stands in the place of the same, however spelled."""
    own = {key for keys in SPELLINGS.values() if set(keys) & set(more) for key in keys}
    return {**{key: value for key, value in message.items() if key not in own}, **more}


def _object(text: str) -> dict[str, Any]:
    """As strictly as the VEN reads it: it must not be sent as something else."""
    try:
        return decode_json(text)
    except MessageRefused as error:
        raise typer.BadParameter(f"--data: {error}") from None
