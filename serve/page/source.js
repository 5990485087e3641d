// Where videos come from: files that are chosen, and files that are dropped anywhere on the page.

import { find } from "./dom.js";

/** Calls `onFile` with each video that is given. */
export function setUpSource({ onFile }) {
  const input = find("file");
  input.onchange = () => {
    const [file] = input.files;
    // So that the same file can be chosen again.
    input.value = "";
    if (file) onFile(file);
  };

  const drop = find("drop");
  const hasFiles = (event) => event.dataTransfer?.types.includes("Files");
  const mark = (isOver) => drop.classList.toggle("over", isOver);
  addEventListener("dragover", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    mark(true);
  });
  addEventListener("dragleave", (event) => event.relatedTarget || mark(false));
  addEventListener("drop", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    mark(false);
    const [file] = event.dataTransfer.files;
    if (file) onFile(file);
  });
}
