// Power, the event, the connection: everything of `status`.

import { at, countdown, clock, day, isRead, kw, limitOf, make, number, put, span, whole } from './format.js';

const STATES = {
  received: 'Received', scheduled: 'Scheduled', shedding: 'Switching off…', active: 'Running',
  restoring: 'Restoring…', completed: 'Completed', cancelled: 'Cancelled', rejected: 'Not carried out', failed: 'Not carried out',
};

const ORIGINS = { page: 'From this page', site: 'From this site', operator: 'From the operator', cloud: 'From the cloud' };

export const eventOrigin = (event) => ORIGINS[event.origin] || 'From outside';

// What an event is called: what it asks for. Its id is for those who look it up.
export function eventTitle(event) {
  const test = event.test ? 'Test: ' : '';
  if (event.kind === 'limit') return `${test}At most ${limitOf(event)}`;
  return `${test}${kw(event.requested_kw)} ${event.kind === 'load_up' ? 'more' : 'less'}`;
}

// What is less counts as positive on the wire; of an event that asks for more, more does here.
export const inItsSense = (event, value) => (event && event.kind === 'load_up' && isRead(value) ? -value : value);

export const stateWord = (state) => STATES[state] || state;

function figure(id, value) {
  const node = at(id);
  const text = number(value);
  if (node.dataset.shown === text) return;
  node.dataset.shown = text;
  node.replaceChildren(text, ...(isRead(value) ? [' ', make('small', {}, 'kW')] : []));
}

let last = null; // the latest power that was read, and when

export function showPower(status) {
  if (isRead(status.power_kw)) last = { kw: status.power_kw, ts: status.ts - (status.meter_age_sec || 0) };
  put(at('power'), number(status.power_kw));
  at('power').parentNode.classList.toggle('unread', !isRead(status.power_kw));
  figure('baseline', status.baseline_kw);
  figure('target', status.event ? status.target_kw : null);
  figure('shed', status.event ? inItsSense(status.event, status.shed_kw) : null);
  put(at('shed-word'), status.event && status.event.kind === 'load_up' ? 'More now' : 'Shed now');
  const load = status.utilization_percent;
  const bar = at('load');
  bar.style.setProperty('--part', Math.min(1, Math.max(0, (load || 0) / 100)));
  bar.classList.toggle('over', load > 80);
  bar.setAttribute('aria-valuenow', Math.round(Math.min(100, Math.max(0, load || 0))));
  put(at('load-text'), !isRead(status.power_kw) && last
    ? `Last read: ${kw(last.kw)}, ${span(status.ts - last.ts)} ago`
    : isRead(load)
    ? `${number(load, 0)} % of the panel’s ${number(status.panel_amperage, 0)} A${load > 80 ? ': above 80 %' : ''}`
    : `The panel is rated ${number(status.panel_amperage, 0)} A`);
}

// Which circuits carry it, and what stands in its way. `nameOf` knows circuits by their id.
function carried(event, nameOf) {
  const names = event.circuits.map(nameOf);
  const by = names.length > 3 ? `${names.length} circuits` : names.join(', ');
  const why = event.reason || '';
  return [by && `${event.kind === 'load_up' ? 'Drawing more' : 'Shed'}: ${by}.`, why && `${why.charAt(0).toUpperCase()}${why.slice(1)}`].filter(Boolean).join(' ');
}

// Of a limit: what may be drawn, what is, and what is held back for it. It has no target to meet.
function showFigures(event, powerKw) {
  const limit = event.kind === 'limit';
  const shown = limit
    ? [['Allowed', event.import_kw ?? event.export_kw], isRead(event.import_kw) ? ['Drawn now', powerKw] : ['Fed in now', isRead(powerKw) ? -powerKw : null], ['Held back', event.predicted_kw]]
    : [['Requested', event.requested_kw], ['Predicted', inItsSense(event, event.predicted_kw)], ['Measured', inItsSense(event, event.measured_kw)]];
  ['requested', 'predicted', 'measured'].forEach((id, place) => {
    put(at(`${id}-word`), shown[place][0]);
    figure(id, shown[place][1]);
  });
}

// Whether it takes part, and until when, if the site's own calendar says so.
function partWord(status) {
  if (status.opted_out) return 'This site has opted out.';
  const until = status.availability && status.availability.until_ts;
  return isRead(until)
    ? `This site takes part in events until ${clock(until)} ${day(until, status.ts)}: its calendar.`
    : 'This site takes part in events.';
}

export function showEvent(status, nameOf) {
  const event = status.event;
  document.body.classList.toggle('has-event', Boolean(event));
  at('idle').hidden = Boolean(event);
  at('running').hidden = !event;
  at('idle').inert = Boolean(event);
  at('running').inert = !event;
  if (event) {
    put(at('event-state'), stateWord(event.state));
    put(at('event-id'), eventOrigin(event));
    at('event-id').title = event.event_id;
    showFigures(event, status.power_kw);
    put(at('carried'), carried(event, nameOf));
    at('carried').title = at('carried').textContent;
  } else {
    const next = (status.scheduled || [])[0];
    put(at('next'), next
      ? `Next: ${eventTitle(next)} at ${clock(next.start_ts)} ${day(next.start_ts, status.ts)}, ${eventOrigin(next).toLowerCase()}`
      : 'No event is running.');
  }
  const out = status.opted_out;
  put(at('part'), partWord(status));
  put(at('opt'), out ? 'Take part again' : 'Opt out…');
}

// Every quarter of a second, between two words of the agent: time goes on.
export function showTime(event, now) {
  if (!event) return;
  const endless = event.end_ts === null && event.state !== 'restoring';
  const left = endless ? Infinity : event.end_ts - now;
  const over = event.state === 'restoring' || left <= 0;
  put(at('left'), over ? '0:00' : endless ? '∞' : countdown(left));
  at('left').title = endless ? 'Until further notice' : '';
  const part = endless ? 1 : (now - event.start_ts) / Math.max(1, event.end_ts - event.start_ts);
  at('elapsed').style.setProperty('--part', over ? 1 : Math.min(1, Math.max(0, part)));
}

function fact(id, text, warn) {
  const node = at(`fact-${id}`);
  put(node, text);
  node.title = text;
  node.classList.toggle('warn', Boolean(warn));
}

let siteName = ''; // what people call the site; empty: its id

export function nameSite(name) {
  siteName = name;
}

export function showFacts(status) {
  const cloud = status.cloud;
  const since = cloud.since_ts ? `, ${span(status.ts - cloud.since_ts)}` : '';
  fact('broker', `${cloud.online ? 'connected' : 'not reached'}${since} · ${cloud.host}:${cloud.port}`, !cloud.online);
  fact('outbox', cloud.outbox_depth === 1 ? '1 message' : `${cloud.outbox_depth} messages`, cloud.outbox_depth > 50);
  const end = cloud.certificate_expiry_ts;
  const days = isRead(end) ? (end - status.ts) / 86400 : null;
  fact('certificate', days === null ? 'none in use'
    : days < 0 ? `expired on ${whole(end)}` : `until ${whole(end)} (${Math.floor(days)} days)`, days !== null && days < 30);
  const age = status.meter_age_sec;
  fact('meter', isRead(age) ? `${span(age)} ago` : 'not yet', status.quality !== 'good');
  fact('supply', `${number(status.voltage, 0)} V, ${number(status.current_amps, 1)} A`);
  fact('battery', isRead(status.battery_soc_percent) ? `${number(status.battery_soc_percent, 0)} %` : 'none');
  const name = siteName || status.ven_id;
  put(at('site'), name);
  at('site').title = name;
  put(at('version'), status.version);
  const title = isRead(status.power_kw) ? `${kw(status.power_kw)} · ${name}` : name;
  if (document.title !== title) document.title = title;
}

// How it stands (standing.js): the pill, the sentence at the top, and banners for all else.
export function showStanding(status, news, lost, optIn) {
  const body = document.body.classList;
  const stale = !lost && status && status.quality !== 'good';
  body.toggle('is-lost', lost && Boolean(status));
  body.toggle('is-stale', Boolean(stale));
  body.toggle('is-live', Boolean(!lost && status && !stale));
  body.toggle('is-bad', Boolean(!lost && status && status.health === 'BAD'));
  const [first, ...others] = news;
  put(at('live-text'), first.word);
  at('live').dataset.kind = first.kind;
  put(at('sentence-text'), first.text);
  at('sentence').dataset.kind = first.kind;
  at('sentence').title = first.text;
  put(at('technical'), status && !lost ? status.health_context : '');
  at('technical').title = at('technical').textContent;
  showBanners(first.optIn ? [{ ...first, text: '' }, ...others] : others, optIn);
  if (status && lost) {
    const title = `Disconnected · ${siteName || status.ven_id}`;
    if (document.title !== title) document.title = title;
  }
}

let shown = '';

function showBanners(banners, optIn) {
  const wanted = banners.map((each) => `${each.word}|${each.text}`).join('\n');
  if (wanted === shown) return;
  shown = wanted;
  at('banners').tabIndex = banners.length ? 0 : -1; // more than fit are scrolled to, also by keys
  at('banners').replaceChildren(...banners.map((each) => {
    const node = make('li', { 'data-kind': each.kind, title: each.text }, each.text);
    if (each.optIn) {
      const button = make('button', { type: 'button', class: 'plain' }, 'Take part again');
      button.addEventListener('click', optIn);
      node.append(' ', button);
    }
    return node;
  }));
}
