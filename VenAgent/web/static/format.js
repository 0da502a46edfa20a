// Numbers, times and durations as a person reads them; an unread value is a dash.

export const DASH = '–';

const fixed = [0, 1, 2, 3].map((digits) => new Intl.NumberFormat('en', {
  minimumFractionDigits: digits, maximumFractionDigits: digits,
}));
const CLOCK = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit' });
const DAY = new Intl.DateTimeFormat('en-GB', { day: 'numeric', month: 'short' });

export const isRead = (value) => value !== null && value !== undefined;

// What rounds to nothing has no sign.
export const number = (value, digits = 1) => (Number.isFinite(value) ? fixed[digits].format(Number(value.toFixed(digits)) || 0) : DASH);

export const kw = (value, digits = 1) => (isRead(value) ? `${number(value, digits)} kW` : DASH);

// What a limit allows: drawn from the grid, fed in, or both.
export function limitOf({ import_kw: drawn, export_kw: fed }) {
  if (!isRead(fed)) return kw(drawn);
  return isRead(drawn) ? `${kw(drawn)} and ${kw(fed)} fed in` : `${kw(fed)} fed in`;
}

// What the calendar has a day for; a record may hold any number.
const isDate = (ts) => isRead(ts) && Math.abs(ts) < 8.64e12;

export const clock = (ts) => (isDate(ts) ? CLOCK.format(ts * 1000) : 'a day');

export function day(ts, now) {
  if (!isDate(ts) || !isDate(now)) return 'far off';
  const today = new Date(now * 1000);
  const date = new Date(ts * 1000).toDateString();
  if (date === today.toDateString()) return 'today';
  today.setDate(today.getDate() - 1); // not 24 hours: some days have 23 or 25
  return date === today.toDateString() ? 'yesterday' : DAY.format(ts * 1000);
}

const WEEKDAY = new Intl.DateTimeFormat('en-GB', { weekday: 'short' });
export const weekday = (ts) => (isDate(ts) ? WEEKDAY.format(ts * 1000) : '');

export const whole = (ts) => (!isDate(ts) ? 'far off' : `${DAY.format(ts * 1000)} ${new Date(ts * 1000).getFullYear()}`);

// 75 -> "1:15", 3675 -> "1:01:15"
export function countdown(seconds) {
  if (!(seconds < 360000)) return span(seconds); // a hundred hours
  const left = Math.max(0, Math.ceil(seconds));
  const two = (value) => String(value).padStart(2, '0');
  const hours = Math.floor(left / 3600);
  const minutes = Math.floor(left / 60) % 60;
  return hours ? `${hours}:${two(minutes)} h` : `${minutes}:${two(left % 60)}`;
}

// 40 -> "40 s", 900 -> "15 min", 9000 -> "2 h 30 min"
export function span(seconds) {
  if (!Number.isFinite(seconds)) return DASH;
  if (seconds < 90) return `${Math.max(0, Math.round(seconds))} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 120) return `${minutes} min`;
  if (minutes < 2880) return `${Math.floor(minutes / 60)} h${minutes % 60 ? ` ${minutes % 60} min` : ''}`;
  return `${Math.floor(minutes / 1440)} days`;
}

// The times on the page are this browser's: "Europe/Berlin, UTC+1"
export function zone() {
  const parts = new Intl.DateTimeFormat('en', { timeZoneName: 'shortOffset' }).formatToParts();
  const offset = parts.find((part) => part.type === 'timeZoneName').value.replace('GMT', 'UTC');
  const name = Intl.DateTimeFormat().resolvedOptions().timeZone;
  return name === 'UTC' ? name : `${name}, ${offset}`;
}

// Touch the document only where the text differs.
export function put(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

export const at = (id) => document.getElementById(id);

export function make(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  return node;
}
