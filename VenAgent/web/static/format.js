// Numbers, times and durations as a person reads them; an unread value is a dash.

export const DASH = '–';

const fixed = [0, 1, 2, 3].map((digits) => new Intl.NumberFormat('en', {
  minimumFractionDigits: digits, maximumFractionDigits: digits,
}));
const CLOCK = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit' });
const DAY = new Intl.DateTimeFormat('en-GB', { day: 'numeric', month: 'short' });

export const isRead = (value) => value !== null && value !== undefined;

export const number = (value, digits = 1) => (isRead(value) ? fixed[digits].format(value) : DASH);

export const kw = (value, digits = 1) => (isRead(value) ? `${number(value, digits)} kW` : DASH);

export const clock = (ts) => CLOCK.format(ts * 1000);

export function day(ts, now) {
  const midnight = new Date(now * 1000).setHours(0, 0, 0, 0) / 1000;
  if (ts >= midnight && ts < midnight + 86400) return 'today';
  if (ts < midnight && ts >= midnight - 86400) return 'yesterday';
  return DAY.format(ts * 1000);
}

export const whole = (ts) => `${DAY.format(ts * 1000)} ${new Date(ts * 1000).getFullYear()}`;

// 75 -> "1:15", 3675 -> "1:01:15"
export function countdown(seconds) {
  const left = Math.max(0, Math.ceil(seconds));
  const two = (value) => String(value).padStart(2, '0');
  const hours = Math.floor(left / 3600);
  const minutes = Math.floor(left / 60) % 60;
  return hours ? `${hours}:${two(minutes)}:${two(left % 60)}` : `${minutes}:${two(left % 60)}`;
}

// 40 -> "40 s", 900 -> "15 min", 9000 -> "2 h 30 min"
export function span(seconds) {
  if (seconds < 90) return `${Math.round(seconds)} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 120) return `${minutes} min`;
  if (minutes < 2880) return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
  return `${Math.floor(minutes / 1440)} days`;
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
