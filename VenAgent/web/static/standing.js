// How it stands: a sentence, a word for it, and what else a person should know.

import { clock, day, isRead, kw, limitOf, span } from './format.js';

const REFUSED_SHOWN_SEC = 900;

const sentence = (text) => {
  const whole = `${text.charAt(0).toUpperCase()}${text.slice(1)}`.trim();
  return /[.!?…]$/.test(whole) ? whole : `${whole}.`;
};

const moment = (ts, now) => `${clock(ts)}${day(ts, now) === 'today' ? '' : ` ${day(ts, now)}`}`;
const until = (ts, now) => (isRead(ts) ? `until ${moment(ts, now)}` : '');

function ofLimit(event, now) {
  const test = event.test ? 'test: ' : '';
  const end = isRead(event.end_ts) ? until(event.end_ts, now) : 'until further notice';
  const why = event.failsafe ? ': the failsafe limit, as nothing is heard of its sender' : '';
  return { kind: 'event', word: event.failsafe ? 'Failsafe' : 'Limited', text: sentence(`${test}keeping the site at or under ${limitOf(event)} ${end}${why}`) };
}

function ofEvent(event, now) {
  if (event.kind === 'limit' && event.state !== 'restoring') return ofLimit(event, now);
  const left = `by ${kw(event.requested_kw)} ${until(event.end_ts, now)}`;
  if (event.state === 'restoring') {
    const far = event.restored ? ` ${event.restored.restored} of ${event.restored.circuits} are back.` : '';
    return { kind: 'event', word: 'Restoring', text: `The event is over: the circuits go back one after the other.${far}` };
  }
  const more = event.state === 'active' ? '' : ': circuits are being switched off or limited';
  const test = event.test ? 'test: ' : '';
  const part = event.interval ? `, interval ${event.interval.number} of ${event.interval.of}` : '';
  if (event.kind === 'load_up') {
    return { kind: 'event', word: 'More load', text: sentence(`${test}drawing ${kw(event.requested_kw)} more ${until(event.end_ts, now)}`) };
  }
  return { kind: 'event', word: 'Reducing', text: sentence(`${test}reducing ${left}${part}${more}`) };
}

function ofMeter(status) {
  const age = status.meter_age_sec;
  if (status.quality === 'partial') {
    return { kind: 'event', word: 'Partly read', text: 'Some circuits or points are not read: what is not read is not shed.' };
  }
  const since = isRead(age) ? `was not read for ${span(age)}: the figures are old` : 'has not been read yet';
  return { kind: 'bad', word: 'Meter stale', text: sentence(`The meter ${since}, and nothing can be shed by them`) };
}

function ofBroker(status) {
  const cloud = status.cloud;
  const since = isRead(cloud.since_ts) ? ` for ${span(status.ts - cloud.since_ts)}` : '';
  return { kind: 'bad', word: 'No broker', text: `No connection to the broker${since}: no event arrives from outside.` };
}

function ofOptOut(status) {
  const out = status.opted_out;
  const why = out.reason ? ` (${out.reason})` : '';
  const end = isRead(out.until_ts) ? until(out.until_ts, status.ts) : 'until someone opts in again';
  return { kind: 'event', word: 'Opted out', text: sentence(`Opted out ${end}${why}: events are refused`), optIn: true };
}

const asked = (event) => (event.kind === 'limit' ? `at most ${limitOf(event)}` : `${kw(event.requested_kw)} ${event.kind === 'load_up' ? 'more' : 'less'}`);

// Those that have begun and that another one, which is stricter, rules beside.
function ofJoined(status) {
  const joined = status.scheduled.filter((each) => each.state === 'active');
  if (!joined.length) return null;
  const each = joined.map((event) => `${asked(event)} ${until(event.end_ts, status.ts) || 'until further notice'}`);
  return { kind: 'event', word: 'Also', text: sentence(`Also in force: ${each.join('; ')}`) };
}

function ofScheduled(status) {
  const [next, ...more] = status.scheduled.filter((each) => each.state !== 'active');
  if (!next) return null;
  const count = more.length + status.scheduled_count - status.scheduled.length; // it lists the next ones only
  const rest = count ? `, and ${count} more` : '';
  return { kind: 'event', word: 'Scheduled', text: sentence(`${asked(next)} from ${moment(next.start_ts, status.ts)} ${until(next.end_ts, status.ts)}${rest}`) };
}

// The latest event, when it was not carried out and that is news.
function ofRefused(events, now) {
  const latest = events[0];
  if (!latest || latest.state !== 'rejected' || !isRead(latest.ended_ts) || now - latest.ended_ts > REFUSED_SHOWN_SEC) return null;
  return { kind: 'event', word: 'Refused', text: sentence(`An event was not carried out at ${clock(latest.ended_ts)}${latest.reason ? `: ${latest.reason}` : ''}`) };
}

// An alert that lasts: a critical one always, another where nothing else is to be said.
function ofAlerts(alerts, isQuiet) {
  const grave = alerts.active.find((alert) => alert.severity === 'critical');
  const shown = grave || (isQuiet ? alerts.active[0] : null);
  return shown ? { kind: grave ? 'bad' : 'event', word: 'Attention', text: sentence(shown.message) } : null;
}

// All that is to be said, the gravest first: its sentence stands at the top, its word in the pill.
export function standing(status, events, alerts, { silentMs, lost, refusal }) {
  if (!status) return [{ kind: 'wait', word: 'Connecting…', text: sentence(refusal || 'Waiting for the agent’s first word') }];
  if (lost) {
    const old = Number.isFinite(silentMs) ? `${span(silentMs / 1000)} old` : 'old';
    return [{ kind: 'bad', word: 'Disconnected', text: `${sentence(refusal || 'The agent does not answer')} These figures are ${old}; the page goes on by itself.` }];
  }
  const found = [
    status.quality === 'missing' || status.quality === 'stale' ? ofMeter(status) : null,
    status.event ? ofEvent(status.event, status.ts) : null,
    status.cloud.online ? null : ofBroker(status),
    status.opted_out ? ofOptOut(status) : null,
    status.quality === 'partial' ? ofMeter(status) : null,
    ofRefused(events, status.ts),
    ofJoined(status),
    ofScheduled(status),
  ].filter(Boolean);
  if (status.health === 'BAD' && !found.some((each) => each.kind === 'bad')) {
    found.unshift({ kind: 'bad', word: 'Attention', text: sentence(status.health_context) });
  }
  const alert = found.some((each) => each.kind === 'bad') ? null : ofAlerts(alerts, !found.length);
  if (alert) found[status.event ? 'push' : 'unshift'](alert);
  return found.length ? found : [{ kind: 'good', word: 'All is well', text: 'All is well.' }];
}
