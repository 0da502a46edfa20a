// Small things all views use: elements, numbers, times, dialogs.

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

export const kw = (value, digits) => {
  if (value === null || value === undefined) return "–";
  if (value === 0 && digits === undefined) return "0";
  const places = digits ?? (Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 2);
  return value.toLocaleString("en", { minimumFractionDigits: places, maximumFractionDigits: places });
};
export const percent = (part, whole) => (whole > 0 ? `${Math.round((part / whole) * 100)} %` : "–");
export const ms = (value) => (value === null || value === undefined ? "–" : value < 1000 ? `${Math.round(value)} ms` : `${(value / 1000).toFixed(1)} s`);

export function moment(text) {
  if (!text) return "–";
  const date = new Date(text);
  const today = new Date().toDateString() === date.toDateString();
  const time = date.toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" });
  return today ? time : `${date.toLocaleDateString("en-GB", { day: "numeric", month: "short" })}, ${time}`;
}

export function span(seconds) {
  const whole = Math.max(Math.round(seconds), 0);
  if (whole < 60) return `${whole} s`;
  const [large, small, names] = whole < 3600 ? [Math.floor(whole / 60), whole % 60, ["min", "s"]]
    : [Math.floor(whole / 3600), Math.floor((whole % 3600) / 60), ["h", "min"]];
  return `${large} ${names[0]}${small ? ` ${small} ${names[1]}` : ""}`;
}

export const ago = (text) => (text ? `${span((Date.now() - new Date(text)) / 1000)} ago` : "never");

export function figure(label, value, unit, lead = false) {
  return h("div", { class: lead ? "figure lead" : "figure" }, h("span", {}, label),
    h("strong", {}, value), unit ? h("small", {}, unit) : null);
}

const DOTS = { online: "good", offline: "bad", accepted: "good", measured: "good", adjusted: "good", completed: "good",
  success: "good", commanded: "warn", assigned: "warn", scheduled: "warn", not_responding: "bad", failed: "bad",
  rejected: "bad", opted_out: "bad" };
export const state = (text) => h("span", { class: text === "active" ? "pill active" : "pill" },
  h("i", { class: `dot ${text === "active" ? "good" : DOTS[text] ?? ""}` }), text.replaceAll("_", " "));

// A column that is `wide` is left out on a phone.
export function table(columns, rows, onRow) {
  const kind = (column) => `${column.right ? "right" : ""} ${column.wide ? "wide" : ""}`.trim();
  return h("div", { class: "scroll" }, h("table", {},
    h("thead", {}, h("tr", {}, columns.map((column) => (column.label
      ? h("th", { scope: "col", class: kind(column) }, column.label) : h("td", { class: kind(column) }))))),
    h("tbody", {}, rows.map((row) => h("tr", { class: onRow ? "go" : "", onclick: onRow && (() => onRow(row)) },
      columns.map((column) => h("td", { class: kind(column) }, column.cell(row))))))));
}

let timer;
export function toast(text) {
  const place = document.getElementById("toast");
  place.textContent = text;
  place.classList.add("shown");
  clearTimeout(timer);
  timer = setTimeout(() => place.classList.remove("shown"), 4000);
}

// Again and again until it is ended; a view that could not be brought up to date says so.
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
      h("button", { type: "button", onclick: () => dialog.close() }, "Cancel"),
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
