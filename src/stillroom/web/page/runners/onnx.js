// An exported student: ONNX Runtime in WebAssembly, a text at a time.

import { encoder } from "../encoders/open.js";

/** The answers of a graph to the ids of a text, and its encoder. */
export async function graph(told, files) {
  const runtime = await import("../runtime/ort.wasm.min.mjs");
  const { wasm } = runtime.env;
  wasm.wasmPaths = new URL("../runtime/", import.meta.url).href;
  wasm.numThreads = globalThis.crossOriginIsolated ? Math.min(4, navigator.hardwareConcurrency || 1) : 1;
  wasm.proxy = false; // this is a worker already
  runtime.env.logLevel = "error";
  const reader = await encoder(told.encoder, files);
  const session = await runtime.InferenceSession.create(new Uint8Array(await files.bytes(told.file)), {
    executionProviders: ["wasm"],
  });

  return async (text) => {
    const read = reader.read(text);
    const size = [1, read.ids.length];
    const ids = new runtime.Tensor("int64", BigInt64Array.from(read.ids, BigInt), size);
    const mask = new runtime.Tensor("bool", new Uint8Array(read.ids.length).fill(1), size);
    const { logits } = await session.run({ ids, mask });
    const values = logits.data.slice();
    for (const one of [ids, mask, logits]) one.dispose();
    return { ...read, values };
  };
}

/** The logits of a text as a whole, or its vector. */
export async function open(told, files) {
  const ask = await graph(told, files);
  return async (text) => {
    const { values, cut } = await ask(text);
    return { values, cut };
  };
}
