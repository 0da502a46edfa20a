// What a person opened: one event with its curve, circuits and acks, or a circuit's curve.

import { plotLook } from './curve.js';
import { at, clock, day, isRead, kw, limitOf, make, number, put, span } from './format.js';
import { read, Refused } from './live.js';
import { eventOrigin, eventTitle, inItsSense, stateWord } from './now.js';

const ACKS = {
  accepted: 'Accepted', scheduled: 'Scheduled', measured: 'Measured', adjusted: 'Adjusted', rebound: 'Rebound',
  completed: 'Completed', opted_out: 'Opted out', success: 'Done', superseded: 'Superseded', failed: 'Failed', rejected: 'Refused',
};
const SERIES = [['power_kw', 'Power', 'line'], ['baseline_kw', 'Baseline', 'baseline'], ['target_kw', 'Target', 'target']];

let plot = null;
let count = 0; // of what was opened: an answer that comes late is not shown in another's place

function open(title, text) {
  count += 1;
  if (plot) plot.destroy();
  plot = null;
  put(at('open-title'), title);
  put(at('open-text'), text);
  at('open-figures').replaceChildren();
  at('open-plot').replaceChildren(make('p', { class: 'quiet' }, 'Reading…'));
  at('open-more').replaceChildren();
  if (!at('open').open) at('open').showModal();
  return count;
}

const table = (name, head, rows) => make('table', { 'aria-label': name },
  make('thead', {}, make('tr', {}, ...head.map((text) => make('th', { scope: 'col' }, text)))),
  make('tbody', {}, ...rows.map((cells) => make('tr', {}, ...cells.map((cell) => make('td', {}, cell))))));

// Columns of the agent as a curve; a gap where nothing was read for longer than three points.
function draw(curve, words) {
  const node = at('open-plot');
  const names = SERIES.filter(([name]) => curve[name]);
  const rows = [[], ...names.map(() => [])];
  let before = null;
  curve.ts.forEach((ts, index) => {
    if (before !== null && ts - before > 3 * curve.point_sec) {
      rows[0].push(before + 1);
      for (const row of rows.slice(1)) row.push(null);
    }
    rows[0].push(ts);
    names.forEach(([name], place) => rows[place + 1].push(curve[name][index]));
    before = ts;
  });
  const powers = curve.power_kw.filter(isRead);
  if (powers.length < 2) {
    node.replaceChildren(make('p', { class: 'quiet' }, 'No curve is kept of that time.'));
    return;
  }
  node.replaceChildren();
  if (names.length > 1) {
    at('open-more').prepend(make('p', { class: 'legend', 'aria-hidden': 'true' },
      ...names.map(([, name, key]) => make('span', {}, make('i', { class: `key ${key}` }), name))));
  }
  node.setAttribute('aria-label', `${words}: lowest ${kw(Math.min(...powers))}, highest ${kw(Math.max(...powers))}`);
  const { colour, axis } = plotLook();
  const looks = [
    { stroke: colour('power'), fill: colour('power-fill'), width: 2 },
    { stroke: colour('baseline'), width: 1.5, dash: [6, 4] },
    { stroke: colour('event'), width: 2, dash: [6, 4] },
  ];
  plot = new uPlot({
    width: node.clientWidth,
    height: node.clientHeight,
    padding: [8, 20, 0, 0],
    legend: { show: false },
    cursor: { y: false, drag: { x: false, y: false } },
    scales: { y: { range: (_plot, low, high) => [Math.min(0, low || 0), Math.max(0.1, high || 0) * 1.12] } },
    axes: [
      { ...axis, grid: { show: false }, size: 28, space: 70, values: (_plot, ticks) => ticks.map(clock) },
      { ...axis, size: 48, values: (_plot, ticks) => ticks.map((value) => `${value}`) },
    ],
    series: [{}, ...names.map((_, place) => ({ ...looks[place], points: { show: false } }))],
  }, rows, node);
}

async function reading(number_, work) {
  try {
    await work(() => number_ === count && at('open').open);
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    if (number_ === count) at('open-plot').replaceChildren(make('p', { class: 'quiet' }, error.message));
  }
}

const when = (event, now) => `${clock(event.start_ts)} ${day(event.start_ts, now)}`
  + (isRead(event.end_ts) ? ` – ${clock(event.end_ts)} (${span(event.end_ts - event.start_ts)})` : ', until further notice');

function circuitRow(circuit) {
  const result = circuit.failure ? `failed: ${circuit.failure}`
    : circuit.manual_override ? 'switched by hand'
    : circuit.responded === false ? 'did not respond'
    : circuit.restored ? 'back' : 'shed';
  return [circuit.name, `${number(circuit.original_kw)} → ${kw(circuit.final_kw)}`, result];
}

function ackRow(ack, now) {
  const shed = isRead(ack.actual_shed_kw) ? `${kw(ack.actual_shed_kw)}${ack.shed_basis ? `, ${ack.shed_basis}` : ''}` : '';
  return [`${clock(ack.ts)} ${day(ack.ts, now)}`, `${ACKS[ack.status] || ack.status} (${ack.op})`, [shed, ack.reason].filter(Boolean).join('; ') || '–'];
}

// `hour`: the curve of the last hour, which is finer than what is kept for longer.
export async function openEvent(event, now, hour) {
  const number_ = open(eventTitle(event), `${eventOrigin(event)} · ${when(event, now)} · ${stateWord(event.state)}`);
  const summary = event.summary || {};
  const got = isRead(summary.achieved_shed_kw) ? summary.achieved_shed_kw : event.measured_kw;
  const [highest, over] = isRead(event.import_kw) ? [summary.highest_mean_kw, summary.over_limit_sec] : [summary.highest_export_kw, summary.over_export_sec];
  const figures = event.kind === 'limit'
    ? [['Allowed', limitOf(event)], ['Highest mean', kw(highest)], ['Over the limit', isRead(over) ? span(over) : '–'], ['Held back', kw(event.predicted_kw)],
      ...(summary.unseen_sec >= 60 ? [['Not seen by the meter', span(summary.unseen_sec)]] : [])]
    : [['Requested', kw(event.requested_kw)], ['Predicted', kw(inItsSense(event, event.predicted_kw))], ['Measured', kw(inItsSense(event, got))],
      ['Delivered', isRead(summary.delivered_kwh) ? `${number(inItsSense(event, summary.delivered_kwh), 2)} kWh` : '–']];
  at('open-figures').replaceChildren(...figures.map(([name, value]) => make('div', {}, make('dt', {}, name), make('dd', {}, value))));
  await reading(number_, async (still) => {
    const id = encodeURIComponent(event.event_id);
    const full = await read(`api/event?id=${id}`);
    if (!still()) return;
    const why = full.reason ? [make('p', {}, make('strong', {}, 'Why: '), full.reason)] : [];
    at('open-more').replaceChildren(
      ...why,
      full.circuits.length ? table('Circuits of the event', ['Circuit', 'Power', 'Result'], full.circuits.map(circuitRow)) : make('p', { class: 'quiet' }, 'No circuit was shed.'),
      full.acks.length ? table('What was reported', ['When', 'Report', 'Shed, reason'], full.acks.map((ack) => ackRow(ack, now))) : make('p', { class: 'quiet' }, 'No report of it is kept.'),
      make('p', { class: 'quiet id' }, `Event id: ${full.event_id}`),
    );
    const words = `Power around the event`;
    if (event.start_ts > now - 3300) draw(hour(event.start_ts - 300), words);
    else {
      const curve = await read(`api/event/power?id=${id}`);
      if (still()) draw(curve, words);
    }
  });
}

export async function openCircuit(circuit) {
  const path = `api/circuits/${circuit.id}/power`;
  const number_ = open(circuit.name, `${circuit.type}, ${number(circuit.breaker_amps, 0)} A, priority ${circuit.priority}: the last 24 hours`);
  at('open-more').replaceChildren(make('p', {}, make('a', { href: `${path}.csv?hours=336`, download: '' }, 'Two weeks as a table (CSV)')));
  await reading(number_, async (still) => {
    const curve = await read(`${path}?hours=24`);
    if (!still()) return;
    const powers = curve.power_kw.filter(isRead);
    const kwh = powers.reduce((sum, value) => sum + value / 60, 0);
    if (powers.length) {
      at('open-figures').replaceChildren(...[['Now', kw(circuit.power_kw, 2)], ['Highest', kw(Math.max(...powers), 2)], ['Energy', `${number(kwh)} kWh`]]
        .map(([name, value]) => make('div', {}, make('dt', {}, name), make('dd', {}, value))));
    }
    draw(curve, `Power of ${circuit.name}`);
  });
}
