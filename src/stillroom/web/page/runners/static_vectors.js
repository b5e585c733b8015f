// A static student that embeds: one vector a token, summed, brought to length one.

import { encoder } from "../encoders/open.js";
import { tensors } from "../safetensors.js";
import { sum } from "./static.js";

/** A vector of length one; of a text without a token zeros. */
export async function open(told, files) {
  const { rows } = tensors(await files.bytes(told.file));
  const tokens = await encoder(told.encoder, files);
  return (text) => {
    const { ids, cut } = tokens.read(text);
    const found = sum(rows, ids);
    const length = Math.max(Math.hypot(...found), 1e-12);
    return { values: Float32Array.from(found, (one) => one / length), cut };
  };
}
