// Segments and tubes over the time of a video. Each is a button that takes the video to its beginning.

import { clock, colour, element, percent } from "./dom.js";

/** Puts spans that overlap into lanes below each other: a list of lists. */
export function lanes(spans) {
  const found = [];
  for (const span of [...spans].sort((a, b) => a.start_s - b.start_s)) {
    const free = found.find((lane) => lane.at(-1).end_s <= span.start_s);
    if (free) free.push(span);
    else found.push([span]);
  }
  return found;
}

/** A timeline in an element. */
export class Timeline {
  #root;
  #onSeek;
  #duration_s = 1;
  #mark = element("div", { class: "mark", "aria-hidden": "true" });
  #buttons = [];

  constructor(root, { onSeek }) {
    [this.#root, this.#onSeek] = [root, onSeek];
    root.addEventListener("keydown", (event) => this.#key(event));
  }

  /** Shows groups of spans `{ label, index, score, start_s, end_s, name }`: `[title, spans]`. */
  show(groups, duration_s) {
    this.#duration_s = Math.max(duration_s, 0.001);
    this.#buttons = [];
    const parts = groups.map(([title, spans]) => this.#group(title, spans));
    this.#root.replaceChildren(...parts, this.#ruler(), this.#mark);
  }

  /** Moves the mark to a time. */
  at(time_s) {
    // It is as wide as the tracks.
    this.#mark.style.transform = `translateX(${100 * Math.min(1, time_s / this.#duration_s)}%)`;
  }

  #group(title, spans) {
    const labels = [...new Set(spans.map((span) => span.label))];
    const rows = labels.map((label) => this.#row(label, lanes(spans.filter((span) => span.label === label))));
    const body = rows.length ? rows : [element("p", { class: "small" }, "none found")];
    const buttons = rows.flatMap((row) => [...row.querySelectorAll("button")]);
    buttons.sort((a, b) => a.dataset.start - b.dataset.start).forEach((button, at) => (button.tabIndex = at ? -1 : 0));
    this.#buttons.push(buttons);
    return element("div", { class: "group", role: "toolbar", "aria-label": title }, element("h4", {}, title), ...body);
  }

  #row(label, lanes) {
    const tracks = lanes.map((lane) => {
      const track = element("div", { class: "track" }, ...lane.map((span) => this.#span(span)));
      track.onclick = (event) => {
        if (event.target !== track) return;
        const { left, width } = track.getBoundingClientRect();
        this.#onSeek((this.#duration_s * (event.clientX - left)) / width);
      };
      return track;
    });
    return element("div", { class: "row" }, element("span", { class: "row-name" }, label), element("div", { class: "lanes" }, ...tracks));
  }

  #span({ label, index, score, start_s, end_s, name }) {
    const text = `${name ? `${name}, ` : ""}${label}, ${percent(score)}, ${clock(start_s)} to ${clock(end_s)}`;
    const marked = { "data-start": start_s, title: text, "aria-label": text };
    const button = element("button", { type: "button", class: "span", ...marked }, name ?? percent(score));
    button.style.left = `${(100 * start_s) / this.#duration_s}%`;
    button.style.width = `${(100 * (end_s - start_s)) / this.#duration_s}%`;
    button.style.background = colour(index);
    button.onclick = () => this.#onSeek(start_s);
    return button;
  }

  #ruler() {
    const marks = [0, 0.25, 0.5, 0.75, 1].map((share) => element("span", {}, clock(share * this.#duration_s)));
    return element("div", { class: "ruler", "aria-hidden": "true" }, ...marks);
  }

  // One tab stop for each group, as toolbars have.
  #key(event) {
    const group = this.#buttons.find((buttons) => buttons.includes(event.target));
    if (!group) return;
    const at = group.indexOf(event.target);
    const last = group.length - 1;
    const to = { ArrowRight: Math.min(last, at + 1), ArrowLeft: Math.max(0, at - 1), Home: 0, End: last }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    event.target.tabIndex = -1;
    group[to].tabIndex = 0;
    group[to].focus();
  }
}
