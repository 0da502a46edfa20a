// The fleet, and one VEN of it.

import { ago, ask, card, col, empty, eventLink, every, fieldsOf, figure, h, h2, kw, meter, moment, moreRow, redraw, searchField, soft, state, table, tell, toast, venHref, whole } from "./ui.js";
import { call, get, page, post, ven as venPath } from "./api.js";
import { legend, plot } from "./charts.js";
import { may } from "./account.js";
import { T } from "./texts.js";

const AT_ONCE = 200;
const HISTORY = [["1h", T.ven.hour, 3600], ["6h", T.ven.hours, 21600], ["24h", T.ven.day, 86400], ["7d", T.ven.week, 604800]];
const POWER = [
  { label: T.ven.using, stroke: "--accent", fill: true },
  { label: T.ven.shed, stroke: "--warn" },
  { label: T.ven.askedToShed, stroke: "--asked", dash: [6, 5] },
];

export async function fleetView(place) {
  const rows = card();
  const count = h("span", { class: "soft" });
  let text = "";
  let status = "all";
  let most = AT_ONCE;
  let asked = 0;
  let order = { by: "name", descending: false };
  const choose = (by) => {
    order = { by, descending: order.by === by && !order.descending };
    again();
  };
  const draw = (vens, total) => {
    count.textContent = whole(total);
    redraw(rows, vens.length ? table([
      col(T.fleet.ven, (one) => h("a", { href: venHref(one.id) }, one.name), "", "name"),
      col(T.fleet.state, (one) => state(one.status), "", "status"),
      col(T.fleet.usingKw, (one) => kw(one.currentPowerKw, 2), "right wide", "currentPowerKw"),
      col(T.fleet.canShedKw, (one) => kw(one.shedAvailabilityKw, 2), "right", "shedAvailabilityKw"),
      col(T.fleet.shedsKw, (one) => (one.shedPowerKw ? kw(one.shedPowerKw, 2) : ""), "right wide", "shedPowerKw"),
      col(T.fleet.event, (one) => one.activeEventId ? eventLink(one.activeEventId) : "", "wide", "activeEventId"),
      col(T.fleet.heard, (one) => ago(one.lastSeen), "right wide", "lastSeen"),
    ], vens, (one) => { location.hash = venHref(one.id); }, { ...order, choose })
      : empty(text || status !== "all" ? T.fleet.noneFits : T.fleet.none),
    total > vens.length ? moreRow(T.shownOf(vens.length, total), () => { most += AT_ONCE; again(); }) : "");
  };
  // The backend searches: ten thousand VENs are never all in the page.
  const load = async () => {
    const number = ++asked;
    const query = new URLSearchParams({ limit: most, sort: order.by, order: order.descending ? "desc" : "asc", ...(text && { search: text }), ...(status !== "all" && { status }) });
    const { rows: vens, total } = await page(`/api/vens/summary?${query}`);
    if (number === asked) draw(vens, total); // else another question was asked meanwhile
  };
  const again = () => tell(load());
  const filters = h("div", { class: "row", role: "group", "aria-label": T.fleet.state });
  const drawFilters = () => filters.replaceChildren(...["all", "online", "offline", "maintenance"].map((name) => h("button", {
    "aria-pressed": String(status === name), onclick: () => { status = name; most = AT_ONCE; drawFilters(); again(); } }, name === "all" ? T.all : T.states[name] ?? name)));
  drawFilters();
  place.append(h("div", { class: "row between head" }, h("div", { class: "row" }, h("h1", {}, T.fleet.title), count)),
    h("div", { class: "row between", style: "margin-bottom:1rem" }, filters,
      searchField(T.fleet.find, T.fleet.findBy, (words) => { text = words; most = AT_ONCE; again(); })), rows);
  await load();
  return { end: every(5, load) };
}

export async function venView(place, _store, id) {
  const head = h("div", { class: "row between head" });
  const figures = h("div", { class: "figures" });
  const circuits = card();
  const facts = card();
  const answers = card();
  const power = plotCard(T.ven.power);
  const circuit = plotCard(T.ven.circuit);
  place.append(head, figures, h("div", { class: "columns" },
    h("div", {}, power.element, circuits, circuit.element), h("div", {}, facts, answers)));
  circuit.element.hidden = true;
  let chosen = null;
  let reach = HISTORY[0];
  let charts = [];

  const drawPower = async () => {
    const start = new Date(Date.now() - reach[2] * 1000).toISOString();
    const { points } = await get(`${venPath(id)}/history?start=${start}`);
    power.draw(POWER, series(points, (p) => (p.usedPowerKnown ? p.usedPowerKw : null), (p) => p.shedPowerKw || null, (p) => p.requestedReductionKw || null));
  };
  const drawCircuit = async () => {
    if (!chosen) return;
    circuit.element.hidden = false;
    circuit.title.textContent = chosen.name ?? chosen.loadId;
    const start = new Date(Date.now() - reach[2] * 1000).toISOString();
    const { points } = await get(`${venPath(id)}/loads/${encodeURIComponent(chosen.loadId)}/history?start=${start}`);
    circuit.draw([{ label: T.ven.draws, stroke: "--accent", fill: true }], series(points, (p) => (p.usedPowerKnown ? p.usedPowerKw : null)));
  };
  power.ranges.replaceChildren(...HISTORY.map((one) => h("button", { "aria-pressed": String(one === reach), onclick: (click) => {
    reach = one;
    power.ranges.querySelectorAll("button").forEach((button) => button.setAttribute("aria-pressed", String(button === click.currentTarget)));
    drawPower().catch(() => {});
    drawCircuit().catch(() => {});
  } }, one[1])));

  const load = async () => {
    const [ven, acks] = await Promise.all([get(venPath(id)), get(`${venPath(id)}/events?limit=12`)]);
    head.replaceChildren(h("div", {}, h("div", { class: "row" }, h("h1", {}, ven.name), state(ven.status)),
      h("p", { class: "soft", style: "margin:0" }, h("a", { href: "#/fleet" }, T.fleet.title), ` · ${ven.id} · ${T.ven.heard(ago(ven.lastSeen))}`)),
    may("ven.send") ? h("button", { class: "primary", onclick: () => sendDialog(id, load) }, T.ven.send) : "");
    figures.replaceChildren(
      figure(T.ven.using, kw(ven.metrics.currentPowerKnown ? ven.metrics.currentPowerKw : null), "kW"),
      figure(T.ven.couldShed, kw(ven.metrics.shedAvailabilityKnown ? ven.metrics.shedAvailabilityKw : null), "kW"),
      figure(T.ven.circuitsShed, whole(ven.metrics.shedLoadIds.length), T.ven.of(ven.loads.length)),
      figure(T.ven.event, ven.metrics.activeEventId ?? T.ven.noEvent));
    redraw(circuits, h2(T.ven.circuits), ven.loads.length ? table([
      col(T.ven.circuit, (one) => h("button", { class: "plain", onclick: () => { chosen = one; tell(drawCircuit()); } }, one.name ?? one.loadId)),
      col("", (one) => h("span", { class: "row" }, ven.metrics.shedLoadIds.includes(one.loadId) ? h("span", { class: "pill active" }, T.ven.isShed) : "",
        one.enabled === false ? h("span", { class: "pill" }, T.ven.isOff) : "", one.priority === 1 ? h("span", { class: "pill" }, T.ven.isCritical) : "")),
      col(T.ven.drawsKw, (one) => kw(one.currentPowerKnown ? one.currentPowerKw : null, 2), "right"),
      col("", (one) => meter(one.currentPowerKw, one.capacityKw), "wide"),
      col(T.ven.canShedKw, (one) => kw(one.shedCapabilityKw, 2), "right"),
      col("", (one) => one.enabled === null || one.priority === 1 || !may("load.switch") ? "" : h("button", { class: "plain", onclick: () => switchDialog(id, one, load) }, one.enabled ? T.ven.switchOff : T.ven.switchOn), "right"),
    ], ven.loads) : empty(T.ven.noCircuits));
    facts.replaceChildren(h2(T.ven.about), h("dl", { class: "facts" }, [
      [T.ven.registered, moment(ven.createdAt)], [T.ven.place, ven.locationKnown ? `${ven.location.lat.toFixed(3)}, ${ven.location.lon.toFixed(3)}` : T.unknown],
      [T.ven.takesPart, T.ven.until(T.states[ven.availability.state] ?? ven.availability.state, ven.availability.until && moment(ven.availability.until), ven.availability.by, ven.availability.reasonCode)],
      [T.ven.inAnHour, T.kwOf(kw(ven.metrics.shedInAnHourKw))],
      [T.ven.tags, ven.tags.join(", ") || T.unknown], [T.ven.feeder, ven.feeder ?? T.unknown], [T.ven.zone, ven.zone ?? T.unknown],
      [T.ven.agent, ven.agent ? `${ven.agent.version ?? T.unknown} · ${ven.agent.health ?? ""}` : T.unknown],
      [T.ven.certificate, moment(ven.agent?.certificateExpiresAt)],
      [T.ven.event, ven.metrics.activeEventId ? eventLink(ven.metrics.activeEventId) : T.unknown],
    ].flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)])),
    may("ven.send") ? h("div", { class: "row" }, h("button", { onclick: () => editDialog(id, ven, load) }, T.ven.edit),
      h("button", { onclick: () => tell(post(`${venPath(id)}/commands/status`).then((sent) => toast(T.ven.commandState(sent.state)))) }, T.ven.askAgent)) : "");
    redraw(answers, h2(T.ven.answers), acks.length ? table([
      col("", (one) => state(one.status)),
      col(T.ven.to, (one) => (one.eventId ? h("span", {}, `${one.op ?? ""} `, eventLink(one.eventId)) : one.op ?? "")),
      col(T.ven.kw, (one) => (one.actualShedKw === null ? "" : kw(one.actualShedKw, 2)), "right"),
      col("", (one) => moment(one.timestamp), "right"),
    ], acks) : soft(T.ven.noAnswers));
  };
  await load();
  await drawPower();
  const stop = every(5, () => Promise.all([load(), drawPower(), drawCircuit()]));
  charts = [power, circuit];
  return { end() { stop(); charts.forEach((one) => one.end()); } };
}

const series = (points, ...reads) => [points.map((p) => new Date(p.timestamp) / 1000), ...reads.map((read) => points.map(read))];

function plotCard(name) {
  const title = h("h2", { style: "margin:0" }, name);
  const ranges = h("div", { class: "row" });
  const canvas = h("div", { class: "plot" });
  const marks = h("div", {});
  let chart = null;
  return {
    title, ranges,
    element: card(h("div", { class: "row between", style: "margin-bottom:.8rem" }, title, ranges), canvas, marks),
    draw(lines, data) {
      if (!canvas.isConnected) return;
      if (chart) { chart.set(data); return; }
      chart = plot(canvas, lines, data, { height: 220 });
      marks.replaceChildren(legend(lines));
    },
    end() { chart?.end(); },
  };
}

function sendDialog(id, then) {
  const fields = h("div", { class: "fields" },
    h("label", {}, T.ven.shedKw, h("input", { name: "kw", type: "number", min: "0.001", step: "any", required: true })),
    h("label", {}, T.ven.minutes, h("input", { name: "minutes", type: "number", min: "0.1", max: "1440", step: "any", value: "15", required: true })));
  ask(T.ven.eventTitle, T.ven.eventAbout, fields, T.ven.sendIt, async (form) => {
    const sent = await post(`${venPath(id)}/send-event`, { shedKw: Number(form.get("kw")), durationSec: Number(form.get("minutes")) * 60 });
    toast(T.ven.sent(sent.eventId, sent.state));
    await then();
  });
}

function editDialog(id, ven, then) {
  const text = (name, label, value, more = {}) => h("label", {}, label, h("input", { name, value: value ?? "", ...more }));
  const number = { type: "number", min: "0", step: "any" };
  const fields = fieldsOf(text("tags", T.choose.tags, ven.tags.join(", ")), text("feeder", T.ven.feeder, ven.feeder), text("zone", T.ven.zone, ven.zone), text("timezone", T.ven.timezone, ven.timezone),
    text("most", T.ven.most, ven.mostEventsPerDay, number), text("notice", T.ven.notice, ven.noticeSec && ven.noticeSec / 60, number));
  ask(ven.name, "", fields, T.ven.save, async (form) => {
    await call("PATCH", venPath(id), {
      tags: form.get("tags").split(",").map((one) => one.trim()).filter(Boolean), feeder: form.get("feeder") || null, zone: form.get("zone") || null, timezone: form.get("timezone") || null,
      mostEventsPerDay: form.get("most") ? Number(form.get("most")) : null, noticeSec: form.get("notice") ? Number(form.get("notice")) * 60 : null,
    });
    await then();
  });
}

function switchDialog(id, load, then) {
  const off = load.enabled;
  ask(T.ven.switchTitle(load.name ?? load.loadId, off), T.ven.switchAbout, [], T.ven.switchIt(off), async () => {
    const sent = await call("PATCH", `${venPath(id)}/loads/${encodeURIComponent(load.loadId)}`, { enabled: !load.enabled });
    toast(T.ven.commandState(sent.command.state));
    await then();
  }, load.enabled);
}
