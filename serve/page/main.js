// The page: what is given, what is asked, what came of it.

import { Problem } from "./api.js";
import { setUpCamera } from "./camera.js";
import { element, find, percent, size } from "./dom.js";
import { PastJobs } from "./jobs.js";
import { forget, keep, kept } from "./keep.js";
import { Player } from "./player.js";
import { Results } from "./results.js";
import { followJobs, forgetJobs, predict, served, submit } from "./run.js";
import { Settings } from "./settings.js";
import { setUpSource } from "./source.js";

/** Progress is read aloud in steps of this share. */
const TOLD_STEP = 0.25;
/** How often the service is asked for its models while it loads them. */
const LOADING_MS = 2000;
const CANNOT_PLAY = "This browser cannot play the video; the service may have read it all the same.";
const CANNOT_SEEK = "This browser cannot go to that place in the video; it can play it from the beginning.";

const settings = new Settings(find("settings"));
const results = new Results({ onSeek: seek });
const player = new Player(find("stage"), find("video"), {
  onFrame: (time_s) => results.at(time_s),
  onUnplayable: (isBegun) => lackVideo(isBegun ? CANNOT_SEEK : CANNOT_PLAY, false),
});
const past = new PastJobs({ onError: fail, onForgotten: (ids) => ids.some((id) => shownIds().includes(id)) && leave() });

/** What the service serves: `{ models, limits, jobs }`. */
let service = null;
/** The video that is given, if it is. */
let file = null;
/** The work that is going on, if any is: what ends it, and its jobs. */
let working = null;
/** The size of the video that the results which are shown are of, where a job says it. */
let shown_bytes;
/** Progress that was read aloud last. */
let told = "";

/** The ids in the page's address. */
const shownIds = () => (location.hash.match(/^#job=([\w,-]+)$/)?.[1] ?? "").split(",").filter((id) => id);

function fail(error) {
  say("");
  find("error").replaceChildren(element("p", {}, error instanceof Error ? error.message : error));
}

function say(text) {
  find("status").textContent = told = text;
}

/** Shows progress; reads it aloud now and then. */
function step({ name, share }) {
  const progress = find("progress");
  if (share === null) progress.removeAttribute("value");
  else progress.value = share;
  const text = share === null ? name : `${name}: ${percent(Math.floor(share / TOLD_STEP) * TOLD_STEP)}`;
  if (text !== told) say(text);
}

/**
 * Does work that can fail and be cancelled, and shows what came of it. Other work may take its place: then its jobs go on, and stand in the
 * list.
 */
async function work(begin) {
  working?.control.abort();
  const mine = (working = { control: new AbortController(), ids: [] });
  find("error").replaceChildren();
  results.clear();
  setWorking(true);
  step({ name: "Starting", share: null });
  const onStep = (now) => mine === working && step(now);
  const onSeen = (answers) => mine === working && results.seen(answers);
  const end = (tell) => {
    if (mine !== working) return;
    working = null;
    setWorking(false);
    tell();
  };
  try {
    const came = await begin({ signal: mine.control.signal, onStep, onSeen, onJobs: (ids) => (mine.ids = ids) });
    end(() => show(came));
  } catch (error) {
    end(() => {
      results.clear();
      if (error.name === "AbortError") say("Cancelled.");
      else fail(error);
    });
  }
}

/** Ends the work that is going on, and its jobs. */
async function cancel() {
  const { control, ids } = working;
  control.abort();
  if (!ids.length) return;
  history.pushState(null, "", location.pathname + location.search);
  await forgetJobs(ids).catch(fail);
  await forget(ids[0]);
  past.show();
}

function setWorking(isWorking) {
  const [start, cancel] = [find("start"), find("cancel")];
  const hadFocus = [start, cancel].includes(document.activeElement);
  find("progress").hidden = cancel.hidden = !isWorking;
  start.hidden = isWorking;
  start.disabled = !file || !service;
  if (hadFocus) (isWorking ? cancel : start).focus();
}

function show(came) {
  const name = file?.name ?? "video.mp4";
  const frame = Results.frameSize(came);
  if (frame) player.shape(...frame);
  find("stage").hidden = !frame && !player.hasVideo;
  results.show(came, { name, modelOf: (model) => settings.model(model) });
  shown_bytes = came[0]?.bytes;
  const problems = came.flatMap(({ problem, answer }) => [problem, ...Object.values(answer ?? {}).map((part) => part.error && new Problem(part.error))]);
  say(came.some(({ answer }) => answer) ? "Done." : "");
  problems.filter((problem) => problem).forEach((problem) => find("error").append(element("p", {}, problem.message)));
}

/** Takes a video, shows it, and has it looked at. */
function take(given) {
  file = given;
  find("name").textContent = `${given.name}, ${size(given.size)}`;
  find("name").hidden = find("stage").hidden = false;
  find("no-video").hidden = true;
  find("watch").classList.add("has-video");
  player.load(given);
  setWorking(working !== null);
  look();
}

/** Has the video looked at. */
async function look() {
  if (!service || !file || !settings.isValid()) return;
  const queries = settings.queries();
  find("error").replaceChildren();
  if (!queries.length) return fail("nothing is asked for; choose at least one thing to look for");
  const most = service.limits.max_body_bytes;
  if (file.size > most) return fail(`the video has ${size(file.size)}, and the service takes ${size(most)} at most; send a shorter one`);
  const sent = file;
  await work(async (control) => {
    if (!service.jobs) return predict(sent, queries, control);
    const ids = await submit(sent, queries, control);
    control.onJobs(ids);
    await keep(ids[0], { name: sent.name, beside: ids.slice(1), file: sent });
    history.pushState(null, "", `#job=${ids.join(",")}`);
    past.show();
    return followJobs(ids, control);
  });
  if (service.jobs) past.show();
}

/** Opens the jobs that the page's address names. */
async function open() {
  const ids = shownIds();
  if (!service?.jobs) return;
  if (!ids.length) return results.clear();
  file = null;
  say("");
  player.unload();
  find("watch").classList.remove("has-video");
  const video = await kept(ids[0]);
  if (video?.file) {
    file = new File([video.file], video.name, { type: video.file.type });
    player.load(file);
    find("watch").classList.add("has-video");
  }
  find("name").textContent = video?.name ?? "a video of before";
  find("name").hidden = false;
  find("stage").hidden = !file;
  find("no-video").hidden = true;
  if (!file) lackVideo("This browser has not kept the video; the results are shown without it.", true);
  await work((control) => {
    control.onJobs(ids);
    return followJobs(ids, control);
  });
}

/** Shows nothing of a job that is gone. */
function leave() {
  history.pushState(null, "", location.pathname + location.search);
  forget(shownIds()[0] ?? "");
  results.clear();
  say("");
}

function lackVideo(why, canGive) {
  find("no-video-why").textContent = why;
  find("no-video").hidden = false;
  find("again").hidden = find("again-label").hidden = !canGive;
}

function seek(time_s) {
  player.pause();
  player.seek(time_s);
}

/** Shows a video beside results that are there already. */
function giveAgain(given) {
  file = given;
  find("name").textContent = `${given.name}, ${size(given.size)}`;
  find("stage").hidden = false;
  find("no-video").hidden = true;
  find("watch").classList.add("has-video");
  player.load(given);
  setWorking(working !== null);
  const isOther = shown_bytes !== undefined && shown_bytes !== given.size;
  if (isOther) lackVideo("This file has another size than the one that was looked at: what is drawn may not belong to it.", true);
}

async function start() {
  setUpSource({ onFile: take });
  setUpCamera({ onFile: take, onError: fail });
  find("again").onchange = ({ target }) => target.files[0] && giveAgain(target.files[0]);
  find("start").onclick = look;
  find("cancel").onclick = cancel;
  addEventListener("hashchange", open);
  for (;;) {
    try {
      service = await served();
    } catch (error) {
      return fail(error);
    }
    if (service.models.length) break;
    say("The service has no model yet; waiting for one.");
    await new Promise((resolve) => setTimeout(resolve, LOADING_MS));
  }
  say("");
  settings.show(service.models);
  setWorking(false);
  if (service.jobs) past.show();
  await open();
  // A video that was given meanwhile.
  if (file && !shownIds().length) look();
}

start();
