// The audit: who did what, searched by the backend.

import { h, heading, moment, moreRow, redraw, searchField, table, toast } from "./ui.js";
import { get } from "./api.js";
import { T } from "./texts.js";

const AT_ONCE = 100;

export async function auditView(place) {
  const rows = h("section", { class: "card" });
  let text = "";
  let most = AT_ONCE;
  let asked = 0;
  const load = async () => {
    const number = ++asked;
    const query = new URLSearchParams({ limit: most, ...(text && { search: text }) });
    const { entries, nextCursor } = await get(`/api/audit/?${query}`);
    if (number !== asked) return;
    redraw(rows, entries.length ? table([
      { label: T.audit.at, cell: (one) => moment(one.at) },
      { label: T.audit.who, cell: (one) => h("div", {}, one.actor, h("div", { class: "soft small" }, T.account.kinds[one.actorKind] ?? "")) },
      { label: T.audit.role, wide: true, cell: (one) => T.account.roles[one.role] ?? "" },
      { label: T.audit.action, cell: (one) => one.action },
      { label: T.audit.object, cell: (one) => h("div", {}, one.object ?? "", one.detail ? h("div", { class: "soft small detail" }, JSON.stringify(one.detail)) : "") },
      { label: T.audit.from, wide: true, right: true, cell: (one) => one.remote ?? "" },
    ], entries) : h("p", { class: "empty" }, text ? T.audit.noneFits : T.audit.none),
    nextCursor && most < 5000 ? moreRow("", () => { most = Math.min(most + AT_ONCE, 5000); again(); }) : "");
  };
  const again = () => load().catch((error) => toast(error.message));
  place.append(heading(T.audit.title, T.audit.about,
    searchField(T.audit.find, T.audit.findBy, (words) => { text = words; most = AT_ONCE; again(); })), rows);
  await load();
  return {};
}
