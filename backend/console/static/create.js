// A new event: of which kind, for whom, and what stands behind it before it is sent.

import { ask, fieldsOf, h, kw, toast, whole, zone } from "./ui.js";
import { call, get, post } from "./api.js";
import { may } from "./account.js";
import { T } from "./texts.js";

export const createButton = (store) => may("event.create") && h("button", { class: "primary", onclick: () => createDialog(store) }, T.event.new);

const words = (text) => (text ?? "").split(",").map((one) => one.trim()).filter(Boolean);
const option = (value, label = value) => h("option", { value }, label);
export const field = (label, control, wide) => h("label", { class: wide ? "wide" : "" }, label, control);
export const check = (name, label, more = {}) => h("label", { class: "row" }, h("input", { type: "checkbox", name, ...more }), label);
export const number = (name, more = {}) => h("input", { name, type: "number", min: "0", step: "any", ...more });
const POWER = { event: "requestedReductionKw", limit: "importKw", loadUp: "raiseKw" };

// The choice of VENs of a form: groups and tags, feeders, zones written with commas.
export const choiceFields = (groups) => h("div", { class: "fields" },
  groups.length ? field(T.choose.group, h("select", { name: "group" }, option("", T.choose.anyGroup), groups.map((one) => option(one.name)))) : "",
  field(T.choose.tags, h("input", { name: "tags" })),
  field(T.choose.feeders, h("input", { name: "feeders" })),
  field(T.choose.zones, h("input", { name: "zones" })));

export function choiceOf(form) {
  const choice = {};
  if (form.get("group")) choice.groups = [form.get("group")];
  for (const name of ["tags", "feeders", "zones"]) if (words(form.get(name)).length) choice[name] = words(form.get(name));
  return choice;
}

function bodyOf(form) {
  const body = { durationSec: form.get("open") ? 0 : Number(form.get("minutes")) * 60 };
  const choice = choiceOf(form);
  if (form.get("programme")) {
    body.programmeId = form.get("programme");
    if (!form.get("minutes") && !form.get("open")) delete body.durationSec;
  } else if (form.get("kind") !== "event") body.kind = form.get("kind");
  if (form.get("kw")) body[POWER[form.get("kind")]] = Number(form.get("kw"));
  if (Object.keys(choice).length) body.selection = choice;
  if (form.get("begin") === "later") body.startTime = new Date(form.get("start")).toISOString();
  if (form.get("notice")) body.noticeSec = Number(form.get("notice")) * 60;
  if (form.get("kind") === "limit") {
    if (form.get("each")) body.limitPerSite = true;
    for (const [name, factor] of [["failsafeKw", 1], ["heartbeatSec", 60], ["failsafeMinSec", 60]]) if (form.get(name)) body[name] = Number(form.get(name)) * factor;
  }
  if (form.get("test")) body.test = true;
  if (form.get("dry")) body.dryRun = true;
  if (form.get("id")) body.id = form.get("id");
  return body;
}

export async function createDialog(store) {
  const [programmes, groups] = await Promise.all([get("/api/programmes/"), get("/api/groups/")]);
  const can = store.fleet ? kw(store.fleet.network.potentialLoadReductionKw) : "";
  const start = new Date(Date.now() + 15 * 60000 - new Date().getTimezoneOffset() * 60000).toISOString().slice(0, 16);
  const when = h("label", { hidden: true }, T.event.startIn(zone()), h("input", { name: "start", type: "datetime-local", value: start }));
  const power = h("span", {}, T.event.reduceBy);
  const amount = number("kw", { min: "0.001", required: true, inputmode: "decimal" });
  const positive = (name, label) => field(label, number(name));
  const ofLimit = h("div", { hidden: true }, fieldsOf(positive("failsafeKw", T.event.failsafe), positive("heartbeatSec", T.event.heartbeat), positive("failsafeMinSec", T.event.failsafeMin),
    check("each", T.event.each)), h("p", { class: "soft small" }, T.event.failsafeAbout));
  const kind = h("select", { name: "kind", onchange: () => { power.textContent = T.event.powerOf[kind.value]; ofLimit.hidden = kind.value !== "limit"; } },
    Object.entries(T.event.kinds).map(([value, label]) => option(value, label)));
  const minutes = number("minutes", { min: "0.1", max: "1440", value: "60", required: true });
  const behind = h("p", { class: "soft", role: "status" });
  const programme = h("select", { name: "programme", onchange: () => {
    const one = programmes.find((each) => each.id === programme.value);
    kind.value = one?.kind ?? "event";
    kind.disabled = Boolean(one);
    amount.value = one?.powerKw ?? "";
    minutes.value = one ? one.durationSec / 60 : 60;
    kind.dispatchEvent(new Event("change"));
  } }, option("", T.event.noProgramme), programmes.filter((one) => one.active).map((one) => option(one.id, one.name)));
  const fields = h("div", {}, h("div", { class: "fields" },
    programmes.length ? field(T.programme.programme, programme, true) : "",
    h("label", { class: "wide" }, power, amount),
    h("label", {}, T.event.begin, h("select", { name: "begin", onchange: (change) => { when.hidden = change.target.value === "now"; } },
      option("now", T.event.atOnce), option("later", T.event.later))),
    field(T.event.minutes, minutes),
    check("open", T.event.untilStopped, { onchange: (change) => { minutes.disabled = change.target.checked; } }),
    when,
    field(T.event.name, h("input", { name: "id", maxlength: "64", pattern: "[A-Za-z0-9._:\\-]+", placeholder: T.event.madeUp }), true)),
  h("details", {}, h("summary", {}, T.event.more), fieldsOf(field(T.event.kind, kind),
    positive("notice", T.event.notice)), ofLimit, choiceFields(groups),
  h("div", { class: "row" }, check("test", T.event.test), check("dry", T.event.dryRun))), behind);
  // A control that is disabled is in no form.
  const read = (form) => { form.set("kind", kind.value); return bodyOf(form); };
  ask(T.event.new, T.event.newAbout(can), fields, T.event.create, async (form) => {
    const body = read(form);
    const made = await call("POST", "/api/events/", body);
    toast(T.event.made(made.id, body.startTime));
    if (!body.startTime) location.hash = "#/";
  });
  const form = fields.closest("form");
  let typed;
  const look = () => {
    clearTimeout(typed);
    typed = setTimeout(async () => {
      if (!form.isConnected || !form.checkValidity()) { behind.textContent = ""; return; }
      try {
        const body = read(new FormData(form));
        delete body.id;
        const seen = await post("/api/events/preview", body);
        const left = Object.entries(seen.leftOut).map(([why, number]) => `${whole(number)} ${T.states[why] ?? why.replaceAll("_", " ")}`);
        behind.textContent = `${T.event.behind(seen.asked, seen.venCount, kw(seen.availableKw))}${left.length ? ` ${T.event.leftOut(left.join(", "))}` : ""}`;
        behind.className = seen.isEnough ? "soft" : "problem";
      } catch (error) { behind.textContent = error.message; }
    }, 250);
  };
  form.addEventListener("input", look);
}
