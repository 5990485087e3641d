// Jobs of before: the service lists them, and the browser knows the names of some of their videos.

import { askJson } from "./api.js";
import { element, find, size } from "./dom.js";
import { forget, list as keptVideos } from "./keep.js";
import { forgetJobs } from "./run.js";

const LISTED = 10;
const STATES = { queued: "waits", running: "is looked at", done: "done", failed: "failed" };

/** The list of past jobs. */
export class PastJobs {
  #list = find("jobs");
  #older = find("older");
  #onError;
  #onForgotten;
  /** Jobs that were deleted here: a list that was asked for before may still have them. */
  #deleted = new Set();
  /** Counts what was asked for. */
  #turn = 0;

  constructor({ onError, onForgotten }) {
    [this.#onError, this.#onForgotten] = [onError, onForgotten];
    this.#older.onclick = () => {
      const { lastElementChild } = this.#list;
      this.#ask(lastElementChild?.dataset.job, (items) => this.#list.append(...items));
    };
  }

  /** Lists the latest. */
  show() {
    return this.#ask(undefined, (items) => this.#list.replaceChildren(...items));
  }

  /** Asks for jobs before one, or for the latest, and has them placed, unless others were asked for since. */
  async #ask(before, place) {
    const turn = ++this.#turn;
    try {
      const query = new URLSearchParams({ limit: LISTED, ...(before && { before }) });
      const { jobs } = await askJson(`v1/jobs?${query}`);
      const videos = await keptVideos();
      if (turn !== this.#turn) return;
      const kept = new Map(videos.map((video) => [video.job, video]));
      // The job of the model beside another is opened, and deleted, with that one's.
      const beside = new Set(videos.flatMap((video) => video.beside));
      const listed = jobs.filter(({ id }) => !beside.has(id) && !this.#deleted.has(id));
      place(listed.map((job) => this.#item(job, kept.get(job.id))));
      this.#older.hidden = jobs.length < LISTED;
      find("past").hidden = !this.#list.children.length;
    } catch (error) {
      this.#onError(error);
    }
  }

  #item(job, kept) {
    const when = new Date(1000 * job.created_s).toLocaleString();
    const name = kept?.name ?? `a video of ${size(job.bytes)}`;
    const tasks = new URLSearchParams(job.parameters).get("tasks") ?? "all tasks";
    const ids = [job.id, ...(kept?.beside ?? [])];
    const open = element("a", { href: `#job=${ids.join(",")}` }, name);
    const remove = element("button", { type: "button", "aria-label": `Delete the job of ${name}, ${when}` }, "Delete");
    const item = element("li", { "data-job": job.id }, element("span", {}, open, ` ${tasks}`), element("span", { class: "small" }, `${when}, ${STATES[job.state]}`), remove);
    remove.onclick = () => this.#remove(item, ids);
    return item;
  }

  async #remove(item, ids) {
    try {
      await forgetJobs(ids);
      await forget(ids[0]);
    } catch (error) {
      return this.#onError(error);
    }
    for (const id of ids) this.#deleted.add(id);
    const next = item.nextElementSibling ?? item.previousElementSibling;
    (next?.querySelector("button") ?? find("past-title")).focus();
    for (const id of ids) this.#list.querySelector(`[data-job="${CSS.escape(id)}"]`)?.remove();
    find("past").hidden = !this.#list.children.length;
    this.#onForgotten(ids);
  }
}
