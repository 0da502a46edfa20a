// Who looks at the console, and what that person may do: nothing else is offered.

import { get } from "./api.js";

let known = null;

export async function readAccount() { known = await get("/api/me"); }
export function forgetAccount() { known = null; }
export const account = () => known;
export const may = (action) => known?.may.includes(action) ?? false;
