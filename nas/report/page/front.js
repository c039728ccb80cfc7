// The front: every judged network, the staircase that none of them beats, the budget, and published networks.

const frontHost = byId("front-plot");
const REACH = 22; // pixels within which a pointer finds a mark
const MAIN = [
  "mobilenet_v3_large",
  "mobilenet_v3_small",
  "mnasnet_a1",
  "mobilenet_v2",
  "proxylessnas_mobile",
  "mnasnet_small",
];
let hovered = null; // {trial: index} or {reference: index}, under the pointer or the keys
let zoomed = false;
let marks = []; // {x, y, trial | reference} of what can be found beyond the dots

function frontDomains() {
  const { points, front } = members(state.kind),
    k = kind();
  const seen = zoomed ? [...front] : points;
  const x = extent(
    seen.map((i) => T.latency[i]).concat(zoomed || k.budget === null ? [] : [k.budget]),
    zoomed ? 0.08 : 0.05,
  );
  const y = extent(
    seen.map((i) => 100 * T.accuracy[i]),
    0.08,
  );
  y[1] += (y[1] - y[0]) * 0.05; // the best one's name stays clear of the published networks
  return [[Math.max(0, x[0]), x[1]], y];
}

const frontPlot = new Plot(
  frontHost,
  (plot) => {
    const k = kind(),
      { points } = members(state.kind);
    const [x, y] = frontDomains();
    marks = [];
    plot.axes(x, y, `latency${onTarget()}, ms (predicted)`, `${accuracyWord()}, %`);
    const { top, bottom, right } = plot.inner;
    if (k.budget !== null && k.budget < plot.x.to) {
      const from = Math.max(plot.x(k.budget), plot.inner.left);
      plot.add(svg("rect", { x: from, y: top, width: right - from, height: bottom - top, fill: "var(--over)" }));
    }
    const at = (i) => [T.latency[i], 100 * T.accuracy[i]];
    plot.dots(points.map(at), css("dot"), points.length > 300 ? 2.4 : 3.6, points.length > 300 ? 0.45 : 0.75);
    if (k.budget !== null) plot.upright(k.budget, `budget ${k.budget} ms`, "budget");
    drawReferences(plot);
    drawFront(
      plot,
      k.front.map((i) => [i, ...at(i)]),
    );
    drawChosen(plot);
    frontNote(points, plot, at);
  },
  { top: 58 },
);

function drawFront(plot, points) {
  const shown = points.map(([i, x, y]) => [i, plot.x(x), plot.y(y)]);
  const radius = shown.length > 60 ? 2.6 : 4;
  plot.add(
    plot.clipped(
      svg("path", {
        d: steps(shown.map(([, x, y]) => [x, y])),
        fill: "none",
        stroke: "var(--front)",
        "stroke-width": 1.6,
      }),
      shown.map(([, x, y]) => svg("circle", { cx: x, cy: y, r: radius, fill: "var(--front)" })),
    ),
  );
  const best = kind().best;
  if (best === null || !plot.holds(T.latency[best], 100 * T.accuracy[best])) return;
  const x = plot.x(T.latency[best]),
    y = plot.y(100 * T.accuracy[best]),
    left = x > plot.inner.left + (plot.width < 560 ? 110 : 230);
  plot.add(
    svg("path", {
      d: star(x, y, 10),
      fill: "var(--best)",
      stroke: "var(--card)",
      "stroke-width": 1.5,
      class: "best-mark",
    }),
    svg(
      "text",
      { x: x + (left ? -12 : 12), y: y - 8, "text-anchor": left ? "end" : "start", class: "halo strong" },
      `best: ${trialName(best)}${plot.width < 560 ? "" : `, ${percent(T.accuracy[best], 1)}, ${ms(T.latency[best])}`}`,
    ),
  );
}

/** Published networks: at their latency along the top or, where a trial has judged them, at their point. */
function drawReferences(plot) {
  const rows = [[], [], []],
    { left, right, top } = plot.inner;
  const order = kind()
    .references.map((reference, index) => [reference, index])
    .filter(([reference]) => reference.ms >= plot.x.from && reference.ms <= plot.x.to)
    .sort(([a], [b]) => rank(a) - rank(b));
  for (const [reference, index] of order) {
    const x = plot.x(reference.ms),
      name = shortName(reference.name),
      half = name.length * 3.3 + 5;
    const middle = Math.min(Math.max(x, left + half - 40), right - half + 10);
    const row = rows.find((taken) => taken.every(([from, to]) => middle + half < from || middle - half > to));
    const judged = reference.trial !== null;
    const y = judged ? plot.y(100 * T.accuracy[reference.trial]) : top;
    marks.push({ x, y, reference: index });
    plot.add(
      svg("path", {
        d: `M${x} ${top}v${judged ? y - top : 7}`,
        stroke: "var(--reference)",
        opacity: judged ? 0.25 : 0.6,
      }),
      svg("path", {
        d: diamond(x, y, 4.5),
        fill: judged ? "var(--reference)" : "var(--card)",
        stroke: "var(--reference)",
        "stroke-width": 1.4,
      }),
    );
    if (!row) continue;
    row.push([middle - half, middle + half]);
    const line = top - 12 - 15 * rows.indexOf(row);
    plot.add(
      svg("path", { d: `M${x} ${top - 5}L${middle} ${line + 3}`, stroke: "var(--reference)", opacity: 0.25 }),
      svg("text", { x: middle, y: line, "text-anchor": "middle", class: "halo" }, name),
    );
  }
}

function rank(reference) {
  const place = MAIN.indexOf(reference.name);
  return place < 0 ? MAIN.length : place;
}

const rings = svg("g");

/** Rings around what is drawn below and what is under the pointer: all that changes while the pointer moves. */
function drawChosen(plot) {
  const found = [];
  for (const [i, colour, r] of [
    [state.selected, "ink", 9],
    [hovered && hovered.trial, "focus", 7],
  ]) {
    if (i === null || i === undefined || T.latency[i] === null || T.accuracy[i] === null) continue;
    if (!plot.holds(T.latency[i], 100 * T.accuracy[i])) continue;
    found.push(
      svg("circle", {
        cx: plot.x(T.latency[i]),
        cy: plot.y(100 * T.accuracy[i]),
        r,
        fill: "none",
        stroke: `var(--${colour})`,
        "stroke-width": 2,
      }),
    );
  }
  const mark = hovered && marks.find((other) => other.reference === hovered.reference);
  if (mark)
    found.push(svg("path", { d: diamond(mark.x, mark.y, 8), fill: "none", stroke: "var(--focus)", "stroke-width": 2 }));
  rings.replaceChildren(...found);
  plot.add(rings);
}

function frontNote(points, plot, at) {
  const outside = points.filter((i) => !plot.holds(...at(i))).length,
    { all } = members(state.kind);
  const unjudged = all.length - points.length;
  show(
    byId("front-note"),
    [
      outside ? `${plural(outside, "network")} outside of this range. ` : "",
      unjudged
        ? `${plural(unjudged, "trial")} without an accuracy (waiting, running, stopped, failed or estimated) in the table alone. `
        : "",
      kind().references.some((reference) => reference.trial === null)
        ? "Published networks stand at their predicted latency along the top: their accuracies come from other trainings and are not on this axis."
        : "",
    ].join(""),
  );
}

function frontLegend() {
  const { points } = members(state.kind),
    k = kind();
  const judged = k.predicted ? "predicted" : "judged";
  show(
    byId("front-legend"),
    key("dot", "dot", `${plural(points.length, `${judged} network`)}`),
    key("steps", "front", `Pareto front within the budget (${k.front.length})`),
    key("star", "best", "best within the budget"),
    k.budget === null ? null : key("dash", "budget", "budget"),
    k.references.length ? key("diamond", "reference", "published networks") : null,
  );
  frontHost.setAttribute(
    "aria-label",
    `Pareto front: ${accuracyWord()} against latency${onTarget()}; ${points.length} networks, ` +
      `${k.front.length} on the front. Arrow keys move, Enter draws the network.`,
  );
}

/** What lies nearest to a place of the plot, published networks and the front before other dots. */
function nearest(px, py) {
  const { points, front } = members(state.kind),
    plot = frontPlot;
  let found = null,
    least = REACH ** 2;
  for (const mark of marks) {
    const d = (mark.x - px) ** 2 + (mark.y - py) ** 2;
    if (d < Math.min(least, 144)) [found, least] = [{ reference: mark.reference }, d];
  }
  for (const i of points) {
    const bias = front.has(i) ? 0.5 : 1;
    const d = bias * ((plot.x(T.latency[i]) - px) ** 2 + (plot.y(100 * T.accuracy[i]) - py) ** 2);
    if (d < least) [found, least] = [{ trial: i }, d];
  }
  return found;
}

function hover(what, speak) {
  hovered = what;
  drawChosen(frontPlot);
  if (what === null) return hideTip();
  const box = frontHost.getBoundingClientRect();
  const mark =
    what.trial === undefined
      ? marks.find((other) => other.reference === what.reference)
      : { x: frontPlot.x(T.latency[what.trial]), y: frontPlot.y(100 * T.accuracy[what.trial]) };
  const about = what.trial === undefined ? aboutReference(kind().references[what.reference]) : aboutTrial(what.trial);
  showTip(box.left + mark.x, box.top + mark.y, ...about);
  if (speak) show(byId("said"), tip.innerText.replace(/\s+/g, " "));
}

function choose(what) {
  if (what === null) return;
  if (what.trial === undefined) change({ beside: what.reference });
  else change({ selected: what.trial });
}

/** The trial before or behind the present one, along the front or by accuracy among all. */
function neighbour(name) {
  const { points } = members(state.kind),
    now = hovered && hovered.trial !== undefined ? hovered.trial : state.selected;
  const along = name === "ArrowLeft" || name === "ArrowRight" || name === "Home" || name === "End";
  const line = along
    ? kind().front
    : [...points].sort((a, b) => T.accuracy[a] - T.accuracy[b] || T.latency[a] - T.latency[b]);
  if (!line.length) return null;
  if (name === "Home" || name === "End") return line[name === "Home" ? 0 : line.length - 1];
  const step = name === "ArrowRight" || name === "ArrowUp" ? 1 : -1,
    place = line.indexOf(now);
  if (place >= 0) return line[Math.min(line.length - 1, Math.max(0, place + step))];
  const behind = line.findIndex((i) => T.latency[i] >= T.latency[now]);
  return line[behind < 0 ? line.length - 1 : Math.max(0, step > 0 ? behind : behind - 1)];
}

frontHost.addEventListener("pointermove", (event) => {
  const box = frontHost.getBoundingClientRect();
  const found = nearest(event.clientX - box.left, event.clientY - box.top);
  if (JSON.stringify(found) !== JSON.stringify(hovered)) hover(found, false);
});
frontHost.addEventListener("pointerleave", () => hover(null, false));
frontHost.addEventListener("blur", () => hover(null, false));
frontHost.addEventListener("click", (event) => {
  const box = frontHost.getBoundingClientRect();
  choose(nearest(event.clientX - box.left, event.clientY - box.top));
});
frontHost.addEventListener("keydown", (event) => {
  if (["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "Home", "End"].includes(event.key)) {
    const next = neighbour(event.key);
    if (next !== null) hover({ trial: next }, true);
  } else if (event.key === "Enter" || event.key === " ") choose(hovered);
  else if (event.key === "Escape") {
    hover(null, false);
    change({ selected: kind().best });
  } else return;
  event.preventDefault();
});
byId("zoom").addEventListener("click", () => {
  zoomed = !zoomed;
  byId("zoom").setAttribute("aria-pressed", zoomed);
  frontPlot.redraw();
});
onChange(({ kind: changed }) => {
  if (changed === undefined) return drawChosen(frontPlot);
  hovered = null;
  frontLegend();
  frontPlot.redraw();
});
