// The video, and a call for every frame of it that is shown.

/**
 * Plays a video in an element, and tells `onFrame` the time of the frame that is shown, in seconds from its beginning. `onUnplayable` hears
 * that the browser cannot play it, or cannot go to a place in it.
 */
export class Player {
  #video;
  #stage;
  #onFrame;
  #time_s = 0;
  #file = null;

  constructor(stage, video, { onFrame, onUnplayable }) {
    [this.#stage, this.#video, this.#onFrame] = [stage, video, onFrame];
    video.addEventListener("error", () => {
      if (!this.hasVideo) return;
      // Decoders of browsers give up where some files are seeked in; from the beginning, they play.
      const [file, isBegun] = [this.#file, video.currentTime > 0];
      this.unload();
      if (isBegun) this.load(file);
      onUnplayable(isBegun);
    });
    video.addEventListener("loadedmetadata", () => this.#ready());
    video.addEventListener("seeked", () => this.#shown(video.currentTime));
    new ResizeObserver(() => this.#onFrame(this.#time_s)).observe(stage);
    if ("requestVideoFrameCallback" in video) {
      const next = (_, frame) => {
        this.#shown(frame.mediaTime);
        video.requestVideoFrameCallback(next);
      };
      video.requestVideoFrameCallback(next);
    } else {
      const next = () => {
        if (!video.paused) this.#shown(video.currentTime);
        requestAnimationFrame(next);
      };
      next();
    }
  }

  get hasVideo() {
    return this.#video.hasAttribute("src");
  }

  /** Of the frame that is shown. */
  get time_s() {
    return this.#time_s;
  }

  load(file) {
    this.unload();
    this.#file = file;
    this.#video.src = URL.createObjectURL(file);
  }

  unload() {
    if (!this.hasVideo) return;
    URL.revokeObjectURL(this.#video.src);
    this.#video.removeAttribute("src");
    this.#video.load();
    this.#shown(0);
  }

  /** Goes there, as far as there is a video. */
  seek(time_s) {
    if (this.hasVideo) this.#video.currentTime = time_s;
    else this.#shown(time_s);
  }

  pause() {
    this.#video.pause();
  }

  /** Gives the stage the shape of a video of that size, so that what is drawn over it lies where it belongs. */
  shape(width, height) {
    this.#stage.style.setProperty("--width", width);
    this.#stage.style.setProperty("--height", height);
  }

  #ready() {
    const video = this.#video;
    if (video.videoWidth) this.shape(video.videoWidth, video.videoHeight);
    if (video.duration === Infinity) {
      // A recording does not say how long it is; its end does.
      video.addEventListener("durationchange", () => (video.currentTime = 0), { once: true });
      video.currentTime = 1e9;
    }
  }

  #shown(time_s) {
    this.#time_s = time_s;
    this.#onFrame(time_s);
  }
}
