// OpenADR: how each VTN fares, the utilities' events, and which of ours they became.

import { col, every, h, heading, moment, redraw, state, table } from "./ui.js";
import { get } from "./api.js";
import { O } from "./openadr-texts.js";

const EVERY_SEC = 5;
const soft = (text) => h("div", { class: "soft small" }, text);

export async function openadrView(place) {
  const links = h("section", { class: "card" });
  const events = h("section", { class: "card" });
  const drawLinks = (found) => redraw(links, found.links.length ? table([
    col(O.vtn, (one) => h("div", { class: "broken" }, one.link, one.venId ? soft(one.venId) : "")),
    col(O.version, (one) => one.version),
    col(O.state, (one) => h("div", {}, state(one.state), one.problem ? soft(`${one.problem} (${O.failures(one.failures)})`)
      : one.lastProblemAt ? soft(O.lastProblem(moment(one.lastProblemAt), one.lastProblem)) : "")),
    col(O.lastPoll, (one) => (one.lastContactAt ? moment(one.lastContactAt) : ""), "right"),
    col(O.token, (one) => (one.tokenExpiresAt ? moment(one.tokenExpiresAt) : ""), "right wide"),
    col(O.clock, (one) => (one.clockOffsetSec === null ? "" : `${one.clockOffsetSec} s`), "right wide"),
    col(O.changes, (one) => O.told[one.notifications] ?? "", "wide"),
    col(O.programmes, (one) => (one.programs ?? []).map((each) => each.name || each.id).join(", "), "wide"),
  ], found.links) : h("p", { class: "empty" }, O.none));
  const drawEvents = (found) => redraw(events, h("h2", {}, O.events), soft(O.reports(found.reportsWaiting, found.reportsGivenUp)), found.events.length ? table([
    col(O.event, (one) => h("div", {}, one.name ?? one.id, one.name ? soft(one.id) : "")),
    col(O.programme, (one) => one.programId, "wide"),
    col(O.state, (one) => state(one.status)),
    col(O.answer, (one) => h("div", {}, O.answers[one.opt] ?? one.opt, ...one.problems.map((each) => h("div", { class: "soft small broken" }, each.text)))),
    col(O.became, (one) => h("div", {}, ...one.eventIds.map((id) => h("div", { class: "broken" }, h("a", { href: `#/event/${encodeURIComponent(id)}` }, id))))),
    col(O.seen, (one) => moment(one.firstSeenAt), "right wide"),
  ], found.events) : h("p", { class: "empty" }, O.noEvents));
  const load = async () => {
    const found = await get("/api/openadr/");
    drawLinks(found);
    drawEvents(found);
  };
  place.append(heading(O.title, O.about), links, events);
  await load();
  return { end: every(EVERY_SEC, load) };
}
