// The API's document as a page: read from /openapi.json, nothing from elsewhere.

import { h } from "./ui.js";

const named = (document_, schema) => (schema?.$ref ? document_.components.schemas[schema.$ref.split("/").at(-1)] : schema) ?? {};

// `names` between backticks are set as code.
const prose = (text) => text.split("`").map((part, number) => (number % 2 ? h("code", {}, part) : part));

function kindOf(document_, schema) {
  if (!schema) return "";
  if (schema.$ref) return schema.$ref.split("/").at(-1);
  const options = schema.anyOf?.filter((one) => one.type !== "null");
  if (options) return options.map((one) => kindOf(document_, one)).join(" or ");
  if (schema.type === "array") return `list of ${kindOf(document_, schema.items)}`;
  return schema.format ?? schema.type ?? "";
}

function limits(schema = {}) {
  const one = schema.anyOf?.find((option) => option.type !== "null") ?? schema;
  return [
    ["minimum", "≥ "], ["exclusiveMinimum", "> "], ["maximum", "≤ "], ["maxLength", "characters ≤ "], ["maxItems", "entries ≤ "],
  ].filter(([name]) => one[name] !== undefined).map(([name, sign]) => `${sign}${one[name].toLocaleString("en")}`)
    .concat(schema.default !== undefined && schema.default !== null ? [`${schema.default} by default`] : []).join(", ");
}

function rows(document_, entries) {
  return h("div", { class: "scroll" }, h("table", {},
    h("thead", {}, h("tr", {}, ["Name", "Kind", "", "About"].map((label) => (label ? h("th", { scope: "col" }, label) : h("td", {}))))),
    h("tbody", {}, entries.map(([name, schema, needed, about]) => h("tr", {},
      h("td", {}, h("code", {}, name), needed ? " *" : ""), h("td", {}, kindOf(document_, schema)),
      h("td", { class: "soft small" }, limits(schema)), h("td", { class: "small" }, prose(about ?? schema?.description ?? "")))))));
}

function fields(document_, schema) {
  return Object.entries(schema.properties ?? {}).map(([name, one]) => [name, one, schema.required?.includes(name)]);
}

function operation(document_, path, method, one) {
  const body = one.requestBody && named(document_, one.requestBody.content["application/json"].schema);
  const good = Object.entries(one.responses).filter(([code]) => code < "300");
  const content = good.map(([, answer]) => answer.content?.["application/json"]?.schema).find((schema) => schema && Object.keys(schema).length);
  const example = body?.examples?.[0];
  return h("details", { class: "card" },
    h("summary", {}, h("code", {}, h("strong", {}, method.toUpperCase()), ` ${path}`), h("span", { class: "soft" }, ` ${one.summary ?? ""}`)),
    one.description ? h("p", { style: "margin-top:1rem" }, prose(one.description)) : null,
    one.parameters?.length ? [h("h2", { style: "margin-top:1rem" }, "Asked for"),
      rows(document_, one.parameters.map((each) => [each.name, each.schema, each.required, each.description]))] : null,
    body ? [h("h2", { style: "margin-top:1rem" }, "Body"), body.description ? h("p", {}, prose(body.description)) : null, rows(document_, fields(document_, body))] : null,
    example ? h("pre", { tabindex: "0" }, JSON.stringify(example, null, 2)) : null,
    h("h2", { style: "margin-top:1rem" }, `Answer ${good.map(([code]) => code).join(", ")}`),
    content ? [h("p", {}, kindOf(document_, content)), rows(document_, fields(document_, named(document_, content.items ?? content.anyOf?.[0] ?? content)))] : null,
    h("p", { class: "soft small" }, `Else ${Object.entries(one.responses).filter(([code]) => code >= "300").map(([code, answer]) => `${code} ${answer.description.replace(/\.$/, "")}`).join("; ")}.`));
}

async function show() {
  const main = document.getElementById("main");
  const document_ = await (await fetch("openapi.json")).json();
  const tags = new Map();
  for (const [path, methods] of Object.entries(document_.paths)) {
    for (const [method, one] of Object.entries(methods)) {
      const tag = one.tags?.[0] ?? "Other";
      if (!tags.has(tag)) tags.set(tag, []);
      tags.get(tag).push(operation(document_, path, method, one));
    }
  }
  main.replaceChildren(h("h1", {}, `${document_.info.title} API ${document_.info.version}`),
    ...document_.info.description.trim().split("\n\n").map((text) => h("p", { class: "soft" }, prose(text))),
    ...[...tags].map(([tag, all]) => h("section", { "aria-label": tag }, h("h2", {}, tag), all)));
}

show();
