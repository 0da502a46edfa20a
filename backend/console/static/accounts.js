// Who may use this: people by their groups, programs by their keys.

import { ago, ask, h, heading, moment, redraw, table, toast } from "./ui.js";
import { call, get, post } from "./api.js";
import { T } from "./texts.js";

export async function accountsView(place) {
  const keys = h("section", { class: "card" });
  const people = h("section", { class: "card" });
  const roles = h("section", { class: "card" });
  const words = T.account;

  const load = async () => {
    const found = await get("/api/accounts/");
    redraw(people, h("h2", {}, words.people), found.people.length ? table([
      { label: words.person, cell: (one) => h("div", {}, one.displayName, one.displayName === one.name ? "" : h("div", { class: "soft small" }, one.name)) },
      { label: words.role, cell: (one) => words.roles[one.role] ?? words.noRoleYet },
      { label: words.groups, wide: true, cell: (one) => one.groups.join(", ") },
      { label: words.seen, right: true, cell: (one) => ago(one.lastSeenAt) },
    ], found.people) : h("p", { class: "soft" }, words.noPeople));
    redraw(roles, h("h2", {}, words.table), found.roles.length ? table([
      { label: words.group, cell: (one) => (one.who === "*" ? T.all : one.who) },
      { label: words.role, cell: (one) => words.roles[one.role] },
    ], found.roles) : h("p", { class: "soft" }, words.noTable));
    redraw(keys, h("div", { class: "row between" }, h("h2", {}, words.keys), h("button", { onclick: make }, words.newKey)),
      found.keys.length ? table([
        { label: words.key, cell: (one) => one.name },
        { label: words.role, cell: (one) => words.roles[one.role] },
        { label: words.used, right: true, wide: true, cell: (one) => (one.lastUsedAt ? moment(one.lastUsedAt) : T.never) },
        { label: "", right: true, cell: (one) => (one.revokedAt ? h("span", { class: "soft" }, words.revoked)
          : h("button", { class: "plain", onclick: () => revoke(one.name) }, words.revoke)) },
      ], found.keys) : h("p", { class: "soft" }, words.noKeys));
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
