// A cnn student: convolutions over token vectors, the highest answer of each, through a head.

import { encoder } from "../encoders/open.js";
import { tensors } from "../safetensors.js";

const KEPT = 4000; // tokens of which is remembered what they add

/** Logits, `head · relu(max_i Σ_j W_j · rows[t_{i+j}] + bias) + head_bias`; past the end of a text stand zeros. */
export async function open(told, files) {
  const weights = tensors(await files.bytes(told.file));
  const tokens = await encoder(told.encoder, files);
  const { rows, "body.weight": body, "head.weight": head } = weights;
  const [bias, last] = [weights["body.bias"].all(), weights["head.bias"].all()];
  const channels = bias.length / told.windows.length;
  let known = new Map();

  function added(id) {
    let found = known.get(id);
    if (found === undefined) {
      if (known.size > KEPT) known = new Map();
      found = body.times(rows.row(id));
      known.set(id, found);
    }
    return found;
  }

  return (text) => {
    const { ids, cut } = tokens.read(text);
    const each = ids.map(added);
    const peaks = new Float64Array(bias.length).fill(-Infinity);
    let first = 0; // of the window's rows in `body`
    told.windows.forEach((window, number) => {
      for (let at = 0; at < ids.length; at += 1) {
        for (let channel = 0; channel < channels; channel += 1) {
          let one = 0;
          for (let step = 0; step < window && at + step < ids.length; step += 1) {
            one += each[at + step][first + step * channels + channel];
          }
          const place = number * channels + channel;
          if (one > peaks[place]) peaks[place] = one;
        }
      }
      first += window * channels;
    });
    const vector = peaks.map((one, at) => Math.max(one + bias[at], 0));
    return { values: Float32Array.from(head.times(vector), (one, at) => one + last[at]), cut };
  };
}
