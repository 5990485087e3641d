// Videos of jobs in the browser's own database, so that a reload shows them again: small ones, and few of them. The service keeps what
// came of a job, but no video. A browser that has no database, or no room, keeps nothing, and the user gives the video again.

const MOST_BYTES = 64 * 2 ** 20;
const MOST_KEPT = 8;

function open() {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open("unscene", 1);
    request.onupgradeneeded = () => request.result.createObjectStore("videos", { keyPath: "job" });
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

/** Does something with the videos, and resolves with the result of the request that it makes; with nothing where that is impossible. */
async function work(mode, use) {
  try {
    const database = await open();
    try {
      return await new Promise((resolve, reject) => {
        const transaction = database.transaction("videos", mode);
        const request = use(transaction.objectStore("videos"));
        transaction.oncomplete = () => resolve(request.result);
        transaction.onabort = transaction.onerror = () => reject(transaction.error);
      });
    } finally {
      database.close();
    }
  } catch {
    return undefined;
  }
}

/** Keeps the name of a job's video, which other jobs belong to it, and the video itself if it is small. */
export async function keep(job, { name, beside, file }) {
  const isSmall = file.size <= MOST_BYTES;
  await work("readwrite", (store) => store.put({ job, name, beside, kept_ms: Date.now(), file: isSmall ? file : null }));
  const all = (await list()).sort((a, b) => b.kept_ms - a.kept_ms);
  for (const old of all.slice(MOST_KEPT)) await forget(old.job);
}

/** What is kept of a job. */
export const kept = (job) => work("readonly", (store) => store.get(job));

/** All that is kept. */
export const list = async () => (await work("readonly", (store) => store.getAll())) ?? [];

/** Forgets what is kept of a job. */
export const forget = (job) => work("readwrite", (store) => store.delete(job));
