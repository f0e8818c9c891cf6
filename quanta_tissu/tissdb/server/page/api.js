// Requests to the server, with the token of this tab.

import { parse } from "./json.js";

const KEY = "tissdb token";

/** What the server, or the way to it, says has gone wrong. */
export class Refusal extends Error {
  constructor(status, said) {
    super(said.message);
    this.status = status;
    this.hint = said.hint ?? null;
    this.path = said.path ?? "";
    this.request = said.request ?? null;
    this.place = said.start === undefined ? null : said;
  }
}

export const token = {
  get: () => sessionStorage.getItem(KEY),
  set: (text) => sessionStorage.setItem(KEY, text),
  forget: () => sessionStorage.removeItem(KEY),
};

/**
 * Ask the server.
 * @param {string[]} path below /v1
 * @param {object} options: `body` is sent as it is if it is text, `query` goes into the address, `signal` ends it
 */
export async function ask(path, { method = "GET", body = null, query = {}, signal = null } = {}) {
  const address = new URL(`/v1/${path.map(encodeURIComponent).join("/")}`, location.origin);
  for (const [name, value] of Object.entries(query)) if (value) address.searchParams.set(name, value);
  const headers = {};
  if (token.get()) headers.Authorization = `Bearer ${token.get()}`;
  if (body !== null) headers["Content-Type"] = "application/json";
  let answer, said;
  try {
    answer = await fetch(address, { method, headers, body, signal, cache: "no-store", credentials: "omit" });
    said = await answer.text();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refusal(0, { message: "the server does not answer", hint: "is it still running?" });
  }
  let value = null;
  try {
    value = parse(said);
  } catch {
    throw new Refusal(answer.status, { message: `the server answered ${answer.status} with something else than JSON` });
  }
  if (!answer.ok) throw new Refusal(answer.status, value?.error ?? { message: `status ${answer.status}` });
  return value;
}

/** Ask with a body of JSON. */
export function post(path, value, signal = null) {
  return ask(path, { method: "POST", body: JSON.stringify(value), signal });
}
