// Plots: dots on a canvas, since ten thousand of them are too many elements; axes, lines and words as SVG above it.

/** A linear scale from `domain` to `range`, both pairs. */
function linear([from, to], [start, end]) {
  const scale = (value) => start + ((value - from) / (to - from || 1)) * (end - start);
  return Object.assign(scale, { from, to, ticks: (number) => ticks(from, to, number) });
}

/** Round numbers inside of a range, about so many. */
function ticks(from, to, number) {
  const raw = (to - from) / Math.max(1, number),
    power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].find((factor) => factor * power >= raw * 0.999) * power;
  const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  const found = [];
  for (let value = Math.ceil(from / step - 1e-9) * step; value <= to + step * 1e-9; value += step)
    found.push([value, fixed(value, digits)]);
  return found;
}

/** Smallest and largest value with a margin; a single value gets one, too. */
function extent(values, margin = 0.04) {
  let low = Infinity,
    high = -Infinity;
  for (const value of values) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  if (low > high) return [0, 1];
  const room = (high - low) * margin || Math.abs(high) * 0.05 || 1;
  return [low - room, high + room];
}

/**
 * A plot in `host` that draws itself again when its size or the colours change. `draw(plot)` sets `plot.axes(...)` and
 * then uses `plot.x`, `plot.y`, `plot.canvas` (a 2D context in CSS pixels) and `plot.add(SVG elements)`.
 */
class Plot {
  static all = [];

  /** Draw every plot that is on the page again. */
  static redrawAll() {
    Plot.all = Plot.all.filter((plot) => plot.host.isConnected);
    for (const plot of Plot.all) plot.redraw();
  }

  constructor(host, draw, margin = {}) {
    this.host = host;
    this.margin = { left: 52, right: 14, top: 14, bottom: 44, ...margin };
    this.surface = el("canvas", { "aria-hidden": "true" });
    this.layer = svg("svg", { "aria-hidden": "true" });
    this.drawing = draw;
    host.replaceChildren(this.surface, this.layer);
    Plot.all.push(this);
    new ResizeObserver(() => this.redraw()).observe(host);
  }

  redraw() {
    const { clientWidth: width, clientHeight: height } = this.host,
      ratio = window.devicePixelRatio || 1;
    if (!width || !height) return;
    Object.assign(this, { width, height });
    this.surface.width = Math.round(width * ratio);
    this.surface.height = Math.round(height * ratio);
    this.canvas = this.surface.getContext("2d");
    this.canvas.scale(ratio, ratio);
    this.layer.replaceChildren();
    this.drawing(this);
  }

  add(...nodes) {
    this.layer.append(...nodes.flat(Infinity).filter((node) => node !== null));
  }

  get inner() {
    const { left, right, top, bottom } = this.margin;
    return { left, top, right: this.width - right, bottom: this.height - bottom };
  }

  /** Set both scales; draw grid, ticks and the axes' names with their units; where `rows`, y counts rows and has none. */
  axes(xDomain, yDomain, xName, yName, rows = false) {
    const { left, top, right, bottom } = this.inner;
    this.x = linear(xDomain, [left, right]);
    this.y = linear(yDomain, [bottom, top]);
    for (const [value, text] of this.x.ticks(Math.min(10, (right - left) / 70))) {
      const x = this.x(value);
      this.add(
        svg("path", { d: `M${x} ${top}V${bottom}`, stroke: "var(--grid)" }),
        svg("text", { x, y: bottom + 17, "text-anchor": "middle" }, text),
      );
    }
    for (const [value, text] of rows ? [] : this.y.ticks(Math.min(8, (bottom - top) / 42))) {
      const y = this.y(value);
      this.add(
        svg("path", { d: `M${left} ${y}H${right}`, stroke: "var(--grid)" }),
        svg("text", { x: left - 7, y: y + 4, "text-anchor": "end" }, text),
      );
    }
    this.add(
      svg("path", { d: `M${left} ${bottom}H${right}`, stroke: "var(--line)" }),
      svg("text", { x: (left + right) / 2, y: bottom + 36, "text-anchor": "middle" }, xName),
      svg("text", { x: -(top + bottom) / 2, y: 12, "text-anchor": "middle", transform: "rotate(-90)" }, yName),
    );
  }

  /** Filled circles at (x, y) pairs in data units, clipped to the plot. */
  dots(points, colour, radius, alpha = 1) {
    const { left, top, right, bottom } = this.inner,
      c = this.canvas;
    c.save();
    c.beginPath();
    c.rect(left, top, right - left, bottom - top);
    c.clip();
    c.globalAlpha = alpha;
    c.fillStyle = colour;
    for (const [x, y] of points) {
      c.beginPath();
      c.arc(this.x(x), this.y(y), radius, 0, 2 * Math.PI);
      c.fill();
    }
    c.restore();
  }

  /** The elements, of which only what lies inside of the axes is to be seen. */
  clipped(...nodes) {
    const { left, top, right, bottom } = this.inner,
      id = `inside-${Plot.all.indexOf(this)}`;
    return svg(
      "g",
      {},
      svg("clipPath", { id }, svg("rect", { x: left, y: top, width: right - left, height: bottom - top })),
      svg("g", { "clip-path": `url(#${id})` }, nodes),
    );
  }

  /** Whether a point in data units lies inside of the plot. */
  holds(x, y) {
    return x >= this.x.from && x <= this.x.to && y >= this.y.from && y <= this.y.to;
  }

  /** A vertical line with a word at its top. */
  upright(value, text, colour, attributes = {}) {
    if (value < this.x.from || value > this.x.to) return;
    const { top, bottom, right } = this.inner,
      x = this.x(value),
      late = x > right - 90;
    this.add(
      svg("path", {
        d: `M${x} ${top}V${bottom}`,
        stroke: `var(--${colour})`,
        "stroke-width": 2,
        "stroke-dasharray": "6 4",
        ...attributes,
      }),
      svg(
        "text",
        {
          x: x + (late ? -6 : 6),
          y: bottom - 8,
          "text-anchor": late ? "end" : "start",
          class: "halo",
          style: `fill: var(--${colour}); font-weight: 600`,
        },
        text,
      ),
    );
  }
}

/** Points of a staircase: each value holds until the next one. */
const steps = (points) => points.map(([x, y], index) => (index ? `H${x}V${y}` : `M${x} ${y}`)).join("");
