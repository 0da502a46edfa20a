// The backend: its calls, and the stream of live figures.

import { T } from "./texts.js";

const KEY = "venagent-api-key";
// The path of a proxy that we are behind.
const ROOT = new URL(import.meta.url).pathname.replace(/\/console\/static\/.*$/, "");

export class ApiError extends Error {
  constructor(status, message) { super(message); this.status = status; }
}

export function setKey(key) { sessionStorage.setItem(KEY, key); }
export const hasKey = () => sessionStorage.getItem(KEY) !== null;

function headers(more = {}) {
  const key = sessionStorage.getItem(KEY);
  return key ? { ...more, "X-API-Key": key } : more;
}

async function failure(response) {
  let text = `${response.status} ${response.statusText}`;
  try {
    const { detail } = await response.json();
    if (typeof detail === "string") text = detail;
    else if (Array.isArray(detail)) {
      text = detail.map((one) => `${one.loc.at(-1)}: ${one.msg.replace(/^Value error, /, "")}`).join("; ");
    }
  } catch { /* not JSON: the status says enough */ }
  return new ApiError(response.status, text);
}

async function answer(method, path, body) {
  const options = { method, headers: headers(body ? { "Content-Type": "application/json" } : {}) };
  if (body) options.body = JSON.stringify(body);
  let response;
  try {
    response = await fetch(ROOT + path, options);
  } catch {
    throw new ApiError(0, T.noAnswer);
  }
  if (!response.ok) throw await failure(response);
  return response;
}

export async function call(method, path, body) {
  const response = await answer(method, path, body);
  return response.status === 204 ? null : response.json();
}

// A list, and how many there are in all.
export async function page(path) {
  const response = await answer("GET", path);
  return { rows: await response.json(), total: Number(response.headers.get("X-Total-Count")) };
}

export async function download(path, name) {
  const response = await answer("GET", path);
  const link = document.createElement("a");
  link.href = URL.createObjectURL(await response.blob());
  link.download = name;
  link.click();
  URL.revokeObjectURL(link.href);
}

export const get = (path) => call("GET", path);
export const post = (path, body) => call("POST", path, body);
export const ven = (id) => `/api/vens/${encodeURIComponent(id)}`;
export const event = (id) => `/api/events/${encodeURIComponent(id)}`;

// It speaks each second; a connection that broke unnoticed would look alive for ever.
const SILENT_MS = 10000;

// EventSource cannot send a key in a header, so the stream is read by hand.
export async function follow(onMessage, onState) {
  for (;;) {
    const silence = new AbortController();
    let watch;
    const heard = () => {
      clearTimeout(watch);
      watch = setTimeout(() => silence.abort(), SILENT_MS);
    };
    try {
      heard();
      const response = await fetch(`${ROOT}/console/stream`, { headers: headers(), signal: silence.signal });
      if (!response.ok) throw await failure(response);
      onState("live");
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      let rest = "";
      for (;;) {
        const { value, done } = await reader.read();
        if (done) break;
        heard();
        const parts = (rest + value).split("\n\n");
        rest = parts.pop();
        for (const part of parts) {
          const kind = part.match(/^event: (.*)$/m);
          const data = part.match(/^data: (.*)$/m);
          if (kind && data) onMessage(kind[1], JSON.parse(data[1]));
        }
      }
      onState("lost");
    } catch (error) {
      onState(error.status === 401 ? "key" : "lost", error.status ? error.message : undefined);
      if (error.status === 401) return;
    } finally {
      clearTimeout(watch);
    }
    await new Promise((resolve) => setTimeout(resolve, 2000));
  }
}
