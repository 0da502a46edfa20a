// The console: which view is shown, and what the stream brings to it.

import { ask, clock, h } from "./ui.js";
import { follow, hasKey, setKey } from "./api.js";
import { endAll } from "./charts.js";
import { eventView, eventsView, nowView } from "./events.js";
import { fleetView, venView } from "./fleet.js";
import { programmesView } from "./programmes.js";
import { settlementView } from "./settlement.js";
import { account, forgetAccount, may, readAccount } from "./account.js";
import { accountsView } from "./accounts.js";
import { alertsView } from "./alerts.js";
import { auditView } from "./audit.js";
import { LANGUAGE, T } from "./texts.js";

const store = { fleet: null, curves: new Map(), heard: null };
const main = document.getElementById("main");
const views = [
  [/^#\/?$/, nowView, "now"],
  [/^#\/events$/, eventsView, "events"],
  [/^#\/event\/(.+)$/, eventView, "events"],
  [/^#\/fleet$/, fleetView, "fleet"],
  [/^#\/ven\/(.+)$/, venView, "fleet"],
  [/^#\/programmes$/, programmesView, "programmes"],
  [/^#\/settlement$/, settlementView, "settlement"],
  [/^#\/alerts$/, alertsView, "alerts"],
  [/^#\/openadr$/, async (...it) => (await import("./openadr.js")).openadrView(...it), "openadr"],
  [/^#\/audit$/, auditView, "audit"],
  [/^#\/accounts$/, accountsView, "accounts"],
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
    if (!account()) await readOwnAccount();
    const made = await view(place, store, argument && decodeURIComponent(argument));
    if (place.isConnected) shown = made;
    else made?.end?.();
    if (shown && store.fleet) shown.update?.(store);
  } catch (error) {
    if (error.status === 401) askForKey();
    else place.replaceChildren(h("div", { class: "card empty", role: "alert" }, h("p", {}, error.message),
      h("button", { onclick: show }, T.tryAgain)));
  }
}

// What a role may not do is not offered.
async function readOwnAccount() {
  await readAccount();
  document.querySelectorAll("[data-may]").forEach((element) => { element.hidden = !may(element.dataset.may); });
  const me = account();
  const place = document.getElementById("account");
  place.hidden = me.kind === "local";
  place.textContent = T.account.who(me.displayName, T.account.roles[me.role]);
}

function onMessage(kind, data) {
  if (kind === "curve") store.curves.set(data.eventId, data.points);
  if (kind === "trouble") linkState("lost", data.reason);
  if (kind !== "fleet") return;
  store.fleet = data;
  store.heard = Date.now();
  linkState("live");
  const alerts = document.getElementById("open-alerts");
  alerts.hidden = !data.openAlerts;
  alerts.textContent = data.openAlerts > 999 ? "999+" : data.openAlerts;
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
  const words = { live: ["good", T.link.live], lost: ["warn", reason || T.link.lost], key: ["bad", T.link.key] };
  const [dot, text] = words[state];
  // Figures on a wall must not look alive when they are not.
  document.body.classList.toggle("is-old", state !== "live");
  const since = document.getElementById("since");
  since.hidden = state === "live" || !store.heard;
  if (!since.hidden) since.textContent = T.notLive(clock(new Date(store.heard)));
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
  const field = h("label", {}, T.key.label, h("input", { name: "key", type: "password", autocomplete: "off", required: true }));
  const why = hasKey() ? T.key.wrong : T.key.wanted;
  ask(T.key.title, `${why} ${T.key.kept}`, field, T.key.go, async (form) => {
    setKey(form.get("key").trim());
    forgetAccount();
    follow(onMessage, onState);
    show();
  });
}

addEventListener("hashchange", show);
// The page itself holds no words: texts.js has them.
function putWords() {
  document.documentElement.lang = LANGUAGE;
  document.title = T.title;
  for (const element of document.querySelectorAll("[data-text]")) {
    element.textContent = element.dataset.text.split(".").reduce((words, name) => words[name], T);
  }
  document.querySelector("nav").setAttribute("aria-label", T.views);
}

addEventListener("DOMContentLoaded", () => { putWords(); follow(onMessage, onState); show(); });
