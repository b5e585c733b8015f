// A vector for each text: the cosine of two of them is their product.

/** The vector. */
export async function open() {
  return (_, said) => ({ vector: Array.from(said.values) });
}

/** The cosine of two vectors of length one. */
export function cosine(one, other) {
  return one.reduce((sum, value, at) => sum + value * other[at], 0);
}
