// One network beside a published one: every block to scale, its latency by op, and both summed up.

const KERNEL_CELL = 3.2; // pixels of one weight of a kernel

function networkTitle(i) {
  const note = i === kind().best ? ", the best within the budget" : members(state.kind).front.has(i) ? ", on the front" : "";
  return `${trialName(i)}${note}`;
}

/** Sides of the drawing: {name, note, places, ms}. */
function sides() {
  const i = state.selected, reference = kind().references[state.beside];
  const mine = {
    name: networkTitle(i), places: networkOf(i), recorded: T.latency[i],
    note: `${T.accuracy[i] === null ? T.state[i] : `${accuracyWord()} ${accuracyText(i)}`}, ${ms(T.latency[i])}, ${millions(T.macs[i])} MAdds, ${millions(T.params[i], 2)} params`,
  };
  const other = reference && {
    name: pretty(reference.name), places: drawn(reference.network), recorded: reference.ms,
    note: `published; here for ${drawn(reference.network).at(-1).out} classes, ${ms(reference.ms)}, ${millions(reference.macs)} MAdds, ${millions(reference.params, 2)} params`,
  };
  return reference ? [mine, other] : [mine];
}

const time = (place) => place.ops.reduce((sum, [, value]) => (sum === null || value === null ? null : sum + value), 0);

/** Places in runs of equal size of the output map, so that two networks can be set beside one another. */
function stages(places) {
  const found = new Map();
  for (const [index, place] of places.entries()) {
    const head = place.op === "pool" || place.op === "linear" || place.op === "classifier";
    const name = head ? 0 : place.out_size;
    if (!found.has(name)) found.set(name, []);
    found.get(name).push([index, place]);
  }
  return found;
}

/** Profile of a block from its input, over its expansion, to its output; `scale` is pixels of a channel. */
function profile(place, scale, width) {
  const middle = width / 2, half = (channels) => Math.max(0.75, (channels * scale) / 2);
  const wide = place.op === "mbconv" ? place.mid : place.op === "sepconv" || place.op === "pool" ? place.in : place.out;
  const corners = [[half(place.in), 0], [half(wide), 7], [half(wide), 17], [half(place.out), 24]];
  const right = corners.map(([x, y]) => `${(middle + x).toFixed(1)} ${y}`);
  const left = corners.map(([x, y]) => `${(middle - x).toFixed(1)} ${y}`).reverse();
  return svg("svg", { viewBox: `0 0 ${width} 24`, width: "100%", height: 24, preserveAspectRatio: "none", "aria-hidden": "true" },
    svg("path", { d: `M${[...right, ...left].join("L")}Z`, fill: "var(--body)", stroke: "var(--edge)", "stroke-width": 1, "vector-effect": "non-scaling-stroke" }));
}

/** A kernel as the grid of its weights. */
function kernelGlyph(place) {
  if (!["conv", "sepconv", "mbconv"].includes(place.op) || place.kernel < 2) return el("span");
  const side = place.kernel * KERNEL_CELL, from = (24 - side) / 2, cells = [];
  for (let row = 0; row < place.kernel; row++) {
    for (let column = 0; column < place.kernel; column++) {
      cells.push(svg("rect", { x: from + column * KERNEL_CELL, y: from + row * KERNEL_CELL, width: KERNEL_CELL - 0.8, height: KERNEL_CELL - 0.8 }));
    }
  }
  return svg("svg", { width: 24, height: 24, "aria-hidden": "true" }, svg("g", { fill: "var(--depthwise)" }, cells));
}

const ACTS = { hswish: "HS", relu: "RE", relu6: "R6", swish: "SW", sigmoid: "SI", hsigmoid: "HG", none: "" };

function widths(place) {
  if (place.op === "mbconv") return `${place.in} → ${place.mid} → ${place.out}`;
  return place.op === "pool" ? `pool ${place.in}` : `${place.in} → ${place.out}`;
}

function describe(place) {
  const spatial = ["conv", "sepconv", "mbconv"].includes(place.op);
  return [
    place.op, widths(place), spatial ? `kernel ${place.kernel}` : null, place.op === "mbconv" ? `expansion ${fixed(place.mid / place.in, 1)}` : null,
    place.stride > 1 ? `stride ${place.stride}` : null, place.se ? `squeeze-and-excite ${place.se}` : null,
    place.act === "none" ? null : place.act, place.skip === "none" ? null : `skip ${place.skip}`,
  ].filter(Boolean).join(", ");
}

function blockRow([index, place], scales) {
  const spatial = ["conv", "sepconv", "mbconv"].includes(place.op), total = time(place);
  const chips = [
    spatial ? `k${place.kernel}` : place.op === "linear" || place.op === "classifier" ? place.op : "",
    place.op === "mbconv" ? ` e${fixed(place.mid / place.in, 1).replace(".0", "")}` : "", place.stride > 1 ? ` s${place.stride}` : "",
  ].join("");
  const about = () => [el("b", {}, `block ${index}: ${describe(place)}`), el("dl", {}, ...terms(
    place.ops.map(([role, value, macs]) => [role, `${ms(value, 3)}${macs ? `, ${millions(macs, 1)} MAdds` : ""}`])))];
  const tell = (event) => {
    const box = event.currentTarget.getBoundingClientRect();
    showTip(event.clientX || box.left + box.width / 2, event.clientY || box.top, ...about());
  };
  return el("li", { tabindex: 0, "data-block": index, "data-op": place.op, "aria-label": `block ${index}: ${describe(place)}, ${ms(total, 2)}`, onpointermove: tell, onfocus: tell, onpointerleave: hideTip, onblur: hideTip },
    el("span", {}, profile(place, scales.pixels, 200)), el("span", {}, kernelGlyph(place)),
    el("span", { class: "what" }, widths(place), el("br"), chips,
      place.se ? el("span", { class: "chip se" }, `SE ${place.se}`) : null,
      ACTS[place.act] ? el("span", { class: `chip ${place.act === "hswish" ? "hs" : ""}` }, ACTS[place.act]) : null,
      place.skip === "none" ? null : el("span", { title: `skip: ${place.skip}` }, " ↷")),
    el("span", { class: "ms" }, stack(byRole([place]), scales.block), total === null ? MISSING : fixed(total, 2)));
}

/** One bar of stacked milliseconds by role; `most` are those of the full width. */
function stack(roles, most, height = 12) {
  const bar = svg("svg", { viewBox: `0 0 ${most || 1} 1`, preserveAspectRatio: "none", width: "100%", height, "aria-hidden": "true" });
  let from = 0;
  for (const [role, value] of Object.entries(roles || {})) {
    bar.append(svg("rect", { x: from, y: 0, width: value, height: 1, fill: `var(--${role})` }));
    from += value;
  }
  return bar;
}

/** Milliseconds by op of both networks; the rest is what a network costs beyond its ops. */
function opTable(both) {
  const sums = both.map((side) => byRole(side.places));
  if (sums.includes(null)) return el("p", { class: "note" }, device() && device().absent ? `Latency by op is not known here: ${device().absent}` : "The table lacks an op of this network.");
  const totals = sums.map((roles, index) => both[index].recorded - Object.values(roles).reduce((a, b) => a + b, 0));
  const most = Math.max(...sums.flatMap((roles) => Object.values(roles)));
  const bars = (role) => el("td", { class: "barcell" }, sums.map((roles, index) =>
    svg("svg", { viewBox: `0 0 ${most} 1`, preserveAspectRatio: "none", width: "100%", height: 8, style: "display: block; margin: 1px 0", "aria-hidden": "true" },
      svg("rect", { x: 0, y: 0, height: 1, width: roles[role], fill: index ? "none" : `var(--${role})`, stroke: `var(--${role})`, "stroke-width": 1.5, "vector-effect": "non-scaling-stroke" }))));
  const difference = (values) => (values.length > 1 ? el("td", {}, signed(values[0] - values[1], 2)) : null);
  const line = (label, values, cell) => el("tr", {}, el("td", {}, label), ...values.map((value) => el("td", {}, fixed(value, 2))), difference(values), cell);
  return el("table", { class: "byop" },
    el("thead", {}, el("tr", {}, el("th", {}, "latency by op, ms"), ...both.map((side, index) => el("th", {}, index ? side.name : trialName(state.selected))), both.length > 1 ? el("th", {}, "Δ") : null, el("th", { class: "barcell" }, ""))),
    el("tbody", {}, Object.keys(ROLE_NAMES).filter((role) => sums.some((roles) => roles[role] > 0)).map((role) =>
      line([el("span", { class: "swatch", style: `background: var(--${role})` }), ROLE_NAMES[role]], sums.map((roles) => roles[role]), bars(role))),
    totals.some((value) => Math.abs(value) > 0.005) ? line("once per network, calibration", totals, el("td", { class: "barcell" })) : null,
    line("network", both.map((side) => side.recorded), el("td", { class: "barcell" }))));
}

function blockColumns(both) {
  const all = both.flatMap((side) => side.places);
  const scales = { pixels: 200 / Math.max(...all.flatMap((place) => [place.in, place.mid, place.out])), block: Math.max(0.001, ...all.map((place) => time(place) || 0)) };
  const grouped = both.map((side) => stages(side.places));
  const sizes = [...new Set(grouped.flatMap((stage) => [...stage.keys()]))].sort((a, b) => b - a);
  const heads = both.map((side, index) => el("div", { class: "side side-head", id: index ? "beside-name" : "network-name" }, side.name, el("small", {}, side.note)));
  return el("div", { class: both.length > 1 ? "columns" : "" }, heads, sizes.flatMap((size) => [
    el("div", { class: "stage" }, size ? `maps of ${size} × ${size}` : "head"),
    ...grouped.map((stage, index) => el("ol", { class: index ? "side blocks other" : "side blocks", "data-name": index ? both[1].name : trialName(state.selected), "aria-label": `${both[index].name}, ${size ? `maps of ${size}` : "head"}` },
      (stage.get(size) || []).map((entry) => blockRow(entry, scales)))),
  ]));
}

function drawNetwork() {
  const body = byId("network-body");
  if (state.selected === null) return show(body, el("p", {}, "No network within the budget was judged."));
  byId("network-title").textContent = `Network of ${trialName(state.selected)}`;
  const both = sides(), stale = device() && device().version && latencyVersions().some((version) => version !== device().version);
  if (!both[0].places.length) return show(body, el("p", {}, "The device of this network is not known."));
  show(body, opTable(both), stale ? el("p", { class: "note" }, "The table of this device has changed since the search: ops are those of the present one.") : null,
    el("p", { class: "legend" }, key("square", "depthwise", "kernel, one square a weight"), el("span", {}, "width of the drawing: channels in, expanded and out, to scale"),
      el("span", {}, "HS h-swish, RE ReLU, SE squeeze-and-excite with its width, e expansion, s stride, ↷ skip")),
    blockColumns(both));
}

const latencyVersions = () => kind().studies.flatMap((place) => content.studies[place].latency_versions);

function besideOptions() {
  show(byId("beside"), kind().references.map((reference, index) => el("option", { value: index }, `${pretty(reference.name)}, ${ms(reference.ms)}`)));
  byId("beside").parentElement.hidden = !kind().references.length;
}

/** The well-known network whose latency is nearest to the best one's. */
function nearestReference() {
  const { references, best } = kind();
  const far = (reference) => (best === null ? 0 : Math.abs(reference.ms - T.latency[best])) + (MAIN.includes(reference.name) ? 0 : 1e6);
  return references.reduce((found, reference, index) => (far(reference) < far(references[found]) ? index : found), 0);
}

byId("beside").addEventListener("change", (event) => change({ beside: Number(event.target.value) }));
onChange(({ kind: changed, selected, beside }) => {
  if (changed !== undefined) besideOptions();
  byId("beside").value = state.beside;
  if (changed !== undefined || selected !== undefined || beside !== undefined) drawNetwork();
});
