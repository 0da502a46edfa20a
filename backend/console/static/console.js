// The console: which view is shown, and what the stream brings to it.

import { ask, h, toast } from "./ui.js";
import { follow, hasKey, setKey } from "./api.js";
import { endAll } from "./charts.js";
import { eventView, eventsView, nowView } from "./events.js";
import { fleetView, venView } from "./fleet.js";

const store = { fleet: null, curves: new Map(), heard: null };
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
    else place.replaceChildren(h("div", { class: "card empty", role: "alert" }, h("p", {}, error.message),
      h("button", { onclick: show }, "Try again")));
  }
}

function onMessage(kind, data) {
  if (kind === "curve") store.curves.set(data.eventId, data.points);
  if (kind === "trouble") linkState("lost", data.reason);
  if (kind !== "fleet") return;
  store.fleet = data;
  store.heard = Date.now();
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
  // Figures on a wall must not look alive when they are not.
  document.body.classList.toggle("is-old", state !== "live");
  const since = document.getElementById("since");
  since.hidden = state === "live" || !store.heard;
  if (!since.hidden) since.textContent = `Not live. What is shown was so at ${new Date(store.heard).toLocaleTimeString("en-GB")}.`;
  const link = document.getElementById("link");
  link.firstElementChild.className = `dot ${dot}`;
  link.lastElementChild.textContent = text;
}

function onState(state, reason) {
  linkState(state, reason);
  if (state === "key") askForKey();
}

function askForKey() {
  if (document.getElementById("dialog").open) return;
  const field = h("label", {}, "API key", h("input", { name: "key", type: "password", autocomplete: "off", required: true }));
  const why = hasKey() ? "That key is not in force." : "This backend wants an API key.";
  ask("Who are you?", `${why} It is kept until this tab is closed.`, field, "Continue", async (form) => {
    setKey(form.get("key").trim());
    follow(onMessage, onState);
    show();
  });
}

addEventListener("hashchange", show);
addEventListener("DOMContentLoaded", () => { follow(onMessage, onState); show(); });
