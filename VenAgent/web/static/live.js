// The way to the agent: what it sends by itself, and what it is asked.

const SILENT_MS = 2500; // it speaks every second
const AGAIN_MS = 1500;

let session = null;

export class Refused extends Error {}

async function ask(path, options = {}) {
  let answer;
  try {
    answer = await fetch(path, { cache: 'no-store', ...options });
  } catch {
    throw new Refused('The agent does not answer.');
  }
  if (answer.status === 401) {
    location.assign('./');
    throw new Refused('The session has ended.');
  }
  return answer;
}

export async function read(path) {
  const answer = await ask(path);
  if (!answer.ok) throw new Refused(`${path}: ${answer.status}`);
  return answer.json();
}

export async function openSession() {
  session = await read('api/session');
  return session;
}

// Why the agent gives no live view; nothing if it does now.
async function refusal() {
  const no = new AbortController();
  try {
    const answer = await ask('api/stream', { signal: no.signal });
    return answer.ok ? '' : (await answer.json()).error;
  } finally {
    no.abort();
  }
}

// A change; resolves to the agent's ack, or throws Refused with a sentence for a person.
export async function change(path, value = {}, again = true) {
  const answer = await ask(path, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', 'X-CSRF-Token': session ? session.csrf_token : '' },
    body: JSON.stringify(value),
  });
  if (answer.status === 204) return {};
  const said = await answer.json().catch(() => ({}));
  if (answer.ok) return said;
  if (answer.status === 403 && again && /CSRF/.test(said.error || '')) {
    await openSession(); // the agent was started anew
    return change(path, value, false);
  }
  throw new Refused(said.reason || said.error || `The agent answered ${answer.status}.`);
}

// Calls on[name](value) for what comes, on.heard(ms since the last word) four times a second,
// on.opened() each time the agent is there again, and on.refused(why) if it lets nobody more look.
export function follow(on) {
  let source = null;
  let heard = 0;
  let gone = true;
  let openedAt = 0;

  function open() {
    if (source) source.close();
    openedAt = performance.now();
    source = new EventSource('api/stream');
    for (const name of ['status', 'circuits', 'events', 'alerts']) {
      source.addEventListener(name, (message) => {
        heard = performance.now();
        if (gone) {
          gone = false;
          on.opened();
        }
        // What cannot be shown must not stop the rest: the page says so and goes on.
        try {
          on[name](JSON.parse(message.data));
        } catch (error) {
          console.error(error);
          on.broken(name);
        }
      });
    }
    source.onerror = () => {
      gone = true;
      on.heard(heard ? performance.now() - heard : Infinity, true);
      // The browser asks again by itself, unless it was refused: then say why, or log in anew.
      if (source.readyState === EventSource.CLOSED) refusal().then(on.refused, () => {});
    };
  }

  setInterval(() => {
    const silent = heard ? performance.now() - heard : Infinity;
    const lost = gone || silent > SILENT_MS;
    on.heard(silent, lost);
    const tried = performance.now() - openedAt;
    const closed = source.readyState === EventSource.CLOSED;
    if (lost && (closed ? tried > AGAIN_MS : tried > 4 * AGAIN_MS && silent > 4 * AGAIN_MS)) {
      gone = true;
      open();
    }
  }, 250);
  open();
}
