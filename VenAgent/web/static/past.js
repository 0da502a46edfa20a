// The last events and the alerts. Both have a fixed place, whose lines change: nothing moves.

import { at, clock, day, isRead, kw, make, number, put, span } from './format.js';
import { eventOrigin, eventTitle, inItsSense, stateWord } from './now.js';

const EVENTS = 6;

const KINDS = { shedding: 'runs', active: 'runs', restoring: 'runs', scheduled: 'off', completed: 'on', cancelled: 'off', rejected: 'trouble', failed: 'trouble' };

let rows = null;

// `opened` is called with the event that a person wants to see in full.
function makeRows(opened) {
  rows = Array.from({ length: EVENTS }, () => {
    const when = make('span');
    const date = make('small');
    const id = make('button', { type: 'button', class: 'open' });
    const chip = make('span', { class: 'chip' });
    const got = make('span');
    const part = make('small');
    const cells = [[when, date], [id, chip], [got, part]];
    const node = make('tr', { role: 'row' }, ...cells.map((inside) => make('td', { role: 'cell' }, ...inside)));
    const row = { node, when, date, id, chip, got, part, event: null };
    id.addEventListener('click', () => row.event && opened(row.event));
    return row;
  });
  at('events').replaceChildren(...rows.map((row) => row.node));
}

// What came of it. A limit is kept, not delivered: its highest mean, or what is held back for it now.
function resultWord(event, summary) {
  if (event.kind === 'limit') {
    const highest = isRead(event.import_kw) ? summary.highest_mean_kw : summary.highest_export_kw;
    return isRead(highest) ? `up to ${kw(highest)}` : `${kw(event.predicted_kw)} less`;
  }
  const got = isRead(summary.achieved_shed_kw) ? summary.achieved_shed_kw : event.measured_kw;
  return `${number(inItsSense(event, got))} of ${kw(event.requested_kw)}`;
}

export function showEvents(events, now, opened) {
  if (!rows) makeRows(opened);
  rows.forEach((row, index) => {
    const event = events[index];
    row.event = event || null;
    row.chip.hidden = !event;
    row.id.disabled = !event;
    row.id.hidden = !event && (index > 0 || events.length > 0);
    row.node.classList.toggle('empty', !event);
    row.node.hidden = !event && index > 0;
    if (!event) {
      for (const name of ['when', 'date', 'got', 'part']) put(row[name], '');
      put(row.id, index || events.length ? '' : 'No event yet.');
      return;
    }
    const summary = event.summary || {};
    put(row.when, clock(event.start_ts));
    put(row.date, day(event.start_ts, now));
    put(row.id, eventTitle(event));
    row.id.setAttribute('aria-label', `${eventTitle(event)}, ${clock(event.start_ts)} ${day(event.start_ts, now)}: open`);
    put(row.chip, stateWord(event.state));
    row.chip.className = `chip ${KINDS[event.state] || 'off'}`;
    row.node.title = [eventOrigin(event), event.event_id, event.reason].filter(Boolean).join(': ');
    put(row.got, resultWord(event, summary));
    put(row.part, [
      isRead(summary.shed_percent) ? `${number(summary.shed_percent, 0)} %` : '',
      isRead(summary.delivered_kwh) ? `${number(inItsSense(event, summary.delivered_kwh), 2)} kWh` : '',
    ].filter(Boolean).join(' · ') || span((isRead(event.end_ts) ? event.end_ts : now) - event.start_ts));
  });
}

export function showAlerts(alerts, now) {
  const active = new Set(alerts.active.map((alert) => `${alert.code} ${alert.ts}`));
  const over = alerts.recent.filter((alert) => !active.has(`${alert.code} ${alert.ts}`));
  const lines = [...alerts.active, ...over.slice(0, 20)].map((alert, index) => {
    const runs = index < alerts.active.length;
    const kind = !runs ? 'off' : alert.severity === 'critical' ? 'trouble' : 'runs';
    const word = runs ? alert.severity : alert.severity === 'cleared' ? 'over' : 'was raised';
    const text = alert.message.replace(/^over: /, ''); // the word before it says so
    return make('li', {}, make('span', { class: `chip ${kind}` }, word), ' ', text,
      make('small', {}, `${clock(alert.ts)} ${day(alert.ts, now)}`));
  });
  at('alerts').replaceChildren(...(lines.length ? lines : [make('li', { class: 'quiet' }, 'All is well: no alert since the agent was started.')]));
  at('alerts').parentNode.classList.toggle('empty', !lines.length);
}
