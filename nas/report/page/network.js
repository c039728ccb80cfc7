// One network beside a published one: every block to scale, its latency by op, and both summed up.

function networkTitle(i) {
  const note =
    i === kind().best ? ", the best within the budget" : members(state.kind).front.has(i) ? ", on the front" : "";
  return `${trialName(i)}${note}`;
}

/** Sides of the drawing: {name, note, places, ms}. */
function sides() {
  const i = state.selected,
    reference = kind().references[state.beside];
  const mine = {
    name: networkTitle(i),
    places: networkOf(i),
    recorded: T.latency[i],
    note: `${T.accuracy[i] === null ? T.state[i] : `${accuracyWord()} ${accuracyText(i)}`}, ${ms(T.latency[i])}, ${millions(T.macs[i])} MAdds, ${millions(T.params[i], 2)} params`,
  };
  const other = reference && {
    name: pretty(reference.name),
    places: drawn(reference.network),
    recorded: reference.ms,
    note: `published; here for ${drawn(reference.network).at(-1).out} classes, ${ms(reference.ms)}, ${millions(reference.macs)} MAdds, ${millions(reference.params, 2)} params`,
  };
  return reference ? [mine, other] : [mine];
}

/** Milliseconds by op of both networks; the rest is what a network costs beyond its ops. */
function opTable(both) {
  const sums = both.map((side) => byRole(side.places));
  if (sums.includes(null))
    return el(
      "p",
      { class: "note" },
      device() && device().absent
        ? `Latency by op is not known here: ${device().absent}`
        : "The table lacks an op of this network.",
    );
  const totals = sums.map((roles, index) => both[index].recorded - Object.values(roles).reduce((a, b) => a + b, 0));
  const most = Math.max(...sums.flatMap((roles) => Object.values(roles)));
  const bars = (role) =>
    el(
      "td",
      { class: "barcell" },
      sums.map((roles, index) =>
        svg(
          "svg",
          {
            viewBox: `0 0 ${most} 1`,
            preserveAspectRatio: "none",
            width: "100%",
            height: 8,
            style: "display: block; margin: 1px 0",
            "aria-hidden": "true",
          },
          svg("rect", {
            x: 0,
            y: 0,
            height: 1,
            width: roles[role],
            fill: index ? "none" : `var(--${role})`,
            stroke: `var(--${role})`,
            "stroke-width": 1.5,
            "vector-effect": "non-scaling-stroke",
          }),
        ),
      ),
    );
  const difference = (values) => (values.length > 1 ? el("td", {}, signed(values[0] - values[1], 2)) : null);
  const line = (label, values, cell) =>
    el(
      "tr",
      {},
      el("td", {}, label),
      ...values.map((value) => el("td", {}, fixed(value, 2))),
      difference(values),
      cell,
    );
  return el(
    "table",
    { class: "byop" },
    el(
      "thead",
      {},
      el(
        "tr",
        {},
        el("th", {}, "latency by op, ms"),
        ...both.map((side, index) => el("th", {}, index ? side.name : trialName(state.selected))),
        both.length > 1 ? el("th", {}, "Δ") : null,
        el("th", { class: "barcell" }, ""),
      ),
    ),
    el(
      "tbody",
      {},
      Object.keys(ROLE_NAMES)
        .filter((role) => sums.some((roles) => roles[role] > 0))
        .map((role) =>
          line(
            [el("span", { class: "swatch", style: `background: var(--${role})` }), ROLE_NAMES[role]],
            sums.map((roles) => roles[role]),
            bars(role),
          ),
        ),
      totals.some((value) => Math.abs(value) > 0.005)
        ? line("once per network, calibration", totals, el("td", { class: "barcell" }))
        : null,
      line(
        "network",
        both.map((side) => side.recorded),
        el("td", { class: "barcell" }),
      ),
    ),
  );
}

function blockColumns(both) {
  const all = both.flatMap((side) => side.places);
  const scales = {
    pixels: 200 / Math.max(...all.flatMap((place) => [place.in, place.mid, place.out])),
    block: Math.max(0.001, ...all.map((place) => time(place) || 0)),
  };
  const grouped = both.map((side) => stages(side.places));
  const sizes = [...new Set(grouped.flatMap((stage) => [...stage.keys()]))].sort((a, b) => b - a);
  const heads = both.map((side, index) =>
    el(
      "div",
      { class: "side side-head", id: index ? "beside-name" : "network-name" },
      side.name,
      el("small", {}, side.note),
    ),
  );
  return el(
    "div",
    { class: both.length > 1 ? "columns" : "" },
    heads,
    sizes.flatMap((size) => [
      el("div", { class: "stage" }, size ? `maps of ${size} × ${size}` : "head"),
      ...grouped.map((stage, index) =>
        el(
          "ol",
          {
            class: index ? "side blocks other" : "side blocks",
            "data-name": index ? both[1].name : trialName(state.selected),
            "aria-label": `${both[index].name}, ${size ? `maps of ${size}` : "head"}`,
          },
          (stage.get(size) || []).map((entry) => blockRow(entry, scales)),
        ),
      ),
    ]),
  );
}

function drawNetwork() {
  const body = byId("network-body");
  if (state.selected === null) return show(body, el("p", {}, "No network within the budget was judged."));
  byId("network-title").textContent = `Network of ${trialName(state.selected)}`;
  const both = sides(),
    stale = device() && device().version && latencyVersions().some((version) => version !== device().version);
  if (!both[0].places.length) return show(body, el("p", {}, "The device of this network is not known."));
  show(
    body,
    opTable(both),
    stale
      ? el(
          "p",
          { class: "note" },
          "The table of this device has changed since the search: ops are those of the present one.",
        )
      : null,
    el(
      "p",
      { class: "legend" },
      key("square", "depthwise", "kernel, one square a weight"),
      el("span", {}, "width of the drawing: channels in, expanded and out, to scale"),
      el("span", {}, "HS h-swish, RE ReLU, SE squeeze-and-excite with its width, e expansion, s stride, ↷ skip"),
    ),
    blockColumns(both),
  );
  for (const side of [":not(.other)", ".other"]) walkable([...body.querySelectorAll(`.blocks${side} > li`)]);
}

const latencyVersions = () => kind().studies.flatMap((place) => content.studies[place].latency_versions);

function besideOptions() {
  show(
    byId("beside"),
    kind().references.map((reference, index) =>
      el("option", { value: index }, `${pretty(reference.name)}, ${ms(reference.ms)}`),
    ),
  );
  byId("beside").parentElement.hidden = !kind().references.length;
}

/** The well-known network whose latency is nearest to the best one's. */
function nearestReference() {
  const { references, best } = kind();
  const far = (reference) =>
    (best === null ? 0 : Math.abs(reference.ms - T.latency[best])) + (MAIN.includes(reference.name) ? 0 : 1e6);
  return references.reduce((found, reference, index) => (far(reference) < far(references[found]) ? index : found), 0);
}

byId("beside").addEventListener("change", (event) => change({ beside: Number(event.target.value) }));
onChange(({ kind: changed, selected, beside }) => {
  if (changed !== undefined) besideOptions();
  byId("beside").value = state.beside;
  if (changed !== undefined || selected !== undefined || beside !== undefined) drawNetwork();
});
