// The audit: who did what, searched by the backend.

import { card, col, empty, h, heading, moment, moreRow, redraw, searchField, small, table, tell } from "./ui.js";
import { get } from "./api.js";
import { T } from "./texts.js";

const AT_ONCE = 100;

export async function auditView(place) {
  const rows = card();
  let text = "";
  let most = AT_ONCE;
  let asked = 0;
  const load = async () => {
    const number = ++asked;
    const query = new URLSearchParams({ limit: most, ...(text && { search: text }) });
    const { entries, nextCursor } = await get(`/api/audit/?${query}`);
    if (number !== asked) return;
    redraw(rows, entries.length ? table([
      col(T.audit.at, (one) => moment(one.at)),
      col(T.audit.who, (one) => h("div", {}, one.actor, small(T.account.kinds[one.actorKind] ?? ""))),
      col(T.audit.role, (one) => T.account.roles[one.role] ?? "", "wide"),
      col(T.audit.action, (one) => one.action),
      col(T.audit.object, (one) => h("div", {}, one.object ?? "", one.detail ? h("div", { class: "soft small detail" }, JSON.stringify(one.detail)) : "")),
      col(T.audit.from, (one) => one.remote ?? "", "right wide"),
    ], entries) : empty(text ? T.audit.noneFits : T.audit.none),
    nextCursor && most < 5000 ? moreRow("", () => { most = Math.min(most + AT_ONCE, 5000); again(); }) : "");
  };
  const again = () => tell(load());
  place.append(heading(T.audit.title, T.audit.about,
    searchField(T.audit.find, T.audit.findBy, (words) => { text = words; most = AT_ONCE; again(); })), rows);
  await load();
  return {};
}
