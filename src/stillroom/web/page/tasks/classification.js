// One label out of several for a text.

/** How probable each of some logits is. */
export function softmax(logits) {
  const most = logits.reduce((one, other) => Math.max(one, other), -Infinity);
  const odds = Float64Array.from(logits, (one) => Math.exp(one - most));
  const sum = odds.reduce((one, other) => one + other, 0);
  return odds.map((one) => one / sum);
}

/** The first of the highest. */
export function highest(values) {
  let best = 0;
  for (let at = 1; at < values.length; at += 1) if (values[at] > values[best]) best = at;
  return best;
}

/** The most probable label, and how probable each is. */
export async function open(told) {
  return (_, said) => {
    const shares = softmax(said.values);
    const best = highest(shares);
    return { label: told.labels[best], score: shares[best], scores: told.labels.map((label, at) => [label, shares[at]]) };
  };
}
