// What came of a video, on the page.

import { bars } from "./bars.js";
import { element, find } from "./dom.js";
import { Heat } from "./heat.js";
import { Overlay } from "./overlay.js";
import { copyable, curlLine, foldedJson } from "./programs.js";
import { Timeline } from "./timeline.js";

const TASKS = ["classify", "localize", "detect"];
const LOOKED_AT = { classify: "clips", localize: "windows", detect: "frames" };
const DONE = { classify: "actions", localize: "when they happen", detect: "who does what" };

/** Answers of tasks that went well. */
const wellOf = (came, task) => came.map(({ answer }) => answer?.[task]).filter((answer) => answer && !answer.error);

/** Shows answers, and what of them belongs to the frame of a video that is shown. */
export class Results {
  #overlay = new Overlay(find("overlay"));
  #timeline;
  #heat;
  #time_s = 0;
  #threshold = find("threshold");

  constructor({ onSeek }) {
    this.#timeline = new Timeline(find("timeline"), { onSeek });
    this.#heat = new Heat({ onSeek });
    const again = () => this.at(this.#time_s);
    this.#threshold.oninput = () => {
      find("threshold-told").textContent = Number(this.#threshold.value).toFixed(2);
      again();
    };
    this.#threshold.oninput();
    for (const radio of document.querySelectorAll("input[name=kind]")) radio.onchange = again;
  }

  /** Shows what came of a video: a list of `{ query, answer }` or `{ query, problem }`. `modelOf` finds what is served under a name. */
  show(came, { name, modelOf }) {
    this.#bars(wellOf(came, "classify"));
    this.#times(wellOf(came, "localize"), wellOf(came, "detect"));
    this.#boxes(wellOf(came, "detect")[0] ?? null);
    const explained = wellOf(came, "classify").map((answer) => ({ answer, input: modelOf(answer.model)?.input }));
    this.#heat.show(explained.filter(({ input }) => input));
    find("over").hidden = find("over-boxes").hidden && find("over-heat").hidden;
    this.#ran(came);
    this.#programs(came, name);
    this.at(this.#time_s);
  }

  /** Shows what classifiers have seen so far of a video that is still looked at. */
  seen(answers) {
    if (!answers.length) return;
    this.#bars(answers);
    find("found").hidden = false;
  }

  /** Shows nothing. */
  clear() {
    this.show([], { name: "", modelOf: () => undefined });
  }

  /** Shows what belongs to a time of the video. */
  at(time_s) {
    this.#time_s = time_s;
    const kind = document.querySelector("input[name=kind]:checked").value;
    this.#overlay.draw(time_s, { kind, threshold: Number(this.#threshold.value) });
    this.#timeline.at(time_s);
    this.#heat.at(time_s);
  }

  /** The size of the frames that were looked at, if anything was. */
  static frameSize(came) {
    const video = TASKS.flatMap((task) => wellOf(came, task))[0]?.video;
    return video && [video.width, video.height];
  }

  #bars(answers) {
    find("bars").replaceChildren(...(answers.length ? [bars(answers)] : []));
  }

  #times(localized, detected) {
    const groups = localized.map((answer) => ["Segments", answer.segments]);
    for (const { tubes } of detected.filter((answer) => answer.tubes)) {
      groups.push(["Tubes", tubes.map((tube) => ({ ...tube, name: `#${tube.id}` }))]);
    }
    find("times").hidden = !groups.length;
    this.#timeline.show(groups, [...localized, ...detected][0]?.video.duration_s ?? 0);
  }

  #boxes(detected) {
    find("over-boxes").hidden = !detected;
    this.#overlay.show(detected);
  }

  #ran(came) {
    const answers = TASKS.flatMap((task) => wellOf(came, task));
    find("found").hidden = !answers.length;
    const items = answers.map(({ task, model, engine, device, video, timing }) => {
      const looked = `${LOOKED_AT[task]}: ${video.clips}; ${timing.total_s.toFixed(2)} s`;
      return element("li", {}, element("strong", {}, model), ` (${DONE[task]}) on ${engine}, ${device}; ${looked}`);
    });
    find("ran").replaceChildren(...items);
    const damaged = Math.max(0, ...answers.map(({ video }) => video.damaged_packets));
    find("damaged").textContent = damaged ? `${damaged} damaged packets were passed over: parts of the video are missing.` : "";
  }

  #programs(came, name) {
    find("programs").hidden = !came.length;
    find("curl").replaceChildren(...came.map(({ query }) => copyable(curlLine(query, name))));
    const answers = came.filter(({ answer }) => answer);
    const title = (at) => (answers.length > 1 ? `JSON of answer ${at + 1}` : "JSON");
    find("json").replaceChildren(...answers.map(({ answer }, at) => foldedJson(title(at), answer)));
  }
}
