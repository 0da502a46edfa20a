// Alerts: what is wrong by cause, each alert, and who was told.

import { ask, card, col, empty, every, h, h2, heading, moment, moreRow, redraw, searchField, small, soft, state, table, tell, toast, venHref, whole } from "./ui.js";
import { get, post } from "./api.js";
import { may } from "./account.js";
import { T } from "./texts.js";

const AT_ONCE = 100;
const severity = (name) => state(name);
const venOf = (id) => (id ? h("a", { href: venHref(id) }, id) : T.alert.system);

export async function alertsView(place) {
  const causes = card();
  const rows = card();
  const notices = card();
  const count = h("span", { class: "soft" });
  let which = "open";
  let text = "";
  let least = "";
  let most = AT_ONCE;
  let asked = 0;

  const drawCauses = (found) => redraw(causes, h2(T.alert.causes), found.causes.length ? table([
    col(T.alert.severity, (one) => severity(one.severity)),
    col(T.alert.cause, (one) => h("div", {}, h("strong", {}, one.cause), small(one.message + (one.reasonCode ? ` (${one.reasonCode})` : "")))),
    col(T.alert.alerts, (one) => whole(one.count), "right"),
    col(T.alert.vens, (one) => (one.venCount ? whole(one.venCount) : ""), "right wide"),
    col(T.alert.since, (one) => moment(one.since), "right wide"),
    col("", (one) => (one.unacknowledged && may("alert.acknowledge")
      ? h("button", { class: "plain", onclick: () => acknowledge(one.cause, { cause: one.cause }, one.unacknowledged) }, T.alert.acknowledge) : ""), "right"),
  ], found.causes) : empty(T.alert.none));

  const drawRows = (found) => {
    count.textContent = whole(found.totalCount);
    redraw(rows, found.alerts.length ? table([
      col(T.alert.severity, (one) => severity(one.severity)),
      col(T.alert.ven, (one) => venOf(one.venId)),
      col(T.alert.code, (one) => h("div", {}, one.subject ? `${one.code} · ${one.subject}` : one.code, small(one.message))),
      col(T.alert.since, (one) => moment(one.begunAt), "right"),
      col(T.alert.end, (one) => (one.endedAt ? moment(one.endedAt) : ""), "right wide"),
      col("", (one) => (one.acknowledgedBy ? h("span", { class: "soft small", title: one.note ?? "" }, T.alert.seenBy(one.acknowledgedBy))
        : one.endedAt || !may("alert.acknowledge") ? "" : h("button", { class: "plain", onclick: () => acknowledge(one.code, { ids: [one.id] }, 1) }, T.alert.acknowledge)), "right wide"),
    ], found.alerts) : empty(T.alert.noneFits),
    found.totalCount > found.alerts.length ? moreRow(T.shownOf(found.alerts.length, found.totalCount), () => { most += AT_ONCE; again(); }) : "");
  };

  const drawNotices = (found) => redraw(notices, h2(T.alert.notices), found.notices.length ? table([
    col(T.alert.target, (one) => one.target),
    col(T.alert.kind, (one) => `${T.alert.kinds[one.kind] ?? one.kind}: ${one.payload.data?.summary ?? one.payload.data?.id ?? ""}`),
    col(T.alert.state, (one) => h("span", { title: one.error ?? "" }, state(one.state))),
    col(T.alert.tries, (one) => one.attempts, "right wide"),
    col(T.alert.at, (one) => moment(one.sentAt ?? one.createdAt), "right wide"),
  ], found.notices) : soft(T.alert.noNotices));

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
  const again = () => tell(load());

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
