// Alerts: what is wrong by cause, each alert, and who was told.

import { ask, every, h, heading, moment, moreRow, redraw, searchField, state, table, toast, whole } from "./ui.js";
import { get, post } from "./api.js";
import { may } from "./account.js";
import { T } from "./texts.js";

const AT_ONCE = 100;
const severity = (name) => state(name);
const venOf = (id) => (id ? h("a", { href: `#/ven/${encodeURIComponent(id)}` }, id) : T.alert.system);

export async function alertsView(place) {
  const causes = h("section", { class: "card" });
  const rows = h("section", { class: "card" });
  const notices = h("section", { class: "card" });
  const count = h("span", { class: "soft" });
  let which = "open";
  let text = "";
  let least = "";
  let most = AT_ONCE;
  let asked = 0;

  const drawCauses = (found) => redraw(causes, h("h2", {}, T.alert.causes), found.causes.length ? table([
    { label: T.alert.severity, cell: (one) => severity(one.severity) },
    { label: T.alert.cause, cell: (one) => h("div", {}, h("strong", {}, one.cause), h("div", { class: "soft small" }, one.message)) },
    { label: T.alert.alerts, right: true, cell: (one) => whole(one.count) },
    { label: T.alert.vens, right: true, wide: true, cell: (one) => (one.venCount ? whole(one.venCount) : "") },
    { label: T.alert.since, right: true, wide: true, cell: (one) => moment(one.since) },
    { label: "", right: true, cell: (one) => (one.unacknowledged && may("alert.acknowledge")
      ? h("button", { class: "plain", onclick: () => acknowledge(one.cause, { cause: one.cause }, one.unacknowledged) }, T.alert.acknowledge) : "") },
  ], found.causes) : h("p", { class: "empty" }, T.alert.none));

  const drawRows = (found) => {
    count.textContent = whole(found.totalCount);
    redraw(rows, found.alerts.length ? table([
      { label: T.alert.severity, cell: (one) => severity(one.severity) },
      { label: T.alert.ven, cell: (one) => venOf(one.venId) },
      { label: T.alert.code, cell: (one) => h("div", {}, one.subject ? `${one.code} · ${one.subject}` : one.code, h("div", { class: "soft small" }, one.message)) },
      { label: T.alert.since, right: true, cell: (one) => moment(one.begunAt) },
      { label: T.alert.end, right: true, wide: true, cell: (one) => (one.endedAt ? moment(one.endedAt) : "") },
      { label: "", right: true, wide: true, cell: (one) => (one.acknowledgedBy ? h("span", { class: "soft small", title: one.note ?? "" }, T.alert.seenBy(one.acknowledgedBy))
        : one.endedAt || !may("alert.acknowledge") ? "" : h("button", { class: "plain", onclick: () => acknowledge(one.code, { ids: [one.id] }, 1) }, T.alert.acknowledge)) },
    ], found.alerts) : h("p", { class: "empty" }, T.alert.noneFits),
    found.totalCount > found.alerts.length ? moreRow(T.shownOf(found.alerts.length, found.totalCount), () => { most += AT_ONCE; again(); }) : "");
  };

  const drawNotices = (found) => redraw(notices, h("h2", {}, T.alert.notices), found.notices.length ? table([
    { label: T.alert.target, cell: (one) => one.target },
    { label: T.alert.kind, cell: (one) => `${T.alert.kinds[one.kind] ?? one.kind}: ${one.payload.data?.summary ?? one.payload.data?.id ?? ""}` },
    { label: T.alert.state, cell: (one) => h("span", { title: one.error ?? "" }, state(one.state)) },
    { label: T.alert.tries, right: true, wide: true, cell: (one) => one.attempts },
    { label: T.alert.at, right: true, wide: true, cell: (one) => moment(one.sentAt ?? one.createdAt) },
  ], found.notices) : h("p", { class: "soft" }, T.alert.noNotices));

  const acknowledge = (name, body, number) => {
    const note = h("label", {}, T.alert.note, h("input", { name: "note", maxlength: "500" }));
    ask(T.alert.acknowledgeTitle(name), T.alert.acknowledgeAbout(number), note, T.alert.acknowledge, async (form) => {
      const done = await post("/api/alerts/acknowledge", { ...body, ...(form.get("note") && { note: form.get("note") }) });
      toast(T.alert.acknowledged(done.acknowledged));
      await load();
    });
  };

  const load = async () => {
    const number = ++asked;
    const query = new URLSearchParams({ state: which, limit: most, ...(text && { search: text }), ...(least && { severity: least }) });
    const found = await Promise.all([get("/api/alerts/causes"), get(`/api/alerts/?${query}`), get("/api/alerts/notices?limit=20")]);
    if (number !== asked) return; // another question was asked meanwhile
    drawCauses(found[0]);
    drawRows(found[1]);
    drawNotices(found[2]);
  };
  const again = () => load().catch((error) => toast(error.message));

  const filters = h("div", { class: "row", role: "group", "aria-label": T.alert.states });
  const drawFilters = () => filters.replaceChildren(...[["open", T.alert.open], ["ended", T.alert.ended], ["all", T.alert.any]].map(([name, label]) => h("button", {
    "aria-pressed": String(which === name), onclick: () => { which = name; most = AT_ONCE; drawFilters(); again(); } }, label)));
  drawFilters();
  place.append(
    heading(T.alert.title, T.alert.about),
    causes,
    h("div", { class: "row between", style: "margin-bottom:1rem" }, h("div", { class: "row" }, filters, count), h("div", { class: "row" },
      h("select", { "aria-label": T.alert.severity, style: "width:auto;margin:0", onchange: (change) => { least = change.target.value; again(); } },
        h("option", { value: "" }, T.all), ["warning", "critical"].map((name) => h("option", { value: name }, T.alert.severities[name]))),
      searchField(T.alert.find, T.alert.findBy, (words) => { text = words; most = AT_ONCE; again(); }))), rows, notices);
  await load();
  return { end: every(5, load) };
}
