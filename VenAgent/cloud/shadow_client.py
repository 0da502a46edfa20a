"""The device's end of the AWS IoT Device Shadow: what to send, and what an answer means.

It asks for the document at each connection, reports, and hands out what is desired, each wish
once. A section of the desired state that was dealt with is cleared together with the next report,
and only if no one has changed the shadow since (`version`): a newer wish is never cleared unread.
It has no connection and no clock of its own; times are monotonic seconds, for a clock that is set
back must not put off reports.
"""

from __future__ import annotations

import logging
from collections import Counter, OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from math import inf
from typing import Any

from VenAgent.cloud.outbox import OutboxMessage, OutboxRank
from VenAgent.contract.json_codec import decode_json, encode_json
from VenAgent.contract.message_refused import MessageRefused
from VenAgent.contract.reasons import ReasonCode
from VenAgent.contract.shadow_document import (
    LEAST_REPORTED_BYTES,
    NAMED_BUDGET,
    ShadowDocumentSection,
    ShadowDocumentWish,
    is_circuit_shadow_document,
    read_shadow_document,
    shadow_document_budget,
    shadow_document_refusals,
    shadow_document_update,
    split_shadow_document,
)
from VenAgent.contract.topics import Topics

_log = logging.getLogger(__name__)

ANSWER_SEC = 10.0
"""A `get` without an answer is asked again, later each time."""
PAUSE_SEC = 60.0
"""Reports wait that long after the service said that they are too many, or that it failed."""
TOKENS_KEPT = 64
REASON_SHOWN = 200
REFUSAL_REPORTED_SEC = 86_400.0
"""So long a refused wish is reported, where nothing better is desired in its place."""
NAMED_AT_ONCE = 8
"""Named shadows in one report: AWS takes 10 requests in flight. The others follow in turn."""
CONFLICT, TOO_LARGE, NOT_FOUND, TOO_MANY, SERVICE_FAILED = 409, 413, 404, 429, 500


@dataclass(frozen=True)
class ShadowClientResponse:
    """What a message from the service calls for."""

    messages: tuple[OutboxMessage, ...] = ()
    sections: tuple[ShadowDocumentSection, ...] = ()
    """To carry out; then `done`."""
    report: bool = False
    """The shadow is to be reported now, not with the next interval."""


@dataclass
class _PendingGet:
    """A `get` that waits for its answer."""

    at: float
    wait_sec: float = ANSWER_SEC


@dataclass(frozen=True)
class _Refused:
    """A wish that was refused, reported until `until` (monotonic seconds)."""

    wish: ShadowDocumentWish
    reason: str
    until: float


@dataclass
class _PendingUpdate:
    """An update of ours that waits for its answer: the marks of the sections that it clears."""

    cleared: Mapping[str, str] = field(default_factory=dict)


class ShadowClient:
    """The shadow of one thing, which knows it by its topics."""

    def __init__(self, topics: Topics, boot_id: str, circuit_ids: Iterable[str]) -> None:
        self._topics = topics
        self.prefix = topics.shadow
        self._boot_id = boot_id[:16]
        self.budget = shadow_document_budget(circuit_ids)
        self._named_budget = NAMED_BUDGET
        self.rejected: Counter[str] = Counter()
        """Updates and gets that the service refused, by its code."""
        self._troubles: dict[str, str] = {}
        self._version = 0
        self._acted_version = 0
        self._count = 0
        self._pending_updates: OrderedDict[str, _PendingUpdate] = OrderedDict()
        self._pending_get: _PendingGet | None = _PendingGet(-inf)
        self._marks: dict[str, str] = {}
        """By section: the last wish taken on."""
        self._in_progress: Counter[str] = Counter()
        """Marks of the wishes that are being carried out, and how often."""
        self._taken: OrderedDict[str, None] = OrderedDict()
        """Marks of the last wishes that were taken on."""
        self._to_clear: dict[str, str] = {}
        self._refused: list[_Refused] = []
        self._named: list[str] = []
        self._turn = 0
        self._not_before = -inf
        self._pause_sec = PAUSE_SEC

    def reconfigure(self, circuit_ids: Iterable[str]) -> None:
        """Another panel: its circuits decide how much may be reported in one document."""
        self.budget = shadow_document_budget(circuit_ids)

    @property
    def trouble(self) -> str | None:
        """What a person should see to; None when updates are accepted."""
        return "; ".join(self._troubles.values()) or None

    @property
    def topics(self) -> tuple[str, ...]:
        """What to subscribe to."""
        return self._topics.shadow_heard

    # ---- what we send --------------------------------------------------------------------

    def connected(self, now: float) -> list[OutboxMessage]:
        """A connection was made: ask what is desired now.

        Until the answer, deltas count for nothing: the broker may have kept them for us while
        the wish was withdrawn.
        """
        self._troubles.clear()
        self._pending_get = _PendingGet(now)
        return [self._get()]

    def report(self, reported: Mapping[str, Any], now: float) -> list[OutboxMessage]:
        """The updates that report this state, and clear what was dealt with."""
        messages = self._repeat_get(now)
        if now < self._not_before:
            return messages
        self._refused = [refused for refused in self._refused if now < refused.until]
        refusals = shadow_document_refusals((each.wish.item, each.reason) for each in self._refused)
        state = {**reported, "refused": refusals}
        totals, named = split_shadow_document(state, self.budget, self._named_budget)
        messages.append(self._update(totals))
        names = list(named)
        for name in self._in_turn(names):
            token = self._token(_PendingUpdate())
            body = encode_json(shadow_document_update(named[name], token=token))
            messages.append(
                OutboxMessage(self._topics.named_shadow_update(name), body, OutboxRank.STATE)
            )
        for name in self._named:
            if name not in named:  # the panel has become smaller
                nothing = {"reported": None, "desired": None}
                body = encode_json({"state": nothing, "clientToken": self._token(_PendingUpdate())})
                messages.append(
                    OutboxMessage(self._topics.named_shadow_update(name), body, OutboxRank.STATE)
                )
        self._named = names
        return messages

    def _update(self, reported: Mapping[str, Any]) -> OutboxMessage:
        cleared = dict(self._to_clear)
        document = shadow_document_update(
            reported,
            cleared=cleared,
            version=self._version if cleared else None,
            token=self._token(_PendingUpdate(cleared)),
        )
        return OutboxMessage(self._topics.shadow_update, encode_json(document), OutboxRank.STATE)

    def _in_turn(self, names: list[str]) -> list[str]:
        if len(names) <= NAMED_AT_ONCE:
            return names
        chosen = [names[(self._turn + n) % len(names)] for n in range(NAMED_AT_ONCE)]
        self._turn = (self._turn + NAMED_AT_ONCE) % len(names)
        return chosen

    def _get(self) -> OutboxMessage:
        body = encode_json({"clientToken": self._token(_PendingUpdate())})
        return OutboxMessage(self._topics.shadow_get, body, OutboxRank.STATE)

    def _repeat_get(self, now: float) -> list[OutboxMessage]:
        pending = self._pending_get
        if pending is None or now < pending.at + pending.wait_sec:
            return []
        self._pending_get = _PendingGet(now, min(pending.wait_sec * 2, 600.0))
        return [self._get()]

    def _token(self, ours: _PendingUpdate) -> str:
        """A client token, by which the answer to this request is known."""
        self._count += 1
        token = f"{self._boot_id}-{self._count}"
        self._pending_updates[token] = ours
        while len(self._pending_updates) > TOKENS_KEPT:
            self._pending_updates.popitem(last=False)
        return token

    # ---- what the service answers ---------------------------------------------------------

    def receive(self, topic: str, payload: bytes, now: float) -> ShadowClientResponse:
        """A message of the service. Raises MessageRefused for what is none."""
        body = decode_json(payload)
        suffix = topic.removeprefix(f"{self.prefix}/")
        if suffix == "update/delta":
            return self._delta(body, now)
        if suffix == "get/accepted":
            return self._document(body)
        if suffix == "update/accepted":
            return self._accepted(body, now)
        if suffix.endswith("/rejected"):
            return self._rejected(suffix, body, now)
        raise MessageRefused(ReasonCode.BAD_TOPIC, f"nothing is expected on {topic}")

    def _delta(self, body: Mapping[str, Any], now: float) -> ShadowClientResponse:
        version = _version(body)
        if self._pending_get is not None:
            return self._get_if_overdue(now)  # the document decides
        if version <= self._acted_version:
            return ShadowClientResponse()  # an older one that was overtaken, or the same again
        self._acted_version = version
        self._version = max(self._version, version)
        return self._new_sections(_object(body, "state"), _metadata(body), version)

    def _document(self, body: Mapping[str, Any]) -> ShadowClientResponse:
        """The whole shadow, as asked for: what counts is what is desired in it."""
        if not self._is_our_request(body):
            return ShadowClientResponse()  # another client of the same thing asked
        self._pending_get = None
        self._troubles.pop("get/rejected", None)
        self._version = self._acted_version = _version(body)
        state = _object(body, "state")
        reported = state.get("reported")
        shadows = reported.get("circuit_shadows") if isinstance(reported, dict) else None
        if isinstance(shadows, list) and not self._named:
            # Of an earlier process: those that we do not use are deleted with the next report.
            # What another client put there must not lead us to other topics.
            self._named = [name for name in shadows if is_circuit_shadow_document(name)][
                :TOKENS_KEPT
            ]
        desired = state.get("desired")
        if not isinstance(desired, dict):
            self._to_clear.clear()
            return ShadowClientResponse(report=True)
        for name in [name for name in self._to_clear if name not in desired]:
            del self._to_clear[name]
        metadata = _metadata(body).get("desired")
        received = self._new_sections(
            desired, metadata if isinstance(metadata, dict) else {}, self._version
        )
        return ShadowClientResponse(sections=received.sections, report=not received.sections)

    def _new_sections(
        self, desired: Mapping[str, Any], metadata: Mapping[str, Any], version: int
    ) -> ShadowClientResponse:
        """The wishes that are new. One that was dealt with is cleared, not done again."""
        new, again = [], False
        for section in read_shadow_document(desired, metadata, version):
            if self._marks.get(section.name) != section.mark:
                self._marks[section.name] = section.mark
                self._in_progress[section.mark] += 1
                self._to_clear.pop(section.name, None)
                new.append(self._told_apart(section, version))
            elif section.mark not in self._in_progress and section.name not in self._to_clear:
                self._to_clear[section.name] = section.mark
                again = True
        return ShadowClientResponse(sections=tuple(new), report=again)

    def _told_apart(self, section: ShadowDocumentSection, version: int) -> ShadowDocumentSection:
        """The service's times are whole seconds: what is desired, withdrawn and desired again
        within one looks the same, but for the document's version."""
        again = section.mark in self._taken
        self._taken[section.mark] = None
        while len(self._taken) > TOKENS_KEPT:
            self._taken.popitem(last=False)
        if not again:
            return section
        return replace(section, correlation_id=f"{section.correlation_id}-{version}")

    def done(
        self,
        section: ShadowDocumentSection,
        refusals: Iterable[tuple[ShadowDocumentWish, str]],
        now: float,
    ) -> None:
        """It was carried out, but for the refused ones: the next report says so and clears it.

        What was refused before of this section, and of a circuit that it switched, is over.
        """
        self._in_progress[section.mark] -= 1
        self._in_progress += Counter()  # without those that are done
        if self._marks.get(section.name) == section.mark:  # no newer wish has come meanwhile
            refused = [_Refused(*each, now + REFUSAL_REPORTED_SEC) for each in refusals]
            not_now = [each.wish for each in refused]
            obeyed = {wish.fields.get("loadId") for wish in section.wishes if wish not in not_now}
            self._refused = [
                each
                for each in self._refused
                if each.wish.section != section.name
                and (each.wish.fields.get("loadId") or "") not in obeyed
            ] + refused
            self._to_clear[section.name] = section.mark

    def _get_if_overdue(self, now: float) -> ShadowClientResponse:
        """The service is there: an answer that did not come is asked for again."""
        if self._pending_get is None or now < self._pending_get.at + ANSWER_SEC:
            return ShadowClientResponse()
        self._pending_get = _PendingGet(now)
        return ShadowClientResponse(messages=(self._get(),))

    def _accepted(self, body: Mapping[str, Any], now: float) -> ShadowClientResponse:
        began_anew = _version(body) < self._version
        self._version = max(self._version, _version(body))
        ours = self._pending_updates.pop(str(body.get("clientToken")), None)
        if ours is None:
            return ShadowClientResponse()  # the operator's own update
        for name, mark in ours.cleared.items():
            # No one had changed it: a wish that comes from now on is a new one.
            self._acted_version = max(self._acted_version, _version(body))
            if self._to_clear.get(name) == mark:
                del self._to_clear[name], self._marks[name]
        if self._troubles.pop("update/rejected", None) is not None:
            _log.info("shadow: updates are accepted again")
        self._pause_sec = PAUSE_SEC
        if began_anew:  # it was deleted: its versions mean nothing to us before we know it again
            self._pending_get = _PendingGet(now)
            return ShadowClientResponse(messages=(self._get(),))
        return self._get_if_overdue(now)

    def _rejected(self, suffix: str, body: Mapping[str, Any], now: float) -> ShadowClientResponse:
        """The service tells an error only here."""
        if self._pending_updates.pop(str(body.get("clientToken")), None) is None:
            return ShadowClientResponse()
        code = body.get("code")
        is_get = suffix == "get/rejected"
        if is_get:
            self._pending_get = None
        if is_get and code == NOT_FOUND:
            self._version = self._acted_version = 0
            return ShadowClientResponse(report=True)  # there is none yet: the report makes it
        self.rejected[str(code)] += 1
        if code == CONFLICT:
            # Someone changed it while we cleared: look what is desired now. No one's fault.
            self._pending_get = _PendingGet(now)
            return ShadowClientResponse(messages=(self._get(),))
        self._set_trouble(suffix, code, body)
        if code == TOO_LARGE:
            return ShadowClientResponse(report=self._shrink(named=suffix.startswith("name/")))
        if code in (TOO_MANY, SERVICE_FAILED):
            self._not_before = now + self._pause_sec
            self._pause_sec = min(self._pause_sec * 2, 3600.0)
        return ShadowClientResponse()

    def _shrink(self, *, named: bool) -> bool:
        """Report in smaller documents from now on; whether that is still possible."""
        before = self._named_budget if named else self.budget
        smaller = max(before * 3 // 4, LEAST_REPORTED_BYTES)
        if named:
            self._named_budget = smaller
        else:
            self.budget = smaller
        return smaller < before

    def _set_trouble(self, suffix: str, code: Any, body: Mapping[str, Any]) -> None:
        """Logged once; it stays in the agent's health until an update is accepted."""
        message = str(body.get("message", ""))[:REASON_SHOWN]
        trouble = f"the shadow's {suffix.removesuffix('/rejected')} was rejected: {code} {message}"
        if trouble != self._troubles.get(suffix):
            _log.warning("%s", trouble)
        self._troubles[suffix] = trouble

    def _is_our_request(self, body: Mapping[str, Any]) -> bool:
        return self._pending_updates.pop(str(body.get("clientToken")), None) is not None


def _version(body: Mapping[str, Any]) -> int:
    version = body.get("version")
    if isinstance(version, bool) or not isinstance(version, int) or version < 0:
        raise MessageRefused(ReasonCode.BAD_FIELD, "a shadow message without a version")
    return version


def _object(body: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = body.get(name)
    if not isinstance(value, dict):
        raise MessageRefused(ReasonCode.BAD_FIELD, f"a shadow message whose {name} is no object")
    return value


def _metadata(body: Mapping[str, Any]) -> Mapping[str, Any]:
    value = body.get("metadata")
    return value if isinstance(value, dict) else {}
