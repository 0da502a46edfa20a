// Events: the one that runs, those that come, those that were.

import { ask, card, col, empty, eventLink, every, figure, h, h2, heading, kw, meter, moment, ms, pairs, percent, redraw, small, soft, span, state, table, tell, toast, venHref, whole } from "./ui.js";
import { event as eventPath, get, post } from "./api.js";
import { createButton, createDialog } from "./create.js";
import { legend, plot } from "./charts.js";
import { may } from "./account.js";
import { T } from "./texts.js";

// The request is drawn last: a delivery that meets it must not hide it.
const CURVE = [
  { label: T.event.delivered, stroke: "--accent", fill: true },
  { label: T.event.requested, stroke: "--ink", dash: [6, 5], step: true },
];
const LIMIT = [
  { label: T.ven.using, stroke: "--accent", fill: true },
  { label: T.event.limit, stroke: "--ink", dash: [6, 5], step: true },
];
const columnsOf = (event, points) => [points.map((p) => p[0]), ...[2, 1].map((of) => points.map((p) => upwards(event, p[of])))];
const SETTLED_SEC = 60;
const pills = (event) => [event.kind !== "event" && T.event.kinds[event.kind], event.test && T.event.test, event.dryRun && T.event.isDryRun].filter(Boolean).map((word) => h("span", { class: "pill" }, word));
const limitName = (event) => (event.importKw === null ? T.event.exportLimit : T.event.limit);
const limitOf = (event) => kw(event.importKw ?? event.exportKw);
// More load is asked for and told as what it is: upwards.
const upwards = (event, value) => (event.kind === "loadUp" && value !== null ? 0 - value : value);
const openEnd = (event) => (event.kind === "limit" ? T.event.openEnd : T.event.stoppedBy(moment(event.endTime)));
const until = (event, from, to, words) => (event.openEnded && !event.endedAt ? openEnd(event) : words(span((new Date(to) - from) / 1000)));
const length = (event) => until(event, new Date(event.startTime), event.endedAt ?? event.endTime, (text) => text);

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
    heading(T.now.title, T.now.about,
      createButton(store)),
    figures, running, coming);
  const cards = new Map();
  return {
    update(store) {
      const { network, events } = store.fleet;
      figures.replaceChildren(
        figure(T.now.online, whole(network.onlineVens), T.now.ofVens(network.venCount)),
        figure(T.now.using, kw(network.householdUsageKw), "kW"),
        figure(T.now.couldShed, kw(network.potentialLoadReductionKw), "kW"),
        figure(T.now.shedding, kw(network.currentLoadReductionKw), "kW", true));
      const active = events.filter((event) => event.status === "active");
      for (const [id, card] of cards) if (!active.some((event) => event.id === id)) { card.end(); cards.delete(id); }
      for (const event of active) {
        if (!cards.has(event.id)) { const card = liveCard(event); cards.set(event.id, card); running.prepend(card.element); card.draw(store); }
        cards.get(event.id).update(event, store);
      }
      if (!active.length) running.replaceChildren(h("div", { class: "card empty" }, h("p", {}, T.now.none),
        may("event.create") && h("button", { onclick: create }, T.now.create)));
      else running.querySelector(".empty")?.remove();
      const next = events.filter((event) => event.status === "scheduled");
      redraw(coming, next.length ? h("div", { class: "card" }, h2(T.now.coming), comingTable(next)) : "");
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
      h("div", { class: "row" }, state("active"), h("strong", {}, eventLink(event.id)), ...pills(event), left),
      may("event.stop") && h("button", { class: "danger", onclick: () => stopDialog(event.id) }, T.event.stop)),
    inside, event.kind === "limit" ? "" : h("div", {}, curve, legend(CURVE)));
  return {
    element,
    draw(store) {
      if (event.kind !== "limit") chart = plot(curve, CURVE, columnsOf(event, store.curves.get(event.id) ?? []), { from: upwards(event, event.requestedReductionKw) });
    },
    update(now, store) {
      left.textContent = until(now, Date.now(), now.endTime, T.event.left);
      const [asked, given] = [now.requestedReductionKw, now.currentReductionKw].map((value) => upwards(now, value));
      inside.replaceChildren(...pairs([
        ...(now.kind === "limit" ? [[limitName(now), T.kwOf(limitOf(now))]] : [
          [T.event.requested, T.kwOf(kw(asked))],
          [T.event.delivered, T.kwOf(kw(given))],
          [T.event.ofRequest, h("span", { class: `of ${grade(now)}` }, percent(given, asked))]]),
        [T.event.responding, T.event.ofAsked(now.vensResponding, now.vensAsked)],
        [T.event.answerTime, ms(now.avgResponseMs)],
      ]));
      chart?.set(columnsOf(event, store.curves.get(event.id) ?? []));
    },
    end() { chart?.end(); element.remove(); },
  };
}

const NAME = col(T.event.event, (event) => h("div", {}, h("div", {}, eventLink(event.id)), ...pills(event)));
const REQUESTED = col(T.event.requestedKw, (event) => (event.kind === "limit" ? `≤ ${limitOf(event)}` : kw(upwards(event, event.requestedReductionKw))), "right");
const open = (event) => { location.hash = `#/event/${encodeURIComponent(event.id)}`; };

function comingTable(events) {
  return table([
    NAME,
    col(T.event.start, (event) => moment(event.startTime)),
    col(T.event.in, (event) => span((new Date(event.startTime) - Date.now()) / 1000), "wide"),
    col(T.event.length, length),
    REQUESTED,
  ], events, open);
}

function eventTable(events) {
  return table([
    NAME,
    col(T.event.state, (event) => state(event.status)),
    col(T.event.start, (event) => moment(event.startTime)),
    col(T.event.length, length, "wide"),
    REQUESTED,
    col(T.event.achievedKw, (event) => (event.kind === "limit" ? "–" : kw(upwards(event, event.actualReductionKw))), "right wide"),
    col("", (event) => percent(event.actualReductionKw ?? 0, event.actualReductionKw === null ? 0 : event.requestedReductionKw), "right"),
  ], events, open);
}

export async function eventsView(place, store) {
  const list = card();
  const load = async () => {
    const events = await get("/api/events/?limit=200");
    redraw(list, events.length ? eventTable(events) : empty(T.event.none));
  };
  place.append(heading(T.event.events, "", createButton(store)), list);
  await load();
  return { end: every(5, load) };
}

const PARTS = 300;

export async function eventView(place, store, id) {
  const head = h("div", { class: "row between head" });
  const figures = h("div", { class: "figures" });
  const curve = h("div", { class: "plot" });
  let site = "";
  const sites = h("select", { "aria-label": T.event.site, style: "width:auto;margin:0", onchange: () => { site = sites.value; chart?.end(); chart = null; tell(drawCurve()); } });
  const marks = h("div", {});
  const curveCard = card(h("div", { class: "row between" }, h2(T.event.curve), sites), curve, marks);
  const answers = h("details", { class: "card", ontoggle: () => tell(drawAnswers()) }, h("summary", {}, T.event.answers));
  const outcome = h("div", {});
  const vens = card();
  place.append(head, figures, curveCard, outcome, vens, answers);
  let chart = null;
  let filter = "all";
  let last = null;
  const drawVens = () => {
    const counts = last.vensByStatus;
    const chosen = last.vens;
    const over = ["completed", "cancelled"].includes(last.status);
    const gave = (one) => (over ? one.achievedShedKw : one.shedKw);
    const all = filter === "all" ? last.vensAsked : counts[filter] ?? 0;
    redraw(vens, h2(T.event.participation),
      h("div", { class: "row", style: "margin-bottom:.8rem" }, ["all", ...Object.keys(counts)].map((name) => h("button", {
        "aria-pressed": String(filter === name), onclick: () => { filter = name; tell(load()); },
      }, `${name === "all" ? T.all : T.states[name] ?? name.replaceAll("_", " ")} ${whole(name === "all" ? last.vensAsked : counts[name])}`))),
      chosen.length ? table([
        col(T.fleet.ven, (one) => h("a", { href: venHref(one.venId) }, one.venName)),
        col(T.event.state, (one) => h("span", { title: one.reason ?? "" }, state(one.status))),
        col(T.event.askedKw, (one) => (last.kind === "limit" ? "–" : kw(upwards(last, one.assignedShedKw), 2)), "right"),
        col(over ? T.event.achievedKw : T.event.deliversKw, (one) => kw(upwards(last, gave(one)), 2), "right"),
        col("", (one) => meter(gave(one), one.assignedShedKw), "wide"),
        col(T.event.answeredIn, (one) => ms(one.responseMs), "right wide"),
      ], chosen) : empty(filter === "all" ? T.event.nobody[last.status] : T.event.noneInState),
      all > chosen.length ? h("p", { class: "soft small" }, T.event.largest(chosen.length, all)) : "");
  };
  const load = async () => {
    const status = filter === "all" ? "" : `&status=${filter}`;
    last = await get(`${eventPath(id)}?limit=${PARTS}${status}`);
    const open = ["active", "scheduled"].includes(last.status);
    head.replaceChildren(h("div", {}, h("div", { class: "row" }, h("h1", {}, last.id), state(last.status), ...pills(last)),
      h("p", { class: "soft", style: "margin:0" }, `${moment(last.startTime)} – ${last.openEnded && !last.endedAt ? openEnd(last) : moment(last.openEnded ? last.endedAt : last.endTime)}${last.createdBy ? ` · ${T.event.by(last.createdBy)}` : ""}${last.endReason && last.endReason !== "end" ? ` · ${last.endReason}` : ""}`),
      last.heartbeatSec ? soft(T.event.failsafeIs(kw(last.failsafeKw), span(last.heartbeatSec), last.failsafeMinSec && span(last.failsafeMinSec))) : ""),
      open && may("event.stop") ? h("button", { class: "danger", onclick: () => stopDialog(id, load) }, last.status === "active" ? T.event.stop : T.event.cancel) : "");
    const delivered = last.status === "active" ? last.currentReductionKw : last.actualReductionKw;
    figures.replaceChildren(
      last.kind === "limit" ? figure(limitName(last), limitOf(last), "kW") : figure(T.event.requested, kw(upwards(last, last.requestedReductionKw)), "kW"),
      last.kind === "limit" ? "" : figure(last.status === "active" ? T.event.deliveredNow : T.event.achieved, kw(upwards(last, delivered)), "kW", true),
      figure(T.event.responding, whole(last.vensResponding), T.event.of(last.vensAsked)),
      figure(T.event.answerTime, ms(last.avgResponseMs)));
    drawVens();
    const names = ["", ...last.vens.map((one) => one.venId)];
    if (sites.options.length !== names.length) {
      sites.replaceChildren(...names.map((name) => h("option", { value: name }, name || T.event.allSites)));
      sites.value = site;
    }
    if (last.status === "completed") await drawOutcome(id, outcome);
  };
  // From the store: a reload shows the same, and so does an event of last year.
  const drawCurve = async () => {
    const { points } = await get(`${eventPath(id)}/curve${site ? `?ven_id=${encodeURIComponent(site)}` : ""}`);
    const lines = last.kind === "limit" ? LIMIT : CURVE;
    const [of, bound] = last.kind === "limit" ? ["usedPowerKw", "limitKw"] : ["deliveredKw", "requestedKw"];
    const data = [points.map((p) => new Date(p.timestamp) / 1000), ...[of, bound].map((name) => points.map((p) => upwards(last, p[name])))];
    curveCard.hidden = points.length < 2 && !site;
    if (points.length < 2 || !curve.isConnected) return;
    if (chart) chart.set(data);
    else { chart = plot(curve, lines, data, {}); marks.replaceChildren(legend(lines)); }
  };
  const drawAnswers = async () => {
    if (!answers.open) return;
    const { acks } = await get(`${eventPath(id)}/acks?limit=500`);
    redraw(answers, h("summary", {}, T.event.answers), acks.length ? table([
      col(T.event.at, (one) => moment(one.timestamp)),
      col(T.fleet.ven, (one) => one.venId ?? ""),
      col(T.event.op, (one) => one.op ?? "", "wide"),
      col(T.event.state, (one) => state(one.status ?? "")),
      col(T.event.kw, (one) => kw(one.actual_shed_kw, 2), "right wide"),
      col(T.event.why, (one) => h("div", {}, one.reason ?? "", one.reason_code ? small(one.reason_code) : "")),
    ], acks) : soft(T.event.noAnswers));
  };
  await load();
  await drawCurve();
  const again = async () => {
    const was = last.status;
    await load();
    if (last.status === "active" || was !== last.status) await Promise.all([drawCurve(), drawAnswers()]);
  };
  return { end: every(3, again) };
}

async function drawOutcome(id, place) {
  const { total, measuredAt } = await get(`${eventPath(id)}/performance?limit=0`);
  if (!total) {
    place.replaceChildren(h("section", { class: "card empty" }, measuredAt ? T.event.notMeasured : T.event.measuredLater));
    return;
  }
  place.replaceChildren(card(h2(T.event.outcome), h("div", { class: "inside" }, pairs([
    [T.event.baseline, T.kwOf(kw(total.baselineKw))], [T.event.average, T.kwOf(kw(total.averageKw))], [T.event.achieved, T.kwOf(kw(total.achievedShedKw))],
    [T.event.ofRequest, total.shed_percentage === null ? T.unknown : `${Math.round(total.shed_percentage)} %`],
    [T.event.energy, T.kwhOf(kw(total.delivered_kwh))], [T.event.confidence, total.confidence === null ? T.unknown : `${Math.round(total.confidence * 100)} %`],
  ]))));
}

function stopDialog(id, then) {
  ask(T.event.stopTitle, T.event.stopAbout(id), [], T.event.stopIt, async () => {
    await post(`${eventPath(id)}/stop`);
    toast(T.event.stopped(id));
    await then?.();
  }, true);
}
