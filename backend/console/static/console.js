// The console: which view is shown, and what the stream brings to it.

import { ask, h, toast } from "./ui.js";
import { follow, setKey } from "./api.js";
import { endAll } from "./charts.js";
import { eventView, eventsView, nowView } from "./events.js";
import { fleetView, venView } from "./fleet.js";

const store = { fleet: null, curves: new Map() };
const main = document.getElementById("main");
const views = [
  [/^#\/?$/, nowView, "now"],
  [/^#\/events$/, eventsView, "events"],
  [/^#\/event\/(.+)$/, eventView, "events"],
  [/^#\/fleet$/, fleetView, "fleet"],
  [/^#\/ven\/(.+)$/, venView, "fleet"],
];
let shown = null;

async function show() {
  const hash = location.hash || "#/";
  const [pattern, view, name] = views.find(([one]) => one.test(hash)) ?? views[0];
  const argument = hash.match(pattern)?.[1];
  endAll();
  shown?.end?.();
  shown = null;
  document.querySelectorAll("nav a").forEach((link) => {
    if (link.dataset.view === name) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  });
  const place = h("div", {});
  main.replaceChildren(place);
  try {
    const made = await view(place, store, argument && decodeURIComponent(argument));
    if (place.isConnected) shown = made;
    else made?.end?.();
    if (shown && store.fleet) shown.update?.(store);
  } catch (error) {
    if (error.status === 401) askForKey();
    else place.replaceChildren(h("p", { class: "empty" }, error.message));
  }
}

function onMessage(kind, data) {
  if (kind === "curve") store.curves.set(data.eventId, data.points);
  if (kind === "trouble") linkState("lost", data.reason);
  if (kind !== "fleet") return;
  store.fleet = data;
  linkState("live");
  const active = new Set();
  for (const event of data.events) {
    if (event.status !== "active") continue;
    active.add(event.id);
    const curve = store.curves.get(event.id) ?? [];
    if (!curve.length || curve.at(-1)[0] < data.at - 0.5) {
      curve.push([data.at, event.requestedReductionKw, event.currentReductionKw]);
    }
    store.curves.set(event.id, curve.slice(-3600));
  }
  shown?.update?.(store);
}

function linkState(state, reason) {
  const words = { live: ["good", "live"], lost: ["warn", reason || "connecting again"], key: ["bad", "needs a key"] };
  const [dot, text] = words[state];
  const link = document.getElementById("link");
  link.firstElementChild.className = `dot ${dot}`;
  link.lastElementChild.textContent = text;
}

function onState(state, reason) {
  linkState(state, state === "lost" ? undefined : reason);
  if (state === "key") askForKey();
}

function askForKey() {
  if (document.getElementById("dialog").open) return;
  const field = h("label", {}, "API key", h("input", { name: "key", type: "password", autocomplete: "off", required: true }));
  ask("Who are you?", "This backend wants an API key. It is kept until this tab is closed.", field, "Continue", async (form) => {
    setKey(form.get("key").trim());
    toast("Key taken");
    follow(onMessage, onState);
    show();
  });
}

addEventListener("hashchange", show);
addEventListener("DOMContentLoaded", () => { follow(onMessage, onState); show(); });
