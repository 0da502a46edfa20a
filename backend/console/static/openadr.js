// OpenADR: how each VTN fares, the utilities' events, and which of ours they became.

import { every, h, heading, moment, redraw, state, table } from "./ui.js";
import { get } from "./api.js";
import { O } from "./openadr-texts.js";

const EVERY_SEC = 5;
const soft = (text) => h("div", { class: "soft small" }, text);

export async function openadrView(place) {
  const links = h("section", { class: "card" });
  const events = h("section", { class: "card" });
  const drawLinks = (found) => redraw(links, found.links.length ? table([
    { label: O.vtn, cell: (one) => h("div", {}, one.link, one.venId ? soft(one.venId) : "") },
    { label: O.version, cell: (one) => one.version },
    { label: O.state, cell: (one) => h("div", {}, state(one.state), one.problem ? soft(`${one.problem} (${O.failures(one.failures)})`)
      : one.lastProblemAt ? soft(O.lastProblem(moment(one.lastProblemAt), one.lastProblem)) : "") },
    { label: O.lastPoll, right: true, cell: (one) => (one.lastContactAt ? moment(one.lastContactAt) : "") },
    { label: O.token, right: true, wide: true, cell: (one) => (one.tokenExpiresAt ? moment(one.tokenExpiresAt) : "") },
    { label: O.clock, right: true, wide: true, cell: (one) => (one.clockOffsetSec === null ? "" : `${one.clockOffsetSec} s`) },
    { label: O.changes, wide: true, cell: (one) => O.told[one.notifications] ?? "" },
    { label: O.programmes, wide: true, cell: (one) => (one.programs ?? []).map((each) => each.name || each.id).join(", ") },
  ], found.links) : h("p", { class: "empty" }, O.none));
  const drawEvents = (found) => redraw(events, h("h2", {}, O.events), soft(O.reports(found.reportsWaiting, found.reportsGivenUp)), found.events.length ? table([
    { label: O.event, cell: (one) => h("div", {}, one.name ?? one.id, one.name ? soft(one.id) : "") },
    { label: O.programme, wide: true, cell: (one) => one.programId },
    { label: O.state, cell: (one) => state(one.status) },
    { label: O.answer, cell: (one) => h("div", {}, O.answers[one.opt] ?? one.opt, ...one.problems.map((each) => soft(each.text))) },
    { label: O.became, cell: (one) => h("div", {}, ...one.eventIds.map((id) => h("div", {}, h("a", { href: `#/event/${encodeURIComponent(id)}` }, id)))) },
    { label: O.seen, right: true, wide: true, cell: (one) => moment(one.firstSeenAt) },
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
