// A model in this browser: a worker that computes, made when it is first needed and ended when it is stopped.
// Knows messages. Refuses to know the page, and leaves all that is heavy to the worker.

export class BrowserModel {
  #worker;
  #jobs = new Map();
  #count = 0;

  /** Addresses of the folders of Transformers.js and of its runtime; empty if they are not installed. */
  constructor(transformers, runtime) {
    this.transformers = transformers;
    this.runtime = runtime;
  }

  get installed() {
    return Boolean(this.transformers && this.runtime);
  }

  /** Vectors, tokens and milliseconds. `progress` is told of bytes loaded and texts computed. */
  embed(job, progress, signal) {
    return new Promise((resolve, reject) => {
      const id = ++this.#count;
      const end = (settle, value) => {
        signal.removeEventListener("abort", stop);
        this.#jobs.delete(id);
        settle(value);
      };
      const stop = () => {
        // A computation cannot be broken off; its thread can.
        this.#end();
        end(reject, new DOMException("stopped", "AbortError"));
      };
      signal.addEventListener("abort", stop);
      this.#jobs.set(id, {
        progress,
        done: (result) => end(resolve, result),
        failed: (message) => end(reject, new Error(message)),
      });
      const { texts, model, promptName, dimensions, normalize, numbers } = job;
      const { transformers, runtime } = this;
      const origin = location.origin;
      this.#started().postMessage({
        id, texts, model, promptName, dimensions, normalize, numbers, transformers, runtime, origin,
      });
    });
  }

  #started() {
    if (!this.#worker) {
      this.#worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
      this.#worker.onmessage = ({ data }) => {
        const job = this.#jobs.get(data.id);
        if (data.progress) job?.progress(data.progress);
        else if (data.error) job?.failed(data.error);
        else job?.done(data.result);
      };
      this.#worker.onerror = (event) => {
        event.preventDefault();
        this.#end();
        for (const job of [...this.#jobs.values()]) job.failed(event.message || "The worker could not be started.");
      };
    }
    return this.#worker;
  }

  #end() {
    this.#worker?.terminate();
    this.#worker = undefined;
  }
}
