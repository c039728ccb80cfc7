// NetAdapt's path: what was chosen, among what, and what was cut.

/** Iterations of an adapt study: {base, proposals, chosen}, all indices of trials. */
function pathOf(place) {
  const first = T.study.indexOf(place);
  return content.studies[place].path.map(([base, proposals, chosen]) => ({
    base: first + base,
    proposals: proposals.map((offset) => first + offset),
    chosen: chosen === null ? null : first + chosen,
  }));
}

/** What was cut between two networks of a path: the widths that differ. */
function cutBetween(before, after) {
  const found = [],
    a = networkOf(before),
    b = networkOf(after);
  const expansions = b.flatMap((place, index) =>
    a[index].mid !== place.mid ? [`expansion of block ${index}: ${a[index].mid} → ${place.mid}`] : [],
  );
  const outputs = b.flatMap((place, index) =>
    a[index].out !== place.out && place.op !== "pool" ? [[index, a[index].out, place.out]] : [],
  );
  found.push(...expansions);
  if (outputs.length)
    found.push(
      `width of block${outputs.length > 1 ? "s" : ""} ${outputs.map(([index]) => index).join(", ")}: ${outputs[0][1]} → ${outputs[0][2]}`,
    );
  return found.join("; ");
}

const gain = (before, after) => (T.accuracy[after] - T.accuracy[before]) / (T.latency[before] - T.latency[after]);

function pathPlot(host, path, place) {
  const last = path[path.length - 1],
    line = [...path.map((step) => step.base), ...(last.chosen === null ? [] : [last.chosen])];
  const tried = path.flatMap((step) => step.proposals).filter((i) => T.accuracy[i] !== null),
    at = (i) => [T.latency[i], 100 * T.accuracy[i]];
  const trained = members(state.kind).points.filter((i) => T.study[i] === place && !tried.includes(i) && i !== line[0]);
  const shown = [...line, ...tried, ...trained],
    budget = content.studies[place].settings.budget_ms;
  return new Plot(host, (plot) => {
    plot.axes(
      extent([...shown.map((i) => T.latency[i]), budget]),
      extent(
        shown.map((i) => 100 * T.accuracy[i]),
        0.08,
      ),
      `latency${onTarget()}, ms (predicted)`,
      "accuracy of the proposal, %",
    );
    plot.dots(tried.map(at), css("dot"), 2.6, 0.5);
    plot.upright(budget, `budget ${budget} ms`, "budget");
    const ends = line.map((i) => [plot.x(T.latency[i]), plot.y(100 * T.accuracy[i])]);
    plot.add(
      svg("path", {
        d: `M${ends.map((end) => end.join(" ")).join("L")}`,
        fill: "none",
        stroke: "var(--front)",
        "stroke-width": 2,
      }),
      ...ends.map(([cx, cy]) => svg("circle", { cx, cy, r: 4, fill: "var(--front)" })),
      svg("text", { x: ends[0][0] - 8, y: ends[0][1] - 9, "text-anchor": "end", class: "halo strong" }, "seed"),
    );
    for (const i of trained) {
      const [x, y] = [plot.x(T.latency[i]), plot.y(100 * T.accuracy[i])];
      plot.add(
        svg("path", { d: star(x, y, 9), fill: "var(--best)" }),
        svg("text", { x: x + 10, y: y + 22, class: "halo strong" }, "trained at the end"),
      );
    }
  });
}

function stepRow(step, order) {
  const { base, chosen, proposals } = step;
  const open = el(
    "button",
    { type: "button", onclick: () => choose({ trial: chosen === null ? base : chosen }) },
    chosen === null ? MISSING : trialName(chosen),
  );
  const values =
    chosen === null
      ? [MISSING, MISSING, MISSING]
      : [
          signed(100 * (T.accuracy[chosen] - T.accuracy[base]), 2),
          signed(T.latency[chosen] - T.latency[base], 2),
          fixed(100 * gain(base, chosen), 2),
        ];
  return el(
    "tr",
    {},
    el("td", {}, order + 1),
    el("td", { class: "text" }, trialName(base)),
    el("td", { class: "text" }, open),
    el("td", { class: "text" }, chosen === null ? "" : cutBetween(base, chosen)),
    el("td", {}, proposals.length),
    ...values.map((value) => el("td", {}, value)),
    el("td", {}, chosen === null ? "" : percent(T.accuracy[chosen])),
    el("td", {}, chosen === null ? "" : ms(T.latency[chosen], 2)),
  );
}

function drawPath() {
  const places = kind().studies.filter((place) => content.studies[place].path.length);
  byId("path").hidden = !places.length;
  show(
    byId("path-body"),
    places.flatMap((place) => {
      const path = pathOf(place),
        { name, settings } = content.studies[place],
        host = el("div", { class: "plot", role: "img", "aria-label": `NetAdapt's path of ${name}` });
      const heads = [
        "step",
        "parent",
        "chosen",
        "cut",
        "proposals",
        "Δ accuracy, points",
        "Δ latency, ms",
        "points per ms",
        "accuracy",
        "latency",
      ];
      const table = el(
        "table",
        { class: "steps" },
        tableHead(heads, (index) => index > 0 && index < 4),
        el("tbody", {}, path.map(stepRow)),
      );
      pathPlot(host, path, place);
      return [
        el("h3", {}, name),
        el(
          "p",
          { class: "legend" },
          key("line", "front", "chosen networks"),
          key("dot", "dot", "proposals"),
          key("dash", "budget", "budget"),
          key("star", "best", "trained at the end"),
        ),
        host,
        el(
          "p",
          { class: "note" },
          `Rule ${settings.rule}: ${settings.rule === "mobilenet_v3" ? "the proposal with the largest change of accuracy / |change of latency| is chosen" : "the most accurate proposal is chosen"}.`,
        ),
        el("div", { class: "scroll" }, table),
      ];
    }),
  );
}

onChange(({ kind: changed }) => {
  if (changed !== undefined) drawPath();
});
