// Class activation over the video: a picture of the part of a frame that the model saw, with the evidence in colours.

import { clock, element, find, percent } from "./dom.js";

/** Where the model's crop lies in a frame of that size: the middle, when its shorter side is scaled to `short_side`. Shares of the frame. */
export function crop(video, input) {
  const scale = Math.min(video.width, video.height) / input.short_side;
  const [width, height] = [(input.width * scale) / video.width, (input.height * scale) / video.height];
  return { left: (1 - width) / 2, top: (1 - height) / 2, width, height };
}

/** The overlay, with its choice of class and its slider. */
export class Heat {
  #image = find("heat");
  #select = find("heat-of");
  #opacity = find("opacity");
  #shown = [];
  #onSeek;

  constructor({ onSeek }) {
    this.#onSeek = onSeek;
    this.#select.onchange = () => this.#choose();
    this.#opacity.oninput = () => this.#fade();
    this.#fade();
  }

  /** What can be shown: `{ answer, input }`, answers of /v1/classify and what their models take. */
  show(answers) {
    this.#shown = answers.flatMap(({ answer, input }) =>
      (answer.explanations ?? []).map((explanation) => ({ answer, explanation, place: crop(answer.video, input) })),
    );
    const options = this.#shown.map(({ answer, explanation }, at) =>
      element("option", { value: at }, `${explanation.label}, ${percent(explanation.score)} (${answer.model})`),
    );
    this.#select.replaceChildren(element("option", { value: "" }, "nothing"), ...options);
    find("over-heat").hidden = !options.length;
    this.#choose();
  }

  /** Shows the overlay in the clip that it belongs to, and hides it elsewhere. */
  at(time_s) {
    const chosen = this.#chosen?.explanation;
    this.#image.hidden = !chosen || time_s < chosen.start_s - 0.05 || time_s > chosen.end_s + 0.05;
  }

  get #chosen() {
    return this.#select.value === "" ? undefined : this.#shown[Number(this.#select.value)];
  }

  #choose() {
    const chosen = this.#chosen;
    find("heat-when").textContent = "";
    if (!chosen) return this.at(0);
    const { answer, explanation, place } = chosen;
    this.#image.src = `data:image/png;base64,${explanation.png}`;
    this.#image.alt = `Where ${answer.model} sees ${explanation.label}, at ${clock(explanation.frame_s)}`;
    for (const side of ["left", "top", "width", "height"]) this.#image.style[side] = `${100 * place[side]}%`;
    const span = `${clock(explanation.start_s)} to ${clock(explanation.end_s)}`;
    find("heat-when").textContent = `Of the clip that says so most, ${span}; the picture is the frame at ${clock(explanation.frame_s)}.`;
    this.#onSeek(explanation.frame_s);
  }

  #fade() {
    this.#image.style.opacity = this.#opacity.value;
    find("opacity-told").textContent = percent(Number(this.#opacity.value));
  }
}
