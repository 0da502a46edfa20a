// Programmes, after which events are made, and groups of VENs.

import { ask, card, col, empty, fieldsOf, h, h2, heading, kw, moment, redraw, small, span, table, toast, whole } from "./ui.js";
import { call, get, post } from "./api.js";
import { check, choiceFields, choiceOf, field, number } from "./create.js";
import { may } from "./account.js";
import { T } from "./texts.js";

const chosen = (choice) => Object.entries(choice ?? {}).map(([name, values]) => `${T.choose.of[name] ?? name}: ${(Array.isArray(values) ? values : Object.keys(values)).join(", ")}`).join("; ") || T.choose.everyone;
const windowOf = (one) => (one.windowStart ? `${one.days ? one.days.map((day) => T.programme.weekdays[day - 1]).join(" ") : T.programme.daily} ${one.windowStart}${one.windowEnd ? `–${one.windowEnd}` : ""} ${one.timezone}` : T.programme.always);

export async function programmesView(place) {
  const programmes = card();
  const groups = card();
  const load = async () => {
    const [some, sets] = await Promise.all([get("/api/programmes/"), get("/api/groups/")]);
    const remove = (path, name) => may("event.create") && h("button", { class: "plain", onclick: () => ask(T.programme.removeTitle(name), T.programme.removeAbout, [], T.programme.remove, async () => {
      await call("DELETE", path);
      await load();
    }, true) }, T.programme.remove);
    redraw(programmes, h2(T.programme.programmes), some.length ? table([
      col(T.programme.name, (one) => h("div", {}, one.name, one.test ? ` · ${T.event.test}` : "", small(chosen(one.selection)))),
      col(T.event.kind, (one) => T.event.kinds[one.kind], "wide"),
      col("kW", (one) => kw(one.powerKw), "right"),
      col(T.event.length, (one) => span(one.durationSec), "wide"),
      col(T.programme.window, windowOf, "wide"),
      col(T.programme.next, (one) => (one.recurring ? moment(one.nextStart) : T.programme.byHand)),
      col("", (one) => remove(`/api/programmes/${encodeURIComponent(one.id)}`, one.name), "right"),
    ], some) : empty(T.programme.none));
    redraw(groups, h2(T.programme.groups), sets.length ? table([
      col(T.programme.name, (one) => h("div", {}, one.name, small(chosen(one.selection)))),
      col(T.programme.vens, (one) => whole(one.venCount), "right"),
      col(T.programme.online, (one) => whole(one.onlineVens), "right wide"),
      col(T.fleet.canShedKw, (one) => kw(one.shedAvailabilityKw), "right"),
      col("", (one) => remove(`/api/groups/${encodeURIComponent(one.name)}`, one.name), "right"),
    ], sets) : empty(T.programme.noGroups));
  };
  place.append(heading(T.programme.title, T.programme.about, may("event.create") && h("div", { class: "row" }, h("button", { onclick: () => groupDialog(load) }, T.programme.newGroup),
      h("button", { class: "primary", onclick: () => programmeDialog(load).catch((error) => toast(error.message)) }, T.programme.new))), programmes, groups);
  await load();
  return {};
}

async function programmeDialog(then) {
  const groups = await get("/api/groups/");
  const fields = h("div", {}, h("div", { class: "fields" },
    field(T.programme.name, h("input", { name: "name", required: true, maxlength: "200" }), true),
    field(T.event.kind, h("select", { name: "kind" }, Object.entries(T.event.kinds).map(([value, label]) => h("option", { value }, label)))),
    field("kW", number("kw", { required: true })),
    field(T.event.minutes, number("minutes", { value: "60", required: true })),
    field(T.event.notice, number("notice")),
    field(T.programme.from, h("input", { name: "from", type: "time" })),
    field(T.programme.to, h("input", { name: "to", type: "time" })),
    field(T.programme.zone, h("input", { name: "zone", value: Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC" })),
    field(T.programme.most, number("most", { step: "1" }))),
  h("fieldset", { class: "row" }, h("legend", { class: "small" }, T.programme.days), T.programme.weekdays.map((day, at) => check("day", day, { value: at + 1 }))),
  choiceFields(groups),
  h("div", { class: "row" }, check("recurring", T.programme.recurring), check("test", T.event.test)));
  ask(T.programme.new, "", fields, T.programme.create, async (form) => {
    const days = form.getAll("day").map(Number);
    const choice = choiceOf(form);
    await post("/api/programmes/", {
      name: form.get("name"), kind: form.get("kind"), powerKw: Number(form.get("kw")), durationSec: Number(form.get("minutes")) * 60,
      timezone: form.get("zone"), recurring: Boolean(form.get("recurring")), test: Boolean(form.get("test")),
      ...(form.get("notice") && { noticeSec: Number(form.get("notice")) * 60 }), ...(form.get("from") && { windowStart: form.get("from") }),
      ...(form.get("to") && { windowEnd: form.get("to") }), ...(days.length && { days }), ...(form.get("most") && { mostEventsPerDay: Number(form.get("most")) }),
      ...(Object.keys(choice).length && { selection: choice }),
    });
    await then();
  });
}

function groupDialog(then) {
  const fields = h("div", {}, fieldsOf(field(T.programme.name, h("input", { name: "name", required: true, maxlength: "200" }), true)), choiceFields([]));
  ask(T.programme.newGroup, T.programme.groupAbout, fields, T.programme.create, async (form) => {
    await post("/api/groups/", { name: form.get("name"), ...choiceOf(form) });
    await then();
  });
}
