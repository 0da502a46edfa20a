// Small things all views use: elements, numbers, times, dialogs.

import { NUMBERS, T, TIMES } from "./texts.js";

export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "class") element.className = value;
    else if (name === "style") element.style.cssText = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

export const card = (...inside) => h("section", { class: "card" }, ...inside);
export const empty = (words) => h("p", { class: "empty" }, words);
export const soft = (words) => h("p", { class: "soft" }, words);
export const small = (words) => h("div", { class: "soft small" }, words);
export const h2 = (words) => h("h2", {}, words);
export const fieldsOf = (...controls) => h("div", { class: "fields" }, ...controls);

export const kw = (value, digits) => {
  if (value === null || value === undefined) return T.unknown;
  if (value === 0 && digits === undefined) return "0";
  const places = digits ?? (Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 2);
  return value.toLocaleString(NUMBERS, { minimumFractionDigits: places, maximumFractionDigits: places });
};
export const percent = (part, whole) => (whole > 0 ? `${Math.round((part / whole) * 100)} %` : T.unknown);
export const whole = (value) => value.toLocaleString(NUMBERS);
export const ms = (value) => (value === null || value === undefined ? T.unknown
  : value < 1000 ? `${Math.round(value)} ${T.units.ms}` : `${(value / 1000).toFixed(1)} ${T.units.sec}`);

// A time always says its zone: its reader may be in another.
const CLOCK = new Intl.DateTimeFormat(TIMES, { hour: "2-digit", minute: "2-digit", timeZoneName: "short" });
const DAY = new Intl.DateTimeFormat(TIMES, { day: "numeric", month: "short" });
const SECONDS = new Intl.DateTimeFormat(TIMES, { hour: "2-digit", minute: "2-digit", second: "2-digit", timeZoneName: "short" });
export const zone = () => CLOCK.formatToParts(new Date()).find((part) => part.type === "timeZoneName").value;
export const clock = (date) => SECONDS.format(date);

export function moment(text) {
  if (!text) return T.unknown;
  const date = new Date(text);
  const today = new Date().toDateString() === date.toDateString();
  return today ? CLOCK.format(date) : `${DAY.format(date)}, ${CLOCK.format(date)}`;
}

export function span(seconds) {
  const all = Math.max(Math.round(seconds), 0);
  const { sec, min, hour } = T.units;
  if (all < 60) return `${all} ${sec}`;
  const [large, small, names] = all < 3600 ? [Math.floor(all / 60), all % 60, [min, sec]]
    : [Math.floor(all / 3600), Math.floor((all % 3600) / 60), [hour, min]];
  return `${large} ${names[0]}${small ? ` ${small} ${names[1]}` : ""}`;
}

export const ago = (text) => (text ? T.ago(span((Date.now() - new Date(text)) / 1000)) : T.never);

// How much of a whole: a bar.
export const meter = (part, all) => h("div", { class: "meter", role: "img", "aria-label": percent(part ?? 0, all) },
  h("i", { style: `width:${Math.min(Math.max((part ?? 0) / (all || 1), 0) * 100, 100)}%` }));
export const pairs = (all) => all.map(([label, value]) => h("div", {}, h("span", {}, label), h("strong", {}, value)));
export const eventLink = (id) => h("a", { href: `#/event/${encodeURIComponent(id)}` }, id);
export const venHref = (id) => `#/ven/${encodeURIComponent(id)}`;
export const tell = (work) => work.catch((error) => toast(error.message));

export function figure(label, value, unit, lead = false) {
  return h("div", { class: lead ? "figure lead" : "figure" }, h("span", {}, label),
    h("strong", {}, value), unit ? h("small", {}, unit) : null);
}

const DOTS = { online: "good", offline: "bad", accepted: "good", measured: "good", adjusted: "good", completed: "good",
  success: "good", commanded: "warn", assigned: "warn", scheduled: "warn", not_responding: "bad", failed: "bad",
  rejected: "bad", opted_out: "bad", critical: "bad", warning: "warn", info: "", sent: "good", pending: "warn", given_up: "bad" };
export const state = (text) => h("span", { class: text === "active" ? "pill active" : "pill" },
  h("i", { class: `dot ${text === "active" ? "good" : DOTS[text] ?? ""}` }), T.states[text] ?? text.replaceAll("_", " "));

// A column: its label, what a row has in it, "right" and "wide" (left out on a phone), and by what it
// can be sorted: `order` is {by, descending, choose(by)}.
export const col = (label, cell, kind = "", sort) => ({ label, cell, kind, sort });

export function table(columns, rows, onRow, order) {
  const head = ({ label, kind, sort }) => {
    if (!label) return h("td", { class: kind });
    if (!sort || !order) return h("th", { scope: "col", class: kind }, label);
    const sorted = order.by === sort ? (order.descending ? "descending" : "ascending") : "none";
    return h("th", { scope: "col", class: kind, "aria-sort": sorted },
      h("button", { class: "sort", title: T.sortBy(label), onclick: () => order.choose(sort) }, label));
  };
  return h("div", { class: "scroll" }, h("table", {},
    h("thead", {}, h("tr", {}, columns.map(head))),
    h("tbody", {}, rows.map((row) => h("tr", { class: onRow ? "go" : "", onclick: onRow && (() => onRow(row)) },
      columns.map((column) => h("td", { class: column.kind }, column.cell(row))))))));
}

// New children in place of the old ones. Whoever goes by keys stays where they were.
const HELD = "a[href], button, input, select, [tabindex]";
export function redraw(place, ...children) {
  const held = [...place.querySelectorAll(HELD)].indexOf(document.activeElement);
  const words = held < 0 ? "" : document.activeElement.textContent;
  place.replaceChildren(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  if (held < 0) return;
  const now = [...place.querySelectorAll(HELD)];
  (now.find((one) => words && one.textContent === words) ?? now[Math.min(held, now.length - 1)])?.focus({ preventScroll: true });
}

// A view's first line: its title, what it is about, and what can be done on the right.
export const heading = (title, about, ...right) => h("div", { class: "row between head" },
  h("div", {}, h("h1", {}, title), about && h("p", { class: "soft" }, about)), right);

// `then(text)` once nothing was typed for a moment.
export function searchField(label, hint, then) {
  let typed;
  return h("input", { type: "search", class: "search", placeholder: hint, "aria-label": label, oninput: (change) => {
    clearTimeout(typed);
    typed = setTimeout(() => then(change.target.value.trim()), 150);
  } });
}

// Below a table that has not all rows.
export const moreRow = (words, then) => h("div", { class: "row more" }, h("span", { class: "soft" }, words), h("button", { onclick: then }, T.showMore));

let timer;
export function toast(text) {
  const place = document.getElementById("toast");
  place.textContent = text;
  place.classList.add("shown");
  clearTimeout(timer);
  timer = setTimeout(() => place.classList.remove("shown"), 4000);
}

// Again and again until it is ended; a view that is out of date says so.
export function every(seconds, work) {
  const timer = setInterval(async () => {
    const since = document.getElementById("main");
    try {
      await work();
      since.classList.remove("is-old");
    } catch {
      since.classList.add("is-old");
    }
  }, seconds * 1000);
  return () => { clearInterval(timer); document.getElementById("main").classList.remove("is-old"); };
}

// A dialog with a form; `submit` may throw, and its message is shown.
export function ask(title, text, fields, action, submit, danger = false) {
  const dialog = document.getElementById("dialog");
  const problem = h("p", { class: "problem", role: "alert" });
  const form = h("form", { method: "dialog" }, h("h2", {}, title), text ? h("p", { class: "soft" }, text) : null,
    fields, problem, h("div", { class: "row between" },
      h("button", { type: "button", onclick: () => dialog.close() }, T.cancel),
      h("button", { class: danger ? "danger" : "primary" }, action)));
  form.addEventListener("submit", async (happening) => {
    happening.preventDefault();
    try {
      await submit(new FormData(form));
      dialog.close();
    } catch (error) {
      problem.textContent = error.message;
    }
  });
  dialog.replaceChildren(form);
  dialog.showModal();
}
