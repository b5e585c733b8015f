// Reads a safetensors file: tensors by name. Half precision stays as it is, and is widened a row at a time.

let halves = null;

/** Every number of 16 bits. */
function table() {
  if (halves === null) {
    halves = new Float32Array(65536);
    for (let bits = 0; bits < 65536; bits += 1) {
      const sign = bits & 0x8000 ? -1 : 1;
      const power = (bits >> 10) & 31;
      const part = bits & 1023;
      if (power === 31) halves[bits] = part ? NaN : sign * Infinity;
      else halves[bits] = sign * (power ? 2 ** (power - 15) * (1 + part / 1024) : 2 ** -14 * (part / 1024));
    }
  }
  return halves;
}

class Tensor {
  constructor(shape, numbers, wide) {
    this.shape = shape;
    this.width = shape.length > 1 ? shape[1] : shape[0];
    this.numbers = numbers;
    this.wide = wide;
  }

  /** Adds a row to a sum. */
  add(row, sum) {
    const { numbers, wide, width } = this;
    const start = row * width;
    if (wide === null) for (let at = 0; at < width; at += 1) sum[at] += numbers[start + at];
    else for (let at = 0; at < width; at += 1) sum[at] += wide[numbers[start + at]];
  }

  /** A row as it is. */
  row(number) {
    const found = new Float32Array(this.width);
    this.add(number, found);
    return found;
  }

  /** All numbers, end to end. */
  all() {
    return this.wide === null ? this.numbers : Float32Array.from(this.numbers, (bits) => this.wide[bits]);
  }

  /** The product with a vector: a number for each row. */
  times(vector) {
    const { numbers, wide, width } = this;
    const found = new Float64Array(this.shape[0]);
    for (let row = 0; row < found.length; row += 1) {
      const start = row * width;
      let sum = 0;
      for (let at = 0; at < width; at += 1) {
        const one = numbers[start + at];
        sum += (wide === null ? one : wide[one]) * vector[at];
      }
      found[row] = sum;
    }
    return found;
  }
}

/** The tensors of a file, from its bytes (an ArrayBuffer). */
export function tensors(bytes) {
  const size = Number(new DataView(bytes).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(bytes, 8, size)));
  const found = {};
  for (const [name, one] of Object.entries(header)) {
    if (name === "__metadata__") continue;
    const own = bytes.slice(8 + size + one.data_offsets[0], 8 + size + one.data_offsets[1]);
    if (one.dtype === "F16") found[name] = new Tensor(one.shape, new Uint16Array(own), table());
    else if (one.dtype === "F32") found[name] = new Tensor(one.shape, new Float32Array(own), null);
    else throw new Error(`${name}: numbers of the type ${one.dtype}, which are not read here`);
  }
  return found;
}
