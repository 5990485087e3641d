// Requests to the service, by paths relative to the page.

import { askForKey, authorization } from "./key.js";

/** Why a request was not answered with what it asked for. `document` is what the service says (RFC 9457). */
export class Problem extends Error {
  constructor(document) {
    super(document.detail ?? document.title ?? "the service gave no reason");
    this.document = document;
    this.status = document.status;
  }
}

const UNREACHABLE = "the service cannot be reached; look whether it runs and try again";

function problemOf(status, text) {
  try {
    const document = JSON.parse(text);
    if (document.detail) return new Problem({ status, ...document });
  } catch {
    // Not from the service, but from what stands before it.
  }
  return new Problem({ status, detail: `the answer has the status ${status} and says: ${text.slice(0, 200) || "nothing"}` });
}

/** The answer to a request without a body. Throws a `Problem`; when a key is missing, after asking for one. */
export async function ask(path, { method = "GET", headers = {}, signal } = {}) {
  for (;;) {
    const sent = fetch(path, { method, headers: { ...headers, ...authorization() }, signal, cache: "no-store" });
    const response = await sent.catch((error) => {
      throw error.name === "AbortError" ? error : new Problem({ status: 0, detail: UNREACHABLE });
    });
    if (response.ok) return response;
    const problem = problemOf(response.status, await response.text());
    if (response.status !== 401 || !(await askForKey(problem.message))) throw problem;
  }
}

/** The JSON that a request is answered with. */
export const askJson = async (path, options) => (await ask(path, options)).json();

/** Sends a file, and resolves with the JSON of the answer. `onSent` hears the share of the file that was sent. */
export async function send(path, file, { signal, onSent }) {
  for (;;) {
    const { status, text } = await post(path, file, signal, onSent);
    if (status >= 200 && status < 300) return JSON.parse(text);
    const problem = problemOf(status, text);
    if (status !== 401 || !(await askForKey(problem.message))) throw problem;
  }
}

// fetch() does not tell how much was sent.
function post(path, file, signal, onSent) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    const aborted = () => new DOMException("cancelled", "AbortError");
    if (signal.aborted) return reject(aborted());
    const abort = () => request.abort();
    signal.addEventListener("abort", abort);
    request.onloadend = () => signal.removeEventListener("abort", abort);
    request.upload.onprogress = (event) => onSent(event.total ? event.loaded / event.total : 0);
    request.upload.onload = () => onSent(1);
    request.onload = () => resolve({ status: request.status, text: request.responseText });
    request.onerror = () => reject(new Problem({ status: 0, detail: UNREACHABLE }));
    request.onabort = () => reject(aborted());
    request.open("POST", path);
    request.setRequestHeader("Content-Type", "application/octet-stream");
    for (const [name, value] of Object.entries(authorization())) request.setRequestHeader(name, value);
    request.send(file);
  });
}

/** Waits, unless the signal says that nobody does. */
function sleep(time_ms, signal) {
  return new Promise((resolve, reject) => {
    const abort = () => reject(new DOMException("cancelled", "AbortError"));
    if (signal.aborted) return abort();
    signal.addEventListener("abort", abort, { once: true });
    setTimeout(resolve, time_ms);
  });
}

/** What a stream of events says: pairs of an id and JSON. */
async function* events(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const parts = (text + value).split("\n\n");
    text = parts.pop();
    for (const part of parts) {
      const lines = part.split("\n");
      const field = (name) => lines.filter((line) => line.startsWith(name)).map((line) => line.slice(name.length)).join("\n");
      const data = field("data: ");
      if (data) yield { id: field("id: "), data: JSON.parse(data) };
    }
  }
}

const RETRY_MS = [500, 1000, 2000, 5000];
/** Answers that will be the same the next time. */
const FINAL = [400, 401, 403, 404];

/**
 * Tells of a job whenever it has changed, and resolves with it when it has ended. (EventSource would do, but cannot send a key.) A lost
 * connection is made again, and the service tells what it has not told yet.
 */
export async function follow(id, { signal, onChange, onLost }) {
  let last = "";
  for (let lost = 0; ; lost++) {
    try {
      const headers = last ? { "Last-Event-ID": last } : {};
      for await (const event of events(await ask(`v1/jobs/${id}/events`, { headers, signal }))) {
        [last, lost] = [event.id, 0];
        onChange(event.data);
        if (["done", "failed"].includes(event.data.state)) return event.data;
      }
    } catch (error) {
      if (signal.aborted || FINAL.includes(error.status)) throw error;
    }
    onLost();
    await sleep(RETRY_MS[Math.min(lost, RETRY_MS.length - 1)], signal);
  }
}
