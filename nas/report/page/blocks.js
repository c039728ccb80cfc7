// A block as a picture: its widths and its kernel to scale, what it has besides, and its milliseconds by op.

const KERNEL_CELL = 3.2; // pixels of one weight of a kernel

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
  const middle = width / 2,
    half = (channels) => Math.max(0.75, (channels * scale) / 2);
  const wide = place.op === "mbconv" ? place.mid : place.op === "sepconv" || place.op === "pool" ? place.in : place.out;
  const corners = [
    [half(place.in), 0],
    [half(wide), 7],
    [half(wide), 17],
    [half(place.out), 24],
  ];
  const right = corners.map(([x, y]) => `${(middle + x).toFixed(1)} ${y}`);
  const left = corners.map(([x, y]) => `${(middle - x).toFixed(1)} ${y}`).reverse();
  return svg(
    "svg",
    { viewBox: `0 0 ${width} 24`, width: "100%", height: 24, preserveAspectRatio: "none", "aria-hidden": "true" },
    svg("path", {
      d: `M${[...right, ...left].join("L")}Z`,
      fill: "var(--body)",
      stroke: "var(--edge)",
      "stroke-width": 1,
      "vector-effect": "non-scaling-stroke",
    }),
  );
}

/** A kernel as the grid of its weights. */
function kernelGlyph(place) {
  if (!["conv", "sepconv", "mbconv"].includes(place.op) || place.kernel < 2) return el("span");
  const side = place.kernel * KERNEL_CELL,
    from = (24 - side) / 2,
    cells = [];
  for (let row = 0; row < place.kernel; row++) {
    for (let column = 0; column < place.kernel; column++) {
      cells.push(
        svg("rect", {
          x: from + column * KERNEL_CELL,
          y: from + row * KERNEL_CELL,
          width: KERNEL_CELL - 0.8,
          height: KERNEL_CELL - 0.8,
        }),
      );
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
    place.op,
    widths(place),
    spatial ? `kernel ${place.kernel}` : null,
    place.op === "mbconv" ? `expansion ${fixed(place.mid / place.in, 1)}` : null,
    place.stride > 1 ? `stride ${place.stride}` : null,
    place.se ? `squeeze-and-excite ${place.se}` : null,
    place.act === "none" ? null : place.act,
    place.skip === "none" ? null : `skip ${place.skip}`,
  ]
    .filter(Boolean)
    .join(", ");
}

function blockRow([index, place], scales) {
  const spatial = ["conv", "sepconv", "mbconv"].includes(place.op),
    total = time(place);
  const chips = [
    spatial ? `k${place.kernel}` : place.op === "linear" || place.op === "classifier" ? place.op : "",
    place.op === "mbconv" ? ` e${fixed(place.mid / place.in, 1).replace(".0", "")}` : "",
    place.stride > 1 ? ` s${place.stride}` : "",
  ].join("");
  const about = () => [
    el("b", {}, `block ${index}: ${describe(place)}`),
    el(
      "dl",
      {},
      ...terms(
        place.ops.map(([role, value, macs]) => [role, `${ms(value, 3)}${macs ? `, ${millions(macs, 1)} MAdds` : ""}`]),
      ),
    ),
  ];
  const tell = (event) => {
    const box = event.currentTarget.getBoundingClientRect();
    showTip(event.clientX || box.left + box.width / 2, event.clientY || box.top, ...about());
  };
  return el(
    "li",
    {
      "data-block": index,
      "data-op": place.op,
      "aria-label": `block ${index}: ${describe(place)}, ${ms(total, 2)}`,
      onpointermove: tell,
      onfocus: tell,
      onpointerleave: hideTip,
      onblur: hideTip,
    },
    el("span", {}, profile(place, scales.pixels, 200)),
    el("span", {}, kernelGlyph(place)),
    el(
      "span",
      { class: "what" },
      widths(place),
      el("br"),
      chips,
      place.se ? el("span", { class: "chip se" }, `SE ${place.se}`) : null,
      ACTS[place.act] ? el("span", { class: `chip ${place.act === "hswish" ? "hs" : ""}` }, ACTS[place.act]) : null,
      place.skip === "none" ? null : el("span", { title: `skip: ${place.skip}` }, " ↷"),
    ),
    el("span", { class: "ms" }, stack(byRole([place]), scales.block), total === null ? MISSING : fixed(total, 2)),
  );
}

/** One bar of stacked milliseconds by role; `most` are those of the full width. */
function stack(roles, most, height = 12) {
  const bar = svg("svg", {
    viewBox: `0 0 ${most || 1} 1`,
    preserveAspectRatio: "none",
    width: "100%",
    height,
    "aria-hidden": "true",
  });
  let from = 0;
  for (const [role, value] of Object.entries(roles || {})) {
    bar.append(svg("rect", { x: from, y: 0, width: value, height: 1, fill: `var(--${role})` }));
    from += value;
  }
  return bar;
}
