// A video on its way through the service: one job, or one request, for each query.

import { ask, askJson, follow, Problem, send } from "./api.js";

/**
 * What came of a query: `{ query, id, bytes, answer }`, or with `problem` instead of the answer; `id` and `bytes` are those of the job,
 * where there is one.
 */
const ofJob = (job) => ({
  query: job.parameters,
  id: job.id,
  bytes: job.bytes,
  ...(job.state === "done" ? { answer: job.result } : { problem: new Problem(job.error ?? {}) }),
});

/** Forgets jobs. Those that are gone already are no loss. */
export const forgetJobs = (ids) =>
  Promise.all(ids.map((id) => ask(`v1/jobs/${id}`, { method: "DELETE" }).catch((error) => error.status === 404 || Promise.reject(error))));

/** Sends a video as a job for each query, and resolves with their ids. Those that were made before a failure are taken back. */
export async function submit(file, queries, { signal, onStep }) {
  const ids = [];
  try {
    for (const query of queries) {
      const onSent = (share) => onStep({ name: "Uploading", share: (ids.length + share) / queries.length });
      ids.push((await send(`v1/jobs?${query}`, file, { signal, onSent })).id);
    }
    return ids;
  } catch (error) {
    await forgetJobs(ids).catch(() => {});
    throw error;
  }
}

/** What the classifier of a job has seen so far, as an answer. */
const seenOf = ({ parameters, progress, result }) => {
  const predictions = result?.classify?.predictions ?? progress?.so_far?.classify;
  return predictions && { model: new URLSearchParams(parameters).get("classify.model") ?? "the model", predictions };
};

/** Follows jobs until they have ended, and resolves with what came of them. */
export async function followJobs(ids, { signal, onStep, onSeen }) {
  const jobs = new Map();
  const tell = () => {
    const all = [...jobs.values()];
    const isQueued = all.length < ids.length || all.every((job) => job.state === "queued");
    if (isQueued) return onStep({ name: "Waiting for its turn", share: null });
    const shares = all.map(({ state, progress }) =>
      ["done", "failed"].includes(state) ? 1 : Math.min(1, (progress?.clips ?? 0) / Math.max(1, progress?.expected ?? 1)),
    );
    onStep({ name: "Looking", share: shares.reduce((sum, share) => sum + share, 0) / ids.length });
    onSeen(ids.map((id) => seenOf(jobs.get(id) ?? {})).filter((seen) => seen));
  };
  const onLost = () => onStep({ name: "The connection is lost; trying again", share: null });
  const followed = ids.map((id) => {
    const onChange = (job) => {
      jobs.set(id, job);
      tell();
    };
    return follow(id, { signal, onChange, onLost });
  });
  return (await Promise.all(followed)).map(ofJob);
}

/** Sends a video with each query, one after the other, and resolves with what came of them: for a service that has no jobs. */
export async function predict(file, queries, { signal, onStep }) {
  const came = [];
  for (const [at, query] of queries.entries()) {
    const onSent = (share) => onStep(share < 1 ? { name: "Uploading", share: (at + share) / queries.length } : { name: "Looking", share: null });
    try {
      came.push({ query, answer: await send(`v1/predict?${query}`, file, { signal, onSent }) });
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      came.push({ query, problem: error });
    }
  }
  return came;
}

/** What is served: models, limits, and whether there are jobs. */
export const served = () => askJson("v1/models");
