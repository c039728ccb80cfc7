// Progress of the best over trials, and predictions against measurements.

const LINES = ["front", "best", "se", "depthwise", "budget", "reference"]; // colours of studies, in this order

/** Judged trials of a study in the order in which they were told, and the best within the budget so far. */
function progressOf(place) {
  const mine = members(state.kind)
    .points.filter((i) => T.study[i] === place && T.told[i] !== null)
    .sort((a, b) => T.told[a] - T.told[b]);
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
  plot.axes(
    [0, most * 1.02],
    extent(
      each.flatMap((study) => study.dots.map(([, y]) => y)),
      0.08,
    ),
    "trials told",
    `${accuracyWord()}, %`,
  );
  each.forEach((study) =>
    plot.dots(study.dots, css("dot"), study.count > 300 ? 1.6 : 2.6, study.count > 300 ? 0.3 : 0.6),
  );
  each.forEach(({ line, count: told }, order) => {
    if (!line.length) return;
    const ends = [...line, [told, line[line.length - 1][1]]].map(([x, y]) => [plot.x(x), plot.y(y)]);
    plot.add(
      svg("path", {
        d: steps(ends),
        fill: "none",
        stroke: `var(--${LINES[order % LINES.length]})`,
        "stroke-width": 2.2,
      }),
    );
  });
});

function drawProgress() {
  const { studies } = kind();
  show(
    byId("progress-legend"),
    key("dot", "dot", "a trial"),
    ...studies.map((place, order) =>
      key(
        "line",
        LINES[order % LINES.length],
        studies.length > 1 ? `best of ${content.studies[place].name}` : "best within the budget so far",
      ),
    ),
  );
  byId("progress-plot").setAttribute(
    "aria-label",
    `Best accuracy within the budget over trials, of ${plural(studies.length, "study").replace("studys", "studies")}`,
  );
  progressPlot.redraw();
}

const measurements = () => (device() && device().measured) || [];

const measuredPlot = new Plot(byId("measured-plot"), (plot) => {
  const rows = measurements();
  if (!rows.length) return;
  const range = extent(
      rows.flatMap((row) => [row.predicted, row.measured]),
      0.06,
    ),
    half = device().interval || 0;
  plot.axes(range, range, "measured, ms", "predicted, ms");
  const far = range[1] * 2,
    end = (factor) => `${plot.x(far)} ${plot.y(far * factor)}`,
    origin = `${plot.x(0)} ${plot.y(0)}`;
  plot.add(
    plot.clipped(
      svg("path", { d: `M${origin}L${end(1 / (1 + half))}L${end(1 / (1 - half))}Z`, fill: "var(--wash)" }),
      svg("path", { d: `M${origin}L${end(1)}`, stroke: "var(--muted)", "stroke-dasharray": "4 4" }),
    ),
  );
  const taken = [];
  for (const row of rows) {
    const cx = plot.x(row.measured),
      cy = plot.y(row.predicted),
      text = `${pretty(row.name)}: predicted ${ms(row.predicted)}, measured ${ms(row.measured)}`;
    plot.add(
      svg(
        "circle",
        {
          cx,
          cy,
          r: rows.length > 40 ? 3 : 4.5,
          fill: row.calibrated ? "var(--card)" : "var(--front)",
          stroke: "var(--front)",
          "stroke-width": 1.5,
        },
        svg("title", {}, text),
      ),
    );
    const left = cx > plot.width - 110,
      name = shortName(row.name),
      wide = 6.6 * name.length,
      from = left ? cx - 9 - wide : cx + 9;
    if (rows.length > 14 || taken.some(([x, y, w]) => Math.abs(y - cy) < 13 && from < x + w && x < from + wide))
      continue;
    taken.push([from, cy, wide]);
    plot.add(
      svg(
        "text",
        { x: left ? cx - 9 : cx + 9, y: cy + 12, "text-anchor": left ? "end" : "start", class: "halo" },
        name,
      ),
    );
  }
});

function drawMeasured() {
  const rows = measurements(),
    about = device(),
    note = byId("measured-note");
  byId("measured-plot").hidden = !rows.length;
  byId("measured-plot").setAttribute("aria-label", `Predicted against measured latency of ${rows.length} networks`);
  const fresh = rows.filter((row) => !row.calibrated).length;
  show(
    byId("measured-legend"),
    fresh ? key("dot", "front", `measured whole, unknown to the table (${fresh})`) : null,
    rows.length > fresh ? key("ring", "front", `the table was calibrated on them (${rows.length - fresh})`) : null,
  );
  if (!about || (about.absent && !rows.length)) show(note, about ? about.absent : "No device.");
  else
    show(
      note,
      rows.length
        ? `The band is the interval of the table, which holds ${Math.round(100 * about.coverage)} % of new networks. `
        : "No whole network that was measured is at hand; --measured takes the JSON of nas latency validate. ",
      `Error on record, of networks that the calibration did not know: mean ${about.error.mape} %, worst ${about.error.worst} % of ${about.error.networks}.`,
    );
  measuredPlot.redraw();
}

onChange(({ kind: changed }) => {
  if (changed === undefined) return;
  drawProgress();
  drawMeasured();
});
