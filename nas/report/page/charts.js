// Progress of the best over trials, predictions against measurements, and NetAdapt's path.

const LINES = ["front", "best", "se", "depthwise", "budget", "reference"]; // colours of studies, in this order

/** Judged trials of a study in the order in which they were told, and the best within the budget so far. */
function progressOf(place) {
  const mine = members(state.kind).points.filter((i) => T.study[i] === place && T.told[i] !== null).sort((a, b) => T.told[a] - T.told[b]);
  const line = [];
  let best = -Infinity;
  mine.forEach((i, order) => {
    if (!within(i) || T.accuracy[i] <= best) return;
    best = T.accuracy[i];
    line.push([order + 1, 100 * best]);
  });
  return { count: mine.length, dots: mine.map((i, order) => [order + 1, 100 * T.accuracy[i]]), line };
}

const progressPlot = new Plot(byId("progress-plot"), (plot) => {
  const each = kind().studies.map(progressOf);
  const most = Math.max(1, ...each.map((study) => study.count));
  plot.axes([0, most * 1.02], extent(each.flatMap((study) => study.dots.map(([, y]) => y)), 0.08), "trials told", `${accuracyWord()}, %`);
  each.forEach((study) => plot.dots(study.dots, css("dot"), study.count > 300 ? 1.6 : 2.6, study.count > 300 ? 0.3 : 0.6));
  each.forEach(({ line, count: told }, order) => {
    if (!line.length) return;
    const ends = [...line, [told, line[line.length - 1][1]]].map(([x, y]) => [plot.x(x), plot.y(y)]);
    plot.add(svg("path", { d: steps(ends), fill: "none", stroke: `var(--${LINES[order % LINES.length]})`, "stroke-width": 2.2 }));
  });
});

function drawProgress() {
  const { studies } = kind();
  show(byId("progress-legend"), key("dot", "dot", "a trial"), ...studies.map((place, order) =>
    key("line", LINES[order % LINES.length], studies.length > 1 ? `best of ${content.studies[place].name}` : "best within the budget so far")));
  byId("progress-plot").setAttribute("aria-label", `Best accuracy within the budget over trials, of ${plural(studies.length, "study").replace("studys", "studies")}`);
  progressPlot.redraw();
}

const measurements = () => (device() && device().measured) || [];

const measuredPlot = new Plot(byId("measured-plot"), (plot) => {
  const rows = measurements();
  if (!rows.length) return;
  const range = extent(rows.flatMap((row) => [row.predicted, row.measured]), 0.06), half = device().interval || 0;
  plot.axes(range, range, "measured, ms", "predicted, ms");
  const far = range[1] * 2, end = (factor) => `${plot.x(far)} ${plot.y(far * factor)}`, origin = `${plot.x(0)} ${plot.y(0)}`;
  plot.add(plot.clipped(svg("path", { d: `M${origin}L${end(1 / (1 + half))}L${end(1 / (1 - half))}Z`, fill: "var(--wash)" }),
    svg("path", { d: `M${origin}L${end(1)}`, stroke: "var(--muted)", "stroke-dasharray": "4 4" })));
  const taken = [];
  for (const row of rows) {
    const cx = plot.x(row.measured), cy = plot.y(row.predicted), text = `${pretty(row.name)}: predicted ${ms(row.predicted)}, measured ${ms(row.measured)}`;
    plot.add(svg("circle", { cx, cy, r: rows.length > 40 ? 3 : 4.5, fill: row.calibrated ? "var(--card)" : "var(--front)", stroke: "var(--front)", "stroke-width": 1.5 }, svg("title", {}, text)));
    const left = cx > plot.width - 110, name = shortName(row.name), wide = 6.6 * name.length, from = left ? cx - 9 - wide : cx + 9;
    if (rows.length > 14 || taken.some(([x, y, w]) => Math.abs(y - cy) < 13 && from < x + w && x < from + wide)) continue;
    taken.push([from, cy, wide]);
    plot.add(svg("text", { x: left ? cx - 9 : cx + 9, y: cy + 12, "text-anchor": left ? "end" : "start", class: "halo" }, name));
  }
});

function drawMeasured() {
  const rows = measurements(), about = device(), note = byId("measured-note");
  byId("measured-plot").hidden = !rows.length;
  byId("measured-plot").setAttribute("aria-label", `Predicted against measured latency of ${rows.length} networks`);
  const fresh = rows.filter((row) => !row.calibrated).length;
  show(byId("measured-legend"), fresh ? key("dot", "front", `measured whole, unknown to the table (${fresh})`) : null,
    rows.length > fresh ? key("ring", "front", `the table was calibrated on them (${rows.length - fresh})`) : null);
  if (!about || (about.absent && !rows.length)) show(note, about ? about.absent : "No device.");
  else show(note, rows.length ? `The band is the interval of the table, which holds ${Math.round(100 * about.coverage)} % of new networks. ` : "No whole network that was measured is at hand; --measured takes the JSON of nas latency validate. ",
    `Error on record, of networks that the calibration did not know: mean ${about.error.mape} %, worst ${about.error.worst} % of ${about.error.networks}.`);
  measuredPlot.redraw();
}

/** Iterations of an adapt study: {base, proposals, chosen}, all indices of trials. */
function pathOf(place) {
  const first = T.study.indexOf(place);
  return content.studies[place].path.map(([base, proposals, chosen]) => ({
    base: first + base, proposals: proposals.map((offset) => first + offset), chosen: chosen === null ? null : first + chosen,
  }));
}

/** What was cut between two networks of a path: the widths that differ. */
function cutBetween(before, after) {
  const found = [], a = networkOf(before), b = networkOf(after);
  const expansions = b.flatMap((place, index) => (a[index].mid !== place.mid ? [`expansion of block ${index}: ${a[index].mid} → ${place.mid}`] : []));
  const outputs = b.flatMap((place, index) => (a[index].out !== place.out && place.op !== "pool" ? [[index, a[index].out, place.out]] : []));
  found.push(...expansions);
  if (outputs.length) found.push(`width of block${outputs.length > 1 ? "s" : ""} ${outputs.map(([index]) => index).join(", ")}: ${outputs[0][1]} → ${outputs[0][2]}`);
  return found.join("; ");
}

const gain = (before, after) => (T.accuracy[after] - T.accuracy[before]) / (T.latency[before] - T.latency[after]);

function pathPlot(host, path, place) {
  const last = path[path.length - 1], line = [...path.map((step) => step.base), ...(last.chosen === null ? [] : [last.chosen])];
  const tried = path.flatMap((step) => step.proposals), at = (i) => [T.latency[i], 100 * T.accuracy[i]];
  const trained = members(state.kind).points.filter((i) => T.study[i] === place && !tried.includes(i) && i !== line[0]);
  const shown = [...line, ...tried, ...trained], budget = content.studies[place].settings.budget_ms;
  return new Plot(host, (plot) => {
    plot.axes(extent([...shown.map((i) => T.latency[i]), budget]), extent(shown.map((i) => 100 * T.accuracy[i]), 0.08), `latency${onTarget()}, ms (predicted)`, "accuracy of the proposal, %");
    plot.dots(tried.map(at), css("dot"), 2.6, 0.5);
    plot.upright(budget, `budget ${budget} ms`, "budget");
    const ends = line.map((i) => [plot.x(T.latency[i]), plot.y(100 * T.accuracy[i])]);
    plot.add(svg("path", { d: `M${ends.map((end) => end.join(" ")).join("L")}`, fill: "none", stroke: "var(--front)", "stroke-width": 2 }),
      ...ends.map(([cx, cy]) => svg("circle", { cx, cy, r: 4, fill: "var(--front)" })),
      svg("text", { x: ends[0][0] - 8, y: ends[0][1] - 9, "text-anchor": "end", class: "halo strong" }, "seed"));
    for (const i of trained) {
      const [x, y] = [plot.x(T.latency[i]), plot.y(100 * T.accuracy[i])];
      plot.add(svg("path", { d: star(x, y, 9), fill: "var(--best)" }), svg("text", { x: x + 10, y: y + 22, class: "halo strong" }, "trained at the end"));
    }
  });
}

function stepRow(step, order) {
  const { base, chosen, proposals } = step;
  const open = el("button", { type: "button", onclick: () => choose({ trial: chosen === null ? base : chosen }) }, chosen === null ? MISSING : trialName(chosen));
  const values = chosen === null ? [MISSING, MISSING, MISSING] : [signed(100 * (T.accuracy[chosen] - T.accuracy[base]), 2), signed(T.latency[chosen] - T.latency[base], 2), fixed(100 * gain(base, chosen), 2)];
  return el("tr", {}, el("td", {}, order + 1), el("td", { class: "text" }, trialName(base)), el("td", { class: "text" }, open), el("td", { class: "text" }, chosen === null ? "" : cutBetween(base, chosen)),
    el("td", {}, proposals.length), ...values.map((value) => el("td", {}, value)), el("td", {}, chosen === null ? "" : percent(T.accuracy[chosen])), el("td", {}, chosen === null ? "" : ms(T.latency[chosen], 2)));
}

function drawPath() {
  const places = kind().studies.filter((place) => content.studies[place].path.length);
  byId("path").hidden = !places.length;
  show(byId("path-body"), places.flatMap((place) => {
    const path = pathOf(place), { name, settings } = content.studies[place], host = el("div", { class: "plot", role: "img", "aria-label": `NetAdapt's path of ${name}` });
    const heads = ["step", "parent", "chosen", "cut", "proposals", "Δ accuracy, points", "Δ latency, ms", "points per ms", "accuracy", "latency"];
    const table = el("table", { class: "steps" }, el("thead", {}, el("tr", {}, heads.map((head, index) => el("th", { class: index > 0 && index < 4 ? "text" : "" }, head)))), el("tbody", {}, path.map(stepRow)));
    pathPlot(host, path, place);
    return [el("h3", {}, name), el("p", { class: "legend" }, key("line", "front", "chosen networks"), key("dot", "dot", "proposals"), key("dash", "budget", "budget"), key("star", "best", "trained at the end")), host,
      el("p", { class: "note" }, `Rule ${settings.rule}: ${settings.rule === "mobilenet_v3" ? "the proposal with the largest change of accuracy / |change of latency| is chosen" : "the most accurate proposal is chosen"}.`), el("div", { class: "scroll" }, table)];
  }));
}

onChange(({ kind: changed }) => {
  if (changed === undefined) return;
  drawProgress();
  drawMeasured();
  drawPath();
});
