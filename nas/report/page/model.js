// What the page knows, and what is chosen: one kind of studies, one network, one network beside it.

const content = JSON.parse(byId("content").textContent);
const T = content.trials;
const placeKeys = Object.fromEntries(content.place.map((name, index) => [name, index]));
const state = { kind: 0, selected: null, beside: 0 };
const listeners = [];

const kind = () => content.kinds[state.kind];
const device = () => content.devices[kind().target];
const onChange = (listener) => listeners.push(listener);

/** Set some of the state, and tell everyone what has changed. */
function change(values) {
  Object.assign(state, values);
  for (const listener of listeners) listener(values);
}

/** Indices of all trials of the kind, of those with both figures, and which are on its front. */
const members = memo((k) => {
  const mine = new Set(content.kinds[k].studies),
    all = [];
  for (let i = 0; i < T.id.length; i++) if (mine.has(T.study[i])) all.push(i);
  const points = all.filter((i) => T.accuracy[i] !== null && T.latency[i] !== null);
  return { all, points, front: new Set(content.kinds[k].front) };
});

function memo(compute) {
  const known = new Map();
  return (argument) => {
    if (!known.has(argument)) known.set(argument, compute(argument));
    return known.get(argument);
  };
}

const onTarget = () => (kind().target ? ` on ${kind().target}` : "");
const within = (i) => kind().budget === null || (T.latency[i] !== null && T.latency[i] <= kind().budget);
const trialName = (i) => `trial:${T.id[i]}`;
const studyName = (i) => content.studies[T.study[i]].name;

/** Places of a network as objects with the keys that the content names. */
const drawn = (network) =>
  (network || []).map((index) => {
    const row = device().places[index];
    const place = Object.fromEntries(content.place.map((name) => [name, row[placeKeys[name]]]));
    return { ...place, ops: place.ops.map((op) => device().ops[op]) };
  });

const networkOf = (i) => (device() ? drawn(T.networks[T.network[i]]) : []);

const ROLES = {
  conv: "conv",
  expand: "expand",
  depthwise: "depthwise",
  squeeze: "se",
  reduce: "se",
  excite: "se",
  scale: "se",
  project: "project",
  linear: "other",
  classifier: "other",
  pool: "other",
  shortcut: "other",
  add: "other",
};
const ROLE_NAMES = {
  conv: "dense convolution",
  expand: "expansion (1×1)",
  depthwise: "depthwise",
  se: "squeeze-and-excite",
  project: "projection (1×1)",
  other: "pooling, sums, linear",
};

/** Milliseconds by role of the ops of places; null where the device's table is not known. */
function byRole(places) {
  const sums = Object.fromEntries(Object.keys(ROLE_NAMES).map((role) => [role, 0]));
  for (const place of places) {
    for (const [role, time] of place.ops) {
      if (time === null) return null;
      sums[ROLES[role]] += time;
    }
  }
  return sums;
}

const PARTS = {
  mobilenet: "MobileNet",
  mnasnet: "MnasNet",
  proxylessnas: "ProxylessNAS",
  large: "Large",
  small: "Small",
};

/** `mobilenet_v3_large_075` as people write it: MobileNetV3-Large 0.75. */
function pretty(name) {
  const [, network, rest] = /^([^,\s]*)(.*)$/.exec(name); // as in "mobilenet_v2, scaled"
  return prettyNetwork(network) + rest;
}

function prettyNetwork(name) {
  const words = name.split("_").map((word) => PARTS[word] || word);
  return words.reduce((text, word) => {
    if (/^\d{3}$/.test(word)) return `${text} ${(Number(word) / 100).toFixed(2)}`;
    if (/^v\d$/.test(word)) return text + word.toUpperCase();
    return `${text}${text ? "-" : ""}${/^[ab]\d$/.test(word) ? word.toUpperCase() : word}`;
  }, "");
}

const shortName = (name) => pretty(name).replace("MobileNet", "");
const accuracyWord = () => (kind().predicted ? "predicted accuracy" : "accuracy on held-out images");

/** Accuracy with its interval, if it is a prediction. */
function accuracyText(i) {
  const half = T.high[i] === null || T.accuracy[i] === null ? "" : ` ± ${fixed(100 * (T.high[i] - T.accuracy[i]), 1)}`;
  return T.accuracy[i] === null ? MISSING : `${fixed(100 * T.accuracy[i], 2)}${half} %`;
}

/** What a tooltip says of a trial. */
function aboutTrial(i) {
  const place =
    i === kind().best
      ? "best within the budget"
      : members(state.kind).front.has(i)
        ? "on the front"
        : within(i)
          ? null
          : "over the budget";
  return [
    el("b", {}, trialName(i)),
    el(
      "dl",
      {},
      ...terms([
        [kind().predicted ? "predicted" : "accuracy", accuracyText(i)],
        ["on test images", T.test[i] === null ? null : percent(T.test[i])],
        ["latency", `${ms(T.latency[i])}, predicted`],
        ["MAdds", millions(T.macs[i])],
        ["params", millions(T.params[i], 2)],
        ["study", content.studies.length > 1 ? studyName(i) : null],
        ["", place],
      ]),
    ),
  ];
}

/** What a tooltip says of a published network. */
function aboutReference(reference) {
  const published = reference.published.find((entry) => entry.top1 !== null);
  return [
    el("b", {}, pretty(reference.name)),
    el(
      "dl",
      {},
      ...terms([
        ["latency", `${ms(reference.ms)} (${fixed(reference.low_ms, 1)} to ${fixed(reference.high_ms, 1)}), predicted`],
        ["MAdds", millions(reference.macs)],
        ["params", millions(reference.params, 2)],
        ["published", published ? `top-1 ${published.top1} % (${published.source})` : null],
      ]),
    ),
    reference.trial === null
      ? el("small", {}, "Published accuracies are of another training; on this axis it has none.")
      : el("small", {}, `Judged here as ${trialName(reference.trial)}: ${accuracyText(reference.trial)}.`),
  ];
}
