// The API key, where the service wants one. It is kept for this tab alone, until it is closed.

import { find } from "./dom.js";

const NAME = "unscene-api-key";
let asking = null;

/** The header that has the key, if there is one. */
export function authorization() {
  const key = sessionStorage.getItem(NAME);
  return key ? { Authorization: `Bearer ${key}` } : {};
}

/** Whether requests have a key. */
export const hasKey = () => sessionStorage.getItem(NAME) !== null;

/** Asks the user for another key, and says why. Resolves to whether there is one now. */
export function askForKey(why) {
  asking ??= new Promise((resolve) => {
    const [dialog, form, input] = [find("key"), find("key-form"), find("key-input")];
    find("key-why").textContent = why;
    const end = (isGiven) => {
      form.onsubmit = dialog.onclose = null;
      asking = null;
      input.value = "";
      if (dialog.open) dialog.close();
      resolve(isGiven);
    };
    form.onsubmit = (event) => {
      event.preventDefault();
      sessionStorage.setItem(NAME, input.value.trim());
      end(true);
    };
    find("key-cancel").onclick = () => end(false);
    dialog.onclose = () => end(false);
    dialog.showModal();
  });
  return asking;
}
