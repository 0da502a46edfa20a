// Who may use this: people by their groups, programs by their keys.

import { ago, ask, card, col, h, h2, heading, moment, redraw, small, soft, table, toast } from "./ui.js";
import { call, get, post } from "./api.js";
import { T } from "./texts.js";

export async function accountsView(place) {
  const keys = card();
  const people = card();
  const roles = card();
  const words = T.account;

  const load = async () => {
    const found = await get("/api/accounts/");
    redraw(people, h2(words.people), found.people.length ? table([
      col(words.person, (one) => h("div", {}, one.displayName, one.displayName === one.name ? "" : small(one.name))),
      col(words.role, (one) => words.roles[one.role] ?? words.noRoleYet),
      col(words.groups, (one) => one.groups.join(", "), "wide"),
      col(words.seen, (one) => ago(one.lastSeenAt), "right"),
    ], found.people) : soft(words.noPeople));
    redraw(roles, h2(words.table), found.roles.length ? table([
      col(words.group, (one) => (one.who === "*" ? T.all : one.who)),
      col(words.role, (one) => words.roles[one.role]),
    ], found.roles) : soft(words.noTable));
    redraw(keys, h("div", { class: "row between" }, h2(words.keys), h("button", { onclick: make }, words.newKey)),
      found.keys.length ? table([
        col(words.key, (one) => one.name),
        col(words.role, (one) => words.roles[one.role]),
        col(words.used, (one) => (one.lastUsedAt ? moment(one.lastUsedAt) : T.never), "right wide"),
        col("", (one) => (one.revokedAt ? h("span", { class: "soft" }, words.revoked)
          : h("button", { class: "plain", onclick: () => revoke(one.name) }, words.revoke)), "right"),
      ], found.keys) : soft(words.noKeys));
  };

  const make = () => {
    const fields = h("div", { class: "fields" },
      h("label", {}, words.keyName, h("input", { name: "name", required: true, maxlength: "200" })),
      h("label", {}, words.role, h("select", { name: "role" }, Object.entries(words.roles).map(([name, label]) => h("option", { value: name }, label)))));
    ask(words.newKey, words.newKeyAbout, fields, words.make, async (form) => {
      const made = await post("/api/accounts/keys", { name: form.get("name").trim(), role: form.get("role") });
      await load();
      // The dialog closes itself first.
      setTimeout(() => ask(words.madeTitle(made.name), words.madeAbout, h("pre", { tabindex: "0" }, made.key), words.done, async () => {}));
    });
  };

  const revoke = (name) => ask(words.revokeTitle(name), words.revokeAbout, [], words.revoke, async () => {
    await call("DELETE", `/api/accounts/keys/${encodeURIComponent(name)}`);
    toast(words.revokedNow(name));
    await load();
  }, true);

  place.append(heading(words.title, words.about),
    people, keys, roles);
  await load();
  return {};
}
