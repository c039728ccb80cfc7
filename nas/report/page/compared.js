// Networks that were trained by one recipe with several seeds: means, their intervals, and what leaving something out costs.

/** One line for each row {name, note, mean, low, high, seeds}; `zero` marks where nothing changes. */
function intervalPlot(host, rows, xName, zero) {
  const left = 20 + 6.2 * Math.max(...rows.map((row) => row.name.length));
  host.style.height = `${60 + 34 * rows.length}px`;
  return new Plot(host, (plot) => {
    plot.margin.left = Math.min(left, plot.width * 0.66);
    const values = rows.flatMap((row) => [row.low, row.high, ...row.seeds]);
    plot.axes(extent(zero ? [...values, 0] : values, 0.06), [rows.length - 0.5, -0.5], xName, "", true);
    if (zero)
      plot.add(svg("path", { d: `M${plot.x(0)} ${plot.inner.top}V${plot.inner.bottom}`, stroke: "var(--muted)" }));
    rows.forEach((row, index) => {
      const y = plot.y(index),
        colour = row.ours ? "var(--best)" : "var(--front)";
      plot.add(
        svg(
          "text",
          { x: plot.inner.left - 8, y: y + 4, "text-anchor": "end", class: row.ours ? "strong" : "" },
          row.name,
        ),
        svg("path", {
          d: `M${plot.x(row.low)} ${y}H${plot.x(row.high)}M${plot.x(row.low)} ${y - 5}v10M${plot.x(row.high)} ${y - 5}v10`,
          stroke: colour,
          "stroke-width": 2,
        }),
        row.seeds.map((value) => svg("circle", { cx: plot.x(value), cy: y, r: 2.5, fill: "var(--dot)" })),
        row.ours
          ? svg("path", { d: star(plot.x(row.mean), y, 9), fill: colour })
          : svg("path", { d: diamond(plot.x(row.mean), y, 5.5), fill: colour }),
      );
    });
  });
}

const interval = (mean, low, high, digits = 2) =>
  `${signedIf(mean, digits)} (${signedIf(low, digits)} to ${signedIf(high, digits)})`;
const signedIf = (share, digits) => fixed(100 * share, digits);

/** Accuracies of the trainings that did not fail; null stands for one that did. */
const ended = (one) => one.test_accuracies.filter((value) => value !== null);

function failures(one) {
  const every = one.test_accuracies.length,
    failed = every - ended(one).length;
  return failed ? ` (${failed} of ${every} trainings failed)` : "";
}

function rowsTable(heads, rows) {
  return el(
    "div",
    { class: "scroll" },
    el(
      "table",
      { class: "steps" },
      tableHead(heads, (index) => index === 0),
      el(
        "tbody",
        {},
        rows.map((cells) =>
          el(
            "tr",
            {},
            cells.map((cell, index) => el("td", { class: index ? "" : "text" }, cell)),
          ),
        ),
      ),
    ),
  );
}

function networksPart(run) {
  const claims = Object.fromEntries(run.claims.map((claim) => [claim.against, claim]));
  const host = el("div", {
    class: "plot",
    role: "img",
    "aria-label": "Test accuracy of each network with its interval",
  });
  const rows = run.networks.map((one) => ({
    name: pretty(one.name),
    ours: one.name === "found",
    mean: 100 * one.test_accuracy.mean,
    low: 100 * one.test_accuracy.low,
    high: 100 * one.test_accuracy.high,
    seeds: ended(one).map((value) => 100 * value),
  }));
  intervalPlot(host, rows, `accuracy on test images of ${run.data}, %`, false);
  return [
    el(
      "p",
      { class: "legend" },
      key("star", "best", "found, mean"),
      key("gem", "front", "others, mean"),
      key("dot", "dot", "one training"),
      el("span", {}, "bars: 95 % interval of the mean"),
    ),
    host,
    rowsTable(
      ["network", "test accuracy, %", `latency on ${run.target}`, "MAdds", "params", "found ahead by, points"],
      run.networks.map((one) => {
        const claim = claims[one.name];
        return [
          pretty(one.name) + failures(one),
          interval(one.test_accuracy.mean, one.test_accuracy.low, one.test_accuracy.high),
          ms(one.latency_ms),
          millions(one.macs, 1),
          millions(one.params, 2),
          claim ? interval(claim.difference, claim.low, claim.high) : "",
        ];
      }),
    ),
  ];
}

function ablationPart(run) {
  const { rows, of } = run.ablations;
  if (!rows.length) return [];
  const host = el("div", { class: "plot", role: "img", "aria-label": "Change of accuracy of each ablation" });
  intervalPlot(
    host,
    rows.map((row) => ({
      name: row.name,
      mean: 100 * row.accuracy_change,
      low: 100 * row.change_low,
      high: 100 * row.change_high,
      seeds: [],
    })),
    "change of test accuracy, points",
    true,
  );
  return [
    el("h3", {}, `Left out of ${of === "found" ? "the found network" : pretty(of)}`),
    host,
    rowsTable(
      ["without", "change of accuracy, points", "change of latency, ms"],
      rows.map((row) => [
        row.name + failures(row),
        interval(row.accuracy_change, row.change_low, row.change_high),
        signed(row.latency_change_ms, 2),
      ]),
    ),
  ];
}

function agreementPart(run) {
  const share = (value) => (value === null ? MISSING : `${Math.round(100 * value)} %`);
  return [
    el("h3", {}, "Choices in common with the published network"),
    rowsTable(
      ["kind of choice", "choices", "found", "by chance", "chance gives"],
      run.agreement.map((one) => [
        one.kind,
        one.choices,
        share(one.found),
        share(one.chance),
        one.low === null ? "" : `${share(one.low)} to ${share(one.high)}`,
      ]),
    ),
  ];
}

byId("compared").hidden = !content.runs.length;
show(
  byId("compared-body"),
  content.runs.flatMap((run) => [
    el(
      "h3",
      {},
      `${run.study}, ${run.scale}: ${plural(run.networks[0].test_accuracies.length, "training")} each by one recipe on ${run.data}, budget ${fixed(run.budget_ms, 1)} ms on ${run.target}`,
    ),
    ...networksPart(run),
    ...ablationPart(run),
    ...agreementPart(run),
  ]),
);
