// Boxes and tubes, drawn over the frame that is shown.

import { colour, percent } from "./dom.js";

/** Times of frames differ by less than this when they are rounded, and by more when they are others. */
const ROUNDING_S = 0.002;

/** The last of the sorted `times_s` that is not after a time; -1 when all are. */
export function lastAt(times_s, time_s) {
  let [low, high] = [0, times_s.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (times_s[middle] <= time_s + ROUNDING_S) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

/** Draws what a detection found. */
export class Overlay {
  #canvas;
  #context;
  #found = null;
  #times_s = [];

  constructor(canvas) {
    this.#canvas = canvas;
    this.#context = canvas.getContext("2d");
  }

  /** What is to be drawn: an answer of /v1/detect, or nothing. */
  show(found) {
    this.#found = found;
    this.#times_s = found ? found.frames.map((frame) => frame.time_s) : [];
  }

  /** The boxes at a time: those of tubes, which are in every frame, or those of the last frame that was looked at. */
  at(time_s, kind) {
    const at = lastAt(this.#times_s, time_s);
    if (at < 0 || kind === "none") return [];
    if (kind === "boxes") return this.#found.frames[at].boxes;
    const frame = this.#frame(at, time_s);
    const boxes = [];
    for (const tube of this.#found.tubes ?? []) {
      const box = tube.boxes[frame - tube.start_frame];
      if (box) boxes.push({ ...tube, box });
    }
    return boxes;
  }

  /** The number of the frame at a time, between those that were looked at, too. */
  #frame(at, time_s) {
    const [{ frame, time_s: begin_s }, next] = [this.#found.frames[at], this.#found.frames[at + 1]];
    if (!next) return frame;
    const share = (time_s + ROUNDING_S - begin_s) / (next.time_s - begin_s);
    return Math.min(next.frame - 1, frame + Math.max(0, Math.floor(share * (next.frame - frame))));
  }

  /** Draws the boxes of a time that are sure enough. */
  draw(time_s, { kind, threshold }) {
    const [canvas, context] = [this.#canvas, this.#context];
    const [width, height] = [canvas.clientWidth, canvas.clientHeight].map((side) => Math.round(side * devicePixelRatio));
    if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
    else context.clearRect(0, 0, width, height);
    if (!this.#found || !width) return;
    const { video } = this.#found;
    const [x_scale, y_scale] = [width / video.width, height / video.height];
    const line = Math.max(2, Math.round(2 * devicePixelRatio));
    context.font = `600 ${12 * devicePixelRatio}px system-ui, sans-serif`;
    context.textBaseline = "top";
    for (const found of this.at(time_s, kind)) {
      if (found.score < threshold) continue;
      const [left, top, right, bottom] = found.box;
      const sides = [left * x_scale, top * y_scale, (right - left) * x_scale, (bottom - top) * y_scale];
      this.#box(sides, line, colour(found.index));
      const text = `${found.id === undefined ? "" : `#${found.id} `}${found.label} ${percent(found.score)}`;
      this.#label(text, sides[0], sides[1], colour(found.index));
    }
  }

  #box([left, top, width, height], line, stroke) {
    const context = this.#context;
    // Inside the box, so that one at the picture's edge is seen; a dark line beside it for pictures of its colour.
    context.lineWidth = 2 * line;
    context.strokeStyle = "rgb(0 0 0 / 0.5)";
    context.strokeRect(left + line, top + line, width - 2 * line, height - 2 * line);
    context.lineWidth = line;
    context.strokeStyle = stroke;
    context.strokeRect(left + line / 2, top + line / 2, width - line, height - line);
  }

  #label(text, left, top, fill) {
    const context = this.#context;
    const [pad, height] = [4 * devicePixelRatio, 18 * devicePixelRatio];
    context.fillStyle = fill;
    context.fillRect(left, top, context.measureText(text).width + 2 * pad, height);
    context.fillStyle = "#000";
    context.fillText(text, left + pad, top + pad);
  }
}
