// The page: what comes from the agent is shown, what a person wants is asked of it.

import { Circuits } from './circuits.js';
import { Curve } from './curve.js';
import { Energy } from './energy.js';
import { at, isRead, kw, put, span, zone } from './format.js';
import { change, follow, openSession, read, Refused } from './live.js';
import { nameSite, showEvent, showFacts, showPower, showStanding, showTime } from './now.js';
import { openCircuit, openEvent } from './opened.js';
import { showAlerts, showEvents } from './past.js';
import { standing } from './standing.js';

const SAID_MS = 6000;

let status = null;
let events = [];
let alerts = { active: [], recent: [] };
let heardAt = 0; // performance.now() of the latest status
let mayChange = false;
let lost = true;
let refusal = ''; // why the agent lets no more pages look on
let saidTimer = 0;

function say(text) {
  put(at('said'), text);
  at('said').classList.add('shown');
  clearTimeout(saidTimer);
  saidTimer = setTimeout(() => at('said').classList.remove('shown'), SAID_MS);
}

// One thing at a time that a person wants done; `work` returns what to say.
async function doing(work) {
  try {
    say(await work());
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    say(`Not done: ${error.message}`);
  }
}

// Asks before something is switched off; resolves to null for no, else to the reason (or '').
// With `why` it asks for that, and until when.
function ask(title, text, yes, why = false) {
  put(at('ask-title'), title);
  put(at('ask-text'), text);
  put(at('ask-yes'), yes);
  at('ask-why').hidden = !why;
  at('ask-until').hidden = !why;
  at('ask-end').value = '';
  at('ask-reason').value = '';
  const box = at('ask');
  box.returnValue = '';
  box.showModal();
  (why ? at('ask-reason') : at('ask-yes')).focus();
  return new Promise((resolve) => {
    box.addEventListener('close', () => resolve(box.returnValue === 'yes' ? at('ask-reason').value.trim() : null), { once: true });
  });
}

const circuits = new Circuits({
  opened: openCircuit,
  async switched(circuit, row) {
    const on = circuit.enabled === false;
    if (!on) {
      const what = circuit.critical ? 'It is marked critical. ' : '';
      const yes = await ask(`Switch off ${circuit.name}?`, `${what}It draws ${kw(circuit.power_kw, 2)} and stays off until someone switches it on.`, 'Switch off');
      if (yes === null) return;
    }
    row.toggle.classList.add('busy');
    row.toggle.setAttribute('aria-checked', String(on));
    await doing(async () => {
      await change(`api/circuits/${circuit.id}`, { enabled: on });
      return `${circuit.name} is switched ${on ? 'on' : 'off'}.`;
    });
    row.toggle.classList.remove('busy');
    row.show(row.circuit);
  },
  async ranked(circuit, priority, row) {
    await doing(async () => {
      await change(`api/circuits/${circuit.id}`, { priority });
      return `${circuit.name} has priority ${priority}.`;
    });
    row.priority.blur();
    row.show(row.circuit);
  },
});
const curve = new Curve(at('curve'));
const energy = new Energy(at('energy'), at('curve'));
const showInFull = (event) => openEvent(event, status.ts, (since) => curve.since(since));

at('trigger').addEventListener('submit', async (submitted) => {
  submitted.preventDefault();
  const shedKw = Number(at('shed-kw').value);
  const seconds = Number(at('minutes').value) * 60;
  const yes = await ask(`Shed ${kw(shedKw)} for ${span(seconds)}?`, 'Circuits are switched off or limited now, by priority, and restored at the end.', 'Start now');
  if (yes === null) return;
  await doing(async () => {
    const ack = await change('api/events', { shed_kw: shedKw, duration_sec: seconds });
    const given = isRead(ack.actual_shed_kw) ? ` with ${kw(ack.actual_shed_kw)}` : '';
    return `The event has begun${given}${ack.reason ? `; ${ack.reason}` : ''}.`;
  });
});

at('restore').addEventListener('click', () => doing(async () => {
  await change('api/restore');
  return 'The event is over, the circuits are restored.';
}));

const optIn = () => doing(async () => {
  await change('api/opt-in');
  return 'The site takes part in events again.';
});

// Seconds until the chosen end; null for none.
function chosenEnd() {
  const end = at('ask-end').value;
  if (end !== 'midnight') return end ? Number(end) : null;
  const midnight = new Date();
  midnight.setHours(24, 0, 0, 0);
  return Math.max(1, Math.round((midnight - Date.now()) / 1000));
}

at('opt').addEventListener('click', async () => {
  if (status && status.opted_out) {
    await optIn();
    return;
  }
  const reason = await ask('Opt out of events?', 'A running event ends now, and new ones are refused.', 'Opt out', true);
  if (reason === null) return;
  const seconds = chosenEnd();
  await doing(async () => {
    await change('api/opt-out', { ...(reason ? { reason } : {}), ...(seconds ? { duration_sec: seconds } : {}) });
    return 'The site has opted out.';
  });
});

at('log-out').addEventListener('click', () => doing(async () => {
  await change('logout');
  location.assign('./');
  return '';
}));

function allow() {
  const may = mayChange && !lost;
  for (const id of ['restore', 'opt', 'shed-kw', 'minutes']) at(id).disabled = !may;
  if (status && status.event && status.event.state === 'restoring') at('restore').disabled = true;
  // Only its sender ends a limit.
  if (status && status.event && status.event.kind === 'limit' && status.event.origin !== 'site') at('restore').disabled = true;
  const out = status && status.opted_out;
  at('trigger').querySelector('button').disabled = !may || Boolean(out);
  if (circuits.may !== may) circuits.allow(may);
}

async function begin() {
  try {
    const session = await openSession();
    mayChange = !session.read_only;
    document.body.classList.toggle('is-read-only', session.read_only);
    nameSite(session.site_name);
    const kind = session.read_only ? 'Virtual End Node, shown only' : 'Virtual End Node';
    put(at('kind'), session.site_name && status ? `${kind} ${status.ven_id}` : kind);
    at('leave').hidden = !session.needs_token;
    curve.load(await read('api/history'));
    allow();
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
  }
}

function tell(silentMs) {
  showStanding(status, standing(status, events, alerts, { silentMs, lost, refusal }), lost, optIn);
}

put(at('zone'), zone());

follow({
  opened: begin,
  refused(why) {
    refusal = why;
  },
  broken: (name) => say(`What the agent sent cannot be shown (${name}): please report this.`),
  status(value) {
    status = value;
    heardAt = performance.now();
    lost = false;
    showPower(value);
    refusal = '';
    showEvent(value, (id) => circuits.nameOf(id));
    showFacts(value);
    curve.add(value);
    energy.tick(value.ts);
    tell(0);
    showTime(value.event, value.ts);
    allow();
  },
  circuits(value) {
    circuits.show(value);
    document.body.classList.remove('waiting');
  },
  events(value) {
    events = value;
    showEvents(value, status ? status.ts : Date.now() / 1000, showInFull);
  },
  alerts(value) {
    alerts = value;
    showAlerts(value, status ? status.ts : Date.now() / 1000);
    tell(0);
  },
  heard(silentMs, isLost) {
    lost = isLost;
    tell(silentMs);
    if (status && !isLost) showTime(status.event, status.ts + (performance.now() - heardAt) / 1000);
    allow();
  },
});
