// Elements, found and made. What the service or a file says becomes text, never markup.

/** The element of that id. */
export const find = (id) => document.getElementById(id);

/**
 * A new element. Attributes that are `true` are there without a value, those that are `false` or null are not; `on` has listeners, and
 * children are elements or text.
 */
export function element(name, { on = {}, ...attributes } = {}, ...children) {
  const made = document.createElement(name);
  for (const [attribute, value] of Object.entries(attributes)) {
    if (value !== false && value != null) made.setAttribute(attribute, value === true ? "" : value);
  }
  for (const [event, listener] of Object.entries(on)) made.addEventListener(event, listener);
  made.append(...children.filter((child) => child != null));
  return made;
}

/** A probability for people. */
export const percent = (share) => `${(100 * share).toFixed(share >= 0.0995 || share === 0 ? 0 : 1)} %`;

/** A moment or a length of a video for people: seconds, or minutes and seconds. */
export function clock(time_s) {
  if (time_s < 60) return `${time_s.toFixed(1)} s`;
  const minutes = Math.floor(time_s / 60);
  return `${minutes}:${String(Math.floor(time_s % 60)).padStart(2, "0")}`;
}

/** A size for people. */
export function size(bytes) {
  const units = ["bytes", "KiB", "MiB", "GiB"];
  const step = Math.min(units.length - 1, Math.floor(Math.log2(Math.max(1, bytes)) / 10));
  return `${(bytes / 1024 ** step).toFixed(step && bytes / 1024 ** step < 10 ? 1 : 0)} ${units[step]}`;
}

/** The colour of a class, far from those of its neighbours in the list; readable over dark and light pictures with a dark edge. */
export const colour = (index) => `hsl(${Math.round((205 + index * 137.508) % 360)} 90% 70%)`;
