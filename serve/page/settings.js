// What the models are asked, as a form made of what the service serves.

import { element } from "./dom.js";

const TITLES = { classify: "Actions", localize: "When they happen", detect: "Who does what" };
/** Predictions of a classifier: as many as fit beside each other. */
const TOP_K = 5;

const field = (text, control) => element("label", { class: "wide" }, text, " ", control);
const number = (name, value, min, max, step) => element("input", { type: "number", name, value, min, max, step, required: true });

function choice(name, options, chosen) {
  const select = element("select", { name });
  for (const [value, text] of options) select.append(element("option", { value, selected: value === chosen }, text));
  return select;
}

/** The form of settings. */
export class Settings {
  #form;
  #models = [];

  constructor(form) {
    this.#form = form;
    form.onsubmit = (event) => event.preventDefault();
  }

  /** Makes the form for the models that are served. */
  show(models) {
    this.#models = models;
    this.#form.replaceChildren(...Object.keys(TITLES).map((task) => this.#task(task)).filter((part) => part));
  }

  #of(task) {
    return this.#models.filter((model) => model.task === task);
  }

  #task(task) {
    const models = this.#of(task);
    if (!models.length) return null;
    const names = models.map((model) => [model.name, model.name]);
    const main = models.find((model) => model.default) ?? models[0];
    const parts = [field("model", choice(`${task}.model`, names, main.name))];
    if (task === "classify") {
      // Two models of the same classes are there to be compared.
      const others = models.filter((model) => model !== main);
      const isPair = others.length === 1 && String(others[0].labels) === String(main.labels);
      if (others.length) parts.push(field("beside it", choice("beside", [["", "no other"], ...names], isPair ? others[0].name : "")));
      if (models.some((model) => model.explain.includes("cam"))) {
        parts.push(element("label", {}, element("input", { type: "checkbox", name: "explain", checked: true }), " where the evidence lies"));
      }
    }
    if (task === "detect") {
      parts.push(field("lowest score", number("detect.threshold", 0.25, 0, 1, 0.01)));
      parts.push(field("one frame in", number("detect.every", 1, 1, 1000000, 1)));
    }
    const toggle = element("input", { type: "checkbox", name: task, checked: true });
    const inner = element("div", { class: "fields" }, ...parts);
    toggle.onchange = () => (inner.hidden = !toggle.checked);
    return element("fieldset", {}, element("legend", {}, element("label", {}, toggle, ` ${TITLES[task]}`)), inner);
  }

  /** Whether what is asked makes sense; the browser says what does not. */
  isValid() {
    return this.#form.reportValidity();
  }

  /** Query strings of /v1/predict and /v1/jobs: one for all that is asked, and one for the model beside. None when nothing is asked. */
  queries() {
    const asked = new FormData(this.#form);
    const tasks = Object.keys(TITLES).filter((task) => asked.has(task));
    if (!tasks.length) return [];
    const query = { tasks: tasks.join(",") };
    for (const task of tasks) query[`${task}.model`] = asked.get(`${task}.model`);
    if (asked.has("classify")) Object.assign(query, this.#classify(asked.get("classify.model"), asked));
    if (asked.has("detect")) {
      query["detect.threshold"] = asked.get("detect.threshold");
      query["detect.every"] = asked.get("detect.every");
      query["detect.tubes"] = "true";
    }
    const queries = [query];
    const beside = asked.has("classify") && asked.get("beside");
    if (beside && beside !== query["classify.model"]) {
      queries.push({ tasks: "classify", "classify.model": beside, ...this.#classify(beside, asked) });
    }
    return queries.map((query) => new URLSearchParams(query).toString());
  }

  #classify(name, asked) {
    const model = this.#models.find((model) => model.name === name);
    const canExplain = asked.has("explain") && model?.explain.includes("cam");
    return { "classify.top_k": String(TOP_K), ...(canExplain && { "classify.explain": "cam" }) };
  }

  /** What is served under a name. */
  model(name) {
    return this.#models.find((model) => model.name === name);
  }
}
