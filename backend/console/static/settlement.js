// What events delivered: by programme and site, to read, to take along and to print.

import { h, heading, kw, moment, redraw, table, toast, whole } from "./ui.js";
import { download, get } from "./api.js";
import { T } from "./texts.js";

const kwh = (value) => (value === null ? T.unknown : kw(value, 2));
const AT_ONCE = 500;

export async function settlementView(place) {
  const programmes = await get("/api/programmes/");
  const totals = h("section", { class: "card" });
  const sites = h("section", { class: "card" });
  let asked = 0;
  const form = h("form", { class: "row unprinted", onchange: () => load().catch((error) => toast(error.message)) },
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
    redraw(totals, h("h2", {}, T.settlement.totals), report.totals.length ? table([
      { label: T.programme.programme, cell: (one) => one.programmeName ?? one.programmeId ?? T.event.noProgramme },
      { label: T.settlement.month, cell: (one) => one.month },
      { label: T.event.events, right: true, cell: (one) => whole(one.events) },
      { label: T.programme.vens, right: true, cell: (one) => whole(one.vens) },
      { label: T.settlement.kwh, right: true, cell: (one) => kwh(one.deliveredKwh) },
      { label: T.settlement.notMeasured, right: true, cell: (one) => whole(one.notMeasured) },
    ], report.totals) : h("p", { class: "empty" }, T.settlement.none));
    const some = report.sites.slice(0, AT_ONCE);
    redraw(sites, h("h2", {}, T.settlement.sites), some.length ? table([
      { label: T.event.event, cell: (one) => h("div", {}, h("a", { href: `#/event/${encodeURIComponent(one.eventId)}` }, one.eventId), h("div", { class: "soft small" }, moment(one.windowStart))) },
      { label: T.fleet.ven, cell: (one) => h("a", { href: `#/ven/${encodeURIComponent(one.venId)}` }, one.venName) },
      { label: T.settlement.method, wide: true, cell: (one) => (one.baselineMethod ?? "").replaceAll("_", " ") },
      { label: T.settlement.baselineKw, right: true, wide: true, cell: (one) => kw(one.baselineKw, 2) },
      { label: T.settlement.averageKw, right: true, wide: true, cell: (one) => kw(one.averageKw, 2) },
      { label: T.settlement.kwh, right: true, cell: (one) => kwh(one.deliveredKwh) },
      { label: T.event.confidence, right: true, wide: true, cell: (one) => (one.confidence === null ? T.unknown : `${Math.round(one.confidence * 100)} %`) },
      { label: T.settlement.note, wide: true, cell: (one) => one.note ?? "" },
    ], some) : "", report.sites.length > some.length ? h("p", { class: "soft small" }, T.settlement.more(some.length, report.sites.length)) : "");
    sites.hidden = !some.length;
  };
  place.append(heading(T.settlement.title, T.settlement.about, h("div", { class: "row unprinted" }, h("button", { onclick: () => take({}) }, T.settlement.csv), h("button", { onclick: () => take({ intervals: "true" }) }, T.settlement.intervals),
      h("button", { onclick: () => print() }, T.settlement.print))), h("section", { class: "card unprinted" }, form), totals, sites);
  await load();
  return {};
}
