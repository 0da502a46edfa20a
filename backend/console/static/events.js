// Events: the one that runs, those that come, those that were.

import { ask, every, figure, h, kw, moment, ms, percent, span, state, table, toast } from "./ui.js";
import { call, event as eventPath, get, post } from "./api.js";
import { legend, plot } from "./charts.js";

// The request is drawn last: a delivery that meets it must not hide it.
const CURVE = [
  { label: "Delivered", stroke: "--accent", fill: true },
  { label: "Requested", stroke: "--ink", dash: [6, 5], step: true },
];
const columnsOf = (points) => [points.map((p) => p[0]), points.map((p) => p[2]), points.map((p) => p[1])];
const SETTLED_SEC = 60;

// How well an event does: nothing is said of one that has only begun.
function grade(event) {
  if (Date.now() - new Date(event.startTime) < SETTLED_SEC * 1000) return "";
  const part = event.currentReductionKw / event.requestedReductionKw;
  return part >= 0.95 ? "good" : part >= 0.8 ? "warn" : "bad";
}

export async function nowView(place, store) {
  const create = () => createDialog(store);
  const figures = h("div", { class: "figures" });
  const running = h("div", {});
  const coming = h("div", {});
  place.append(
    h("div", { class: "row between", style: "margin-bottom:1.25rem" },
      h("div", {}, h("h1", {}, "Now"), h("p", { class: "soft", style: "margin:0" }, "The fleet, and the events that run on it.")),
      h("button", { class: "primary", onclick: create }, "New event")),
    figures, running, coming);
  const cards = new Map();
  return {
    update(store) {
      const { network, events } = store.fleet;
      figures.replaceChildren(
        figure("Online", network.onlineVens.toLocaleString("en"), `of ${network.venCount.toLocaleString("en")} VENs`),
        figure("Using", kw(network.householdUsageKw), "kW"),
        figure("Could shed more", kw(network.potentialLoadReductionKw), "kW"),
        figure("Shedding", kw(network.currentLoadReductionKw), "kW", true));
      const active = events.filter((event) => event.status === "active");
      for (const [id, card] of cards) if (!active.some((event) => event.id === id)) { card.end(); cards.delete(id); }
      for (const event of active) {
        if (!cards.has(event.id)) { const card = liveCard(event); cards.set(event.id, card); running.prepend(card.element); card.draw(store); }
        cards.get(event.id).update(event, store);
      }
      if (!active.length) running.replaceChildren(h("div", { class: "card empty" }, h("p", {}, "No event is running."),
        h("button", { onclick: create }, "Create one")));
      else running.querySelector(".empty")?.remove();
      const next = events.filter((event) => event.status === "scheduled");
      coming.replaceChildren(next.length ? h("div", { class: "card" }, h("h2", {}, "Coming"), comingTable(next)) : "");
    },
    end() { for (const card of cards.values()) card.end(); },
  };
}

// One running event: figures, curve, stop.
function liveCard(event) {
  const left = h("span", { class: "soft num" });
  const inside = h("div", { class: "inside" });
  const curve = h("div", { class: "plot" });
  let chart = null;
  const element = h("section", { class: "card", "data-event": event.id },
    h("div", { class: "row between" },
      h("div", { class: "row" }, state("active"), h("a", { href: `#/event/${encodeURIComponent(event.id)}` }, h("strong", {}, event.id)), left),
      h("button", { class: "danger", onclick: () => stopDialog(event.id) }, "Stop")),
    inside, curve, legend(CURVE));
  return {
    element,
    draw(store) {
      chart = plot(curve, CURVE, columnsOf(store.curves.get(event.id) ?? []), { from: event.requestedReductionKw });
    },
    update(now, store) {
      left.textContent = `${span((new Date(now.endTime) - Date.now()) / 1000)} left`;
      inside.replaceChildren(...[
        ["Requested", `${kw(now.requestedReductionKw)} kW`],
        ["Delivered", `${kw(now.currentReductionKw)} kW`],
        ["Of the request", h("span", { class: `of ${grade(now)}` }, percent(now.currentReductionKw, now.requestedReductionKw))],
        ["Responding", `${now.vensResponding.toLocaleString("en")} of ${now.vensAsked.toLocaleString("en")}`],
        ["Mean answer time", ms(now.avgResponseMs)],
      ].map(([label, value]) => h("div", {}, h("span", {}, label), h("strong", {}, value))));
      chart?.set(columnsOf(store.curves.get(event.id) ?? []));
    },
    end() { chart?.end(); element.remove(); },
  };
}

const NAME = { label: "Event", cell: (event) => h("a", { href: `#/event/${encodeURIComponent(event.id)}` }, event.id) };
const open = (event) => { location.hash = `#/event/${encodeURIComponent(event.id)}`; };

function comingTable(events) {
  return table([
    NAME,
    { label: "Start", cell: (event) => moment(event.startTime) },
    { label: "In", wide: true, cell: (event) => span((new Date(event.startTime) - Date.now()) / 1000) },
    { label: "Length", cell: (event) => span((new Date(event.endTime) - new Date(event.startTime)) / 1000) },
    { label: "Requested kW", right: true, cell: (event) => kw(event.requestedReductionKw) },
  ], events, open);
}

function eventTable(events) {
  return table([
    NAME,
    { label: "State", cell: (event) => state(event.status) },
    { label: "Start", cell: (event) => moment(event.startTime) },
    { label: "Length", wide: true, cell: (event) => span((new Date(event.endedAt ?? event.endTime) - new Date(event.startTime)) / 1000) },
    { label: "Requested kW", right: true, cell: (event) => kw(event.requestedReductionKw) },
    { label: "Achieved kW", right: true, wide: true, cell: (event) => kw(event.actualReductionKw) },
    { label: "", right: true, cell: (event) => percent(event.actualReductionKw ?? 0, event.actualReductionKw === null ? 0 : event.requestedReductionKw) },
  ], events, open);
}

export async function eventsView(place, store) {
  const list = h("div", { class: "card" });
  const load = async () => {
    const events = await get("/api/events/?limit=200");
    list.replaceChildren(events.length ? eventTable(events) : h("p", { class: "empty" }, "There has been no event yet."));
  };
  place.append(h("div", { class: "row between", style: "margin-bottom:1.25rem" },
    h("h1", {}, "Events"), h("button", { class: "primary", onclick: () => createDialog(store) }, "New event")), list);
  await load();
  return { end: every(5, load) };
}

const PARTS = 300;
const NOBODY = {
  scheduled: "VENs are asked when it begins.",
  active: "No VEN can take part now. Those that come online with something to shed join by themselves.",
  completed: "No VEN took part.",
  cancelled: "Nobody was asked.",
};

export async function eventView(place, store, id) {
  const head = h("div", { class: "row between", style: "margin-bottom:1.25rem" });
  const figures = h("div", { class: "figures" });
  const curve = h("div", { class: "plot" });
  const curveCard = h("section", { class: "card" }, h("h2", {}, "Requested and delivered"), curve, legend(CURVE));
  const outcome = h("div", {});
  const vens = h("section", { class: "card" });
  place.append(head, figures, curveCard, outcome, vens);
  let chart = null;
  let filter = "all";
  let last = null;
  const drawVens = () => {
    const counts = last.vensByStatus;
    const chosen = last.vens;
    const over = ["completed", "cancelled"].includes(last.status);
    const gave = (one) => (over ? one.achievedShedKw : one.shedKw);
    const all = filter === "all" ? last.vensAsked : counts[filter] ?? 0;
    vens.replaceChildren(h("h2", {}, "Participation"),
      h("div", { class: "row", style: "margin-bottom:.8rem" }, ["all", ...Object.keys(counts)].map((name) => h("button", {
        "aria-pressed": String(filter === name), onclick: () => { filter = name; load().catch((error) => toast(error.message)); },
      }, `${name.replaceAll("_", " ")} ${(name === "all" ? last.vensAsked : counts[name]).toLocaleString("en")}`))),
      chosen.length ? table([
        { label: "VEN", cell: (one) => h("a", { href: `#/ven/${encodeURIComponent(one.venId)}` }, one.venName) },
        { label: "State", cell: (one) => h("span", { title: one.reason ?? "" }, state(one.status)) },
        { label: "Asked kW", right: true, cell: (one) => kw(one.assignedShedKw, 2) },
        { label: over ? "Achieved kW" : "Delivers kW", right: true, cell: (one) => kw(gave(one), 2) },
        { label: "", wide: true, cell: (one) => h("div", { class: "meter", role: "img", "aria-label": percent(gave(one) ?? 0, one.assignedShedKw) },
          h("i", { style: `width:${Math.min(Math.max((gave(one) ?? 0) / one.assignedShedKw, 0) * 100, 100)}%` })) },
        { label: "Answered in", wide: true, right: true, cell: (one) => ms(one.responseMs) },
      ], chosen) : h("p", { class: "empty" }, filter === "all" ? NOBODY[last.status] : "None is in this state any more."),
      all > chosen.length ? h("p", { class: "soft small" }, `The ${chosen.length} largest of ${all.toLocaleString("en")}.`) : "");
  };
  const load = async () => {
    const status = filter === "all" ? "" : `&status=${filter}`;
    last = await get(`${eventPath(id)}?limit=${PARTS}${status}`);
    const open = ["active", "scheduled"].includes(last.status);
    head.replaceChildren(h("div", {}, h("div", { class: "row" }, h("h1", {}, last.id), state(last.status)),
      h("p", { class: "soft", style: "margin:0" }, `${moment(last.startTime)} – ${moment(last.endTime)}${last.createdBy ? ` · by ${last.createdBy}` : ""}${last.endReason && last.endReason !== "end" ? ` · ${last.endReason}` : ""}`)),
      open ? h("button", { class: "danger", onclick: () => stopDialog(id, load) }, last.status === "active" ? "Stop" : "Cancel event") : "");
    const delivered = last.status === "active" ? last.currentReductionKw : last.actualReductionKw;
    figures.replaceChildren(
      figure("Requested", kw(last.requestedReductionKw), "kW"),
      figure(last.status === "active" ? "Delivered now" : "Achieved", kw(delivered), "kW", true),
      figure("Responding", last.vensResponding.toLocaleString("en"), `of ${last.vensAsked.toLocaleString("en")}`),
      figure("Mean answer time", ms(last.avgResponseMs)));
    drawVens();
    if (last.status === "completed") await drawOutcome(id, outcome);
  };
  await load();
  const draw = (now) => {
    const points = now.curves.get(id) ?? [];
    curveCard.hidden = points.length < 2;
    if (points.length < 2) return;
    if (chart) chart.set(columnsOf(points));
    else chart = plot(curve, CURVE, columnsOf(points), { from: last.requestedReductionKw });
  };
  draw(store);
  return { update: draw, end: every(3, load) };
}

async function drawOutcome(id, place) {
  const { total, measuredAt } = await get(`${eventPath(id)}/performance?limit=0`);
  if (!total) {
    place.replaceChildren(h("section", { class: "card empty" }, measuredAt ? "It could not be measured: there is no telemetry of it."
      : "What it brought is measured a minute after its end."));
    return;
  }
  place.replaceChildren(h("section", { class: "card" }, h("h2", {}, "What it brought"), h("div", { class: "inside" }, [
    ["Baseline", `${kw(total.baselineKw)} kW`], ["Average", `${kw(total.averageKw)} kW`], ["Achieved", `${kw(total.achievedShedKw)} kW`],
    ["Of the request", total.shed_percentage === null ? "–" : `${Math.round(total.shed_percentage)} %`],
    ["Energy", `${kw(total.delivered_kwh)} kWh`], ["Confidence", total.confidence === null ? "–" : `${Math.round(total.confidence * 100)} %`],
  ].map(([label, value]) => h("div", {}, h("span", {}, label), h("strong", {}, value))))));
}

function stopDialog(id, then) {
  ask("Stop this event?", `All VENs of ${id} restore their circuits at once.`, [], "Stop it", async () => {
    await post(`${eventPath(id)}/stop`);
    toast(`${id} is being restored`);
    await then?.();
  }, true);
}

function createDialog(store) {
  const can = store.fleet ? ` ${kw(store.fleet.network.potentialLoadReductionKw)} kW could be shed now.` : "";
  const start = new Date(Date.now() + 15 * 60000 - new Date().getTimezoneOffset() * 60000).toISOString().slice(0, 16);
  const when = h("label", { hidden: true }, "Start", h("input", { name: "start", type: "datetime-local", value: start }));
  const fields = h("div", { class: "fields" },
    h("label", { class: "wide" }, "Reduce by, kW", h("input", { name: "kw", type: "number", min: "0.001", step: "any", required: true, inputmode: "decimal" })),
    h("label", {}, "Begin", h("select", { name: "begin", onchange: (change) => { when.hidden = change.target.value === "now"; } },
      h("option", { value: "now" }, "at once"), h("option", { value: "later" }, "later …"))),
    h("label", {}, "Minutes", h("input", { name: "minutes", type: "number", min: "0.1", max: "1440", step: "any", value: "60", required: true })),
    when,
    h("label", { class: "wide" }, "Name (optional)", h("input", { name: "id", maxlength: "64", pattern: "[A-Za-z0-9._:\\-]+", placeholder: "made up if none" })));
  ask("New event", `Every VEN that can shed takes part, each with what it can.${can}`, fields, "Create event", async (form) => {
    const body = { requestedReductionKw: Number(form.get("kw")), durationSec: Number(form.get("minutes")) * 60 };
    if (form.get("begin") === "later") body.startTime = new Date(form.get("start")).toISOString();
    if (form.get("id")) body.id = form.get("id");
    const made = await call("POST", "/api/events/", body);
    toast(`${made.id} is ${body.startTime ? "scheduled" : "on its way"}`);
    if (!body.startTime) location.hash = "#/";
  });
}
