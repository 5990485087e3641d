// A few seconds from the camera, as a file.

import { find } from "./dom.js";

const RECORD_S = 4;
/** What the service reads and browsers write, the best first. */
const KINDS = ["video/webm;codecs=vp9", "video/webm;codecs=vp8", "video/webm", "video/mp4"];

/** Sets up the buttons of the camera. `onFile` gets each recording, `onError` what went wrong, in words. */
export function setUpCamera({ onFile, onError }) {
  const [open, close, record] = ["camera-open", "camera-close", "camera-record"].map(find);
  const [panel, preview] = [find("camera"), find("camera-preview")];
  let stream = null;

  if (!navigator.mediaDevices || !window.MediaRecorder) {
    open.hidden = true;
    find("camera-none").hidden = false;
    return;
  }

  const end = () => {
    stream?.getTracks().forEach((track) => track.stop());
    preview.srcObject = stream = null;
    panel.hidden = true;
  };

  open.onclick = async () => {
    try {
      stream ??= await navigator.mediaDevices.getUserMedia({ video: { width: { ideal: 640 } }, audio: false });
    } catch (error) {
      return onError(`the camera cannot be used: ${error.message}; allow it for this page, or choose a file`);
    }
    preview.srcObject = stream;
    panel.hidden = false;
    record.focus();
    await preview.play();
  };
  close.onclick = () => {
    end();
    open.focus();
  };

  record.onclick = () => {
    const kind = KINDS.find((kind) => MediaRecorder.isTypeSupported(kind));
    const recorder = new MediaRecorder(stream, { mimeType: kind });
    const parts = [];
    recorder.ondataavailable = (event) => parts.push(event.data);
    recorder.onstop = () => {
      clearInterval(ticking);
      record.disabled = false;
      record.textContent = `Record ${RECORD_S} seconds`;
      const wasOpen = !panel.hidden;
      end();
      const type = kind.split(";")[0];
      if (wasOpen && parts.length) onFile(new File(parts, `camera.${type.split("/")[1]}`, { type }));
    };
    record.disabled = true;
    let left_s = RECORD_S;
    const tick = () => {
      record.textContent = `Recording: ${left_s} s`;
      if (left_s-- <= 0) recorder.stop();
    };
    tick();
    const ticking = setInterval(tick, 1000);
    recorder.start();
  };
}
