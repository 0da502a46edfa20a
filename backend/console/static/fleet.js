// The fleet, and one VEN of it.

import { ago, ask, every, figure, h, kw, moment, percent, state, table, toast } from "./ui.js";
import { call, get, page, post, ven as venPath } from "./api.js";
import { legend, plot } from "./charts.js";

const AT_ONCE = 200;
const HISTORY = [["1h", "Hour", 3600], ["6h", "6 hours", 21600], ["24h", "Day", 86400], ["7d", "Week", 604800]];
const POWER = [
  { label: "Using", stroke: "--accent", fill: true },
  { label: "Shed", stroke: "--warn" },
  { label: "Asked to shed", stroke: "--asked", dash: [6, 5] },
];

export async function fleetView(place) {
  const rows = h("div", { class: "card" });
  const count = h("span", { class: "soft" });
  let text = "";
  let status = "all";
  let most = AT_ONCE;
  let asked = 0;
  const draw = (vens, total) => {
    count.textContent = total.toLocaleString("en");
    rows.replaceChildren(vens.length ? table([
      { label: "VEN", cell: (one) => h("a", { href: `#/ven/${encodeURIComponent(one.id)}` }, one.name) },
      { label: "State", cell: (one) => state(one.status) },
      { label: "Using kW", right: true, wide: true, cell: (one) => kw(one.currentPowerKw, 2) },
      { label: "Can shed kW", right: true, cell: (one) => kw(one.shedAvailabilityKw, 2) },
      { label: "Sheds kW", right: true, wide: true, cell: (one) => (one.shedPowerKw ? kw(one.shedPowerKw, 2) : "") },
      { label: "Event", wide: true, cell: (one) => one.activeEventId ? h("a", { href: `#/event/${encodeURIComponent(one.activeEventId)}` }, one.activeEventId) : "" },
      { label: "Heard", right: true, wide: true, cell: (one) => ago(one.lastSeen) },
    ], vens, (one) => { location.hash = `#/ven/${encodeURIComponent(one.id)}`; })
      : h("p", { class: "empty" }, text || status !== "all" ? "None fits." : "No VEN has been heard yet. One appears with its first telemetry."),
    total > vens.length ? h("div", { class: "row", style: "justify-content:center;padding-top:1rem" },
      h("span", { class: "soft" }, `${vens.length.toLocaleString("en")} of ${total.toLocaleString("en")}`),
      h("button", { onclick: () => { most += AT_ONCE; again(); } }, "Show more")) : "");
  };
  // The backend searches: ten thousand VENs are never all in the page.
  const load = async () => {
    const number = ++asked;
    const query = new URLSearchParams({ limit: most, ...(text && { search: text }), ...(status !== "all" && { status }) });
    const { rows: vens, total } = await page(`/api/vens/summary?${query}`);
    if (number === asked) draw(vens, total); // else another question was asked meanwhile
  };
  const again = () => load().catch((error) => toast(error.message));
  const filters = h("div", { class: "row", role: "group", "aria-label": "State" });
  const drawFilters = () => filters.replaceChildren(...["all", "online", "offline", "unknown"].map((name) => h("button", {
    "aria-pressed": String(status === name), onclick: () => { status = name; most = AT_ONCE; drawFilters(); again(); } }, name)));
  drawFilters();
  let typed;
  place.append(h("div", { class: "row between", style: "margin-bottom:1.25rem" }, h("div", { class: "row" }, h("h1", {}, "Fleet"), count)),
    h("div", { class: "row between", style: "margin-bottom:1rem" }, filters,
      h("input", { type: "search", placeholder: "Find by name or id", "aria-label": "Find a VEN", style: "max-width:280px;margin:0",
        oninput: (change) => {
          text = change.target.value.trim();
          most = AT_ONCE;
          clearTimeout(typed);
          typed = setTimeout(again, 150);
        } })), rows);
  await load();
  return { end: every(5, load) };
}

export async function venView(place, _store, id) {
  const head = h("div", { class: "row between", style: "margin-bottom:1.25rem" });
  const figures = h("div", { class: "figures" });
  const circuits = h("section", { class: "card" });
  const facts = h("section", { class: "card" });
  const answers = h("section", { class: "card" });
  const power = plotCard("Power");
  const circuit = plotCard("Circuit");
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
    circuit.draw([{ label: "Draws", stroke: "--accent", fill: true }], series(points, (p) => (p.usedPowerKnown ? p.usedPowerKw : null)));
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
      h("p", { class: "soft", style: "margin:0" }, h("a", { href: "#/fleet" }, "Fleet"), ` · ${ven.id} · heard ${ago(ven.lastSeen)}`)),
    h("button", { class: "primary", onclick: () => sendDialog(id, load) }, "Send event"));
    figures.replaceChildren(
      figure("Using", kw(ven.metrics.currentPowerKnown ? ven.metrics.currentPowerKw : null), "kW"),
      figure("Could shed", kw(ven.metrics.shedAvailabilityKnown ? ven.metrics.shedAvailabilityKw : null), "kW"),
      figure("Circuits shed", String(ven.metrics.shedLoadIds.length), `of ${ven.loads.length}`),
      figure("Event", ven.metrics.activeEventId ?? "none"));
    circuits.replaceChildren(h("h2", {}, "Circuits"), ven.loads.length ? table([
      { label: "Circuit", cell: (one) => h("button", { class: "plain", onclick: () => { chosen = one; drawCircuit().catch((error) => toast(error.message)); } }, one.name ?? one.loadId) },
      { label: "", cell: (one) => h("span", { class: "row" }, ven.metrics.shedLoadIds.includes(one.loadId) ? h("span", { class: "pill active" }, "shed") : "",
        one.enabled === false ? h("span", { class: "pill" }, "off") : "", one.priority === 1 ? h("span", { class: "pill" }, "critical") : "") },
      { label: "Draws kW", right: true, cell: (one) => kw(one.currentPowerKnown ? one.currentPowerKw : null, 2) },
      { label: "", wide: true, cell: (one) => h("div", { class: "meter", role: "img", "aria-label": percent(one.currentPowerKw ?? 0, one.capacityKw) },
        h("i", { style: `width:${Math.min(Math.max((one.currentPowerKw ?? 0) / (one.capacityKw || 1), 0) * 100, 100)}%` })) },
      { label: "Can shed kW", right: true, cell: (one) => kw(one.shedCapabilityKw, 2) },
      { label: "", right: true, cell: (one) => one.enabled === null || one.priority === 1 ? "" : h("button", { class: "plain", onclick: () => switchDialog(id, one, load) }, one.enabled ? "Switch off" : "Switch on") },
    ], ven.loads) : h("p", { class: "empty" }, "It has not told its circuits yet."));
    facts.replaceChildren(h("h2", {}, "About"), h("dl", { class: "facts" }, [
      ["Registered", moment(ven.createdAt)], ["Place", ven.locationKnown ? `${ven.location.lat.toFixed(3)}, ${ven.location.lon.toFixed(3)}` : "–"],
      ["Event", ven.metrics.activeEventId ? h("a", { href: `#/event/${encodeURIComponent(ven.metrics.activeEventId)}` }, ven.metrics.activeEventId) : "–"],
    ].flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)])));
    answers.replaceChildren(h("h2", {}, "Answers"), acks.length ? table([
      { label: "", cell: (one) => state(one.status) },
      { label: "To", cell: (one) => one.op ?? "" },
      { label: "kW", right: true, cell: (one) => (one.actualShedKw === null ? "" : kw(one.actualShedKw, 2)) },
      { label: "", right: true, cell: (one) => moment(one.timestamp) },
    ], acks) : h("p", { class: "soft" }, "None yet."));
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
    element: h("section", { class: "card" }, h("div", { class: "row between", style: "margin-bottom:.8rem" }, title, ranges), canvas, marks),
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
    h("label", {}, "Shed, kW", h("input", { name: "kw", type: "number", min: "0.001", step: "any", required: true })),
    h("label", {}, "Minutes", h("input", { name: "minutes", type: "number", min: "0.1", max: "1440", step: "any", value: "15", required: true })));
  ask("Event for this VEN", "It begins at once, and concerns no other.", fields, "Send", async (form) => {
    const sent = await post(`${venPath(id)}/send-event`, { shedKw: Number(form.get("kw")), durationSec: Number(form.get("minutes")) * 60 });
    toast(`${sent.eventId}: ${sent.state}`);
    await then();
  });
}

function switchDialog(id, load, then) {
  const word = load.enabled ? "off" : "on";
  ask(`Switch ${load.name ?? load.loadId} ${word}?`, "The VEN does it when the command arrives; its next telemetry shows it.", [], `Switch ${word}`, async () => {
    const sent = await call("PATCH", `${venPath(id)}/loads/${encodeURIComponent(load.loadId)}`, { enabled: !load.enabled });
    toast(`Command ${sent.command.state}`);
    await then();
  }, load.enabled);
}
