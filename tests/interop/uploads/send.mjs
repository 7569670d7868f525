// Uploads a file with tus-js-client as it is. Argument: JSON of what to do; prints JSON of what came of it.
import { readFileSync } from "node:fs";
import tus from "tus-js-client";

const wish = JSON.parse(process.argv[2]);
const content = readFileSync(wish.file);

function started(options) {
  return new Promise((resolve, reject) => {
    const upload = new tus.Upload(content, {
      endpoint: wish.endpoint,
      headers: { Authorization: `Bearer ${wish.token}` },
      metadata: { filename: "Lageplan.pdf", filetype: "application/pdf" },
      retryDelays: Array(30).fill(100),
      ...options,
      onError: reject,
      onSuccess: () => resolve(upload),
    });
    options.begun?.(upload, resolve);
    upload.start();
  });
}

let retried = 0;
const broken = await started({
  onShouldRetry: (error) => {
    const status = error.originalResponse ? error.originalResponse.getStatus() : 0;
    if (![0, 409, 423, 503].includes(status)) return false;
    retried += 1;
    return true;
  },
});
const parallel = await started({ parallelUploads: 3 });
const ended = await started({
  chunkSize: 65536,
  begun: (upload, resolve) => {
    upload.options.onChunkComplete = () => upload.abort(true).then(() => resolve(upload));
  },
});
const gone = await started({ uploadUrl: wish.expired, endpoint: null }).catch((error) => error);
console.log(
  JSON.stringify({
    broken: broken.url,
    retried,
    parallel: parallel.url,
    ended: ended.url,
    gone: gone.originalResponse ? gone.originalResponse.getStatus() : String(gone),
  }),
);
