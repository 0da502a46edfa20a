// What events delivered, by programme and site.

import { card, col, empty, h, h2, heading, kw, moment, redraw, small, table, tell, toast, whole } from "./ui.js";
import { download, get } from "./api.js";
import { T } from "./texts.js";

const kwh = (value) => (value === null ? T.unknown : kw(value, Math.abs(value) < 1 ? 4 : 2));
const AT_ONCE = 500;

export async function settlementView(place) {
  const programmes = await get("/api/programmes/");
  const totals = card();
  const sites = card();
  let asked = 0;
  const form = h("form", { class: "row unprinted", onchange: () => tell(load()) },
    h("label", {}, T.settlement.month, h("input", { name: "month", type: "month", value: new Date().toISOString().slice(0, 7) })),
    h("label", {}, T.programme.programme, h("select", { name: "programme_id" }, h("option", { value: "" }, T.all), programmes.map((one) => h("option", { value: one.id }, one.name)))),
    h("label", {}, T.fleet.ven, h("input", { name: "ven_id" })),
    h("label", { class: "row" }, h("input", { name: "tests", type: "checkbox", value: "true" }), T.settlement.tests));
  form.addEventListener("submit", (happening) => happening.preventDefault());
  const query = (more = {}) => {
    const given = [...new FormData(form)].filter(([, value]) => value);
    return `/api/settlement?${new URLSearchParams({ ...Object.fromEntries(given), ...more })}`;
  };
  const take = (more) => download(query({ format: "csv", ...more }), `settlement-${form.month.value || "all"}.csv`).catch((error) => toast(error.message));
  const load = async () => {
    const number = ++asked;
    const report = await get(query());
    if (number !== asked) return;
    redraw(totals, h2(T.settlement.totals), report.totals.length ? table([
      col(T.programme.programme, (one) => one.programmeName ?? one.programmeId ?? T.event.noProgramme),
      col(T.settlement.month, (one) => one.month),
      col(T.event.events, (one) => whole(one.events), "right"),
      col(T.programme.vens, (one) => whole(one.vens), "right"),
      col(T.settlement.kwh, (one) => kwh(one.deliveredKwh), "right"),
      col(T.settlement.notMeasured, (one) => whole(one.notMeasured), "right"),
    ], report.totals) : empty(T.settlement.none));
    const some = report.sites.slice(0, AT_ONCE);
    redraw(sites, h2(T.settlement.sites), some.length ? table([
      col(T.event.event, (one) => h("div", {}, h("a", { href: `#/event/${encodeURIComponent(one.eventId)}` }, one.eventId), small(moment(one.windowStart)))),
      col(T.fleet.ven, (one) => h("a", { href: `#/ven/${encodeURIComponent(one.venId)}` }, one.venName)),
      col(T.settlement.method, (one) => (one.baselineMethod ?? "").replaceAll("_", " "), "wide"),
      col(T.settlement.baselineKw, (one) => kw(one.baselineKw, 2), "right wide"),
      col(T.settlement.averageKw, (one) => kw(one.averageKw, 2), "right wide"),
      col(T.settlement.kwh, (one) => kwh(one.deliveredKwh), "right"),
      col(T.event.confidence, (one) => (one.confidence === null ? T.unknown : `${Math.round(one.confidence * 100)} %`), "right wide"),
      col(T.settlement.note, (one) => one.note ?? (one.heldOffKwh ? T.settlement.heldOff(kwh(one.heldOffKwh)) : ""), "wide"),
    ], some) : "", report.sites.length > some.length ? h("p", { class: "soft small" }, T.settlement.more(some.length, report.sites.length)) : "");
    sites.hidden = !some.length;
  };
  place.append(heading(T.settlement.title, T.settlement.about, h("div", { class: "row unprinted" }, h("button", { onclick: () => take({}) }, T.settlement.csv), h("button", { onclick: () => take({ intervals: "true" }) }, T.settlement.intervals),
      h("button", { onclick: () => print() }, T.settlement.print))), h("section", { class: "card unprinted" }, form), totals, sites);
  await load();
  return {};
}
