// Scores of classes as bars: those of one model, or of two beside each other.

import { element, percent } from "./dom.js";

/** A cell with a bar. A class that is not among the model's best has less than the last of them. */
function cell(answer, label, at) {
  const { predictions } = answer;
  const found = predictions.find((prediction) => prediction.label === label);
  const below = predictions.length ? `below ${percent(predictions.at(-1).score)}` : "unknown";
  const bar = element("span", { class: `bar model-${at}`, "aria-hidden": "true" });
  bar.style.setProperty("--share", found?.score ?? 0);
  const best = found && found === predictions[0] ? "best" : null;
  return element("td", { class: best }, element("span", { class: "score" }, found ? percent(found.score) : below), bar);
}

/** A table of classes, those first of which any model is sure; `answers` are those of /v1/classify. */
export function bars(answers) {
  const predictions = answers.flatMap((answer) => answer.predictions).sort((a, b) => b.score - a.score);
  const labels = [...new Set(predictions.map((prediction) => prediction.label))];
  const heads = ["class", ...answers.map((answer) => answer.model)];
  const head = element("tr", {}, ...heads.map((text) => element("th", { scope: "col" }, text)));
  const rows = labels.map((label) =>
    element("tr", {}, element("th", { scope: "row" }, label), ...answers.map((answer, at) => cell(answer, label, at))),
  );
  const caption = element("caption", {}, answers.length > 1 ? "Actions in the video, by two models" : "Actions in the video");
  return element("table", { class: "bars" }, caption, element("thead", {}, head), element("tbody", {}, ...rows));
}
