// Elements and numbers. Text from the studies is always set as text, so that no name of a study can become markup.

const byId = (id) => document.getElementById(id);

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
  return node;
}

const el = (tag, attributes, ...children) => fill(document.createElement(tag), attributes, children);
const svg = (tag, attributes, ...children) =>
  fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
const show = (node, ...children) => node.replaceChildren(...children.flat(Infinity).filter((child) => child !== null));

const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

const MISSING = "–";
const fixed = (value, digits) =>
  value === null || value === undefined
    ? MISSING
    : value
        .toFixed(digits)
        .replace(/^-(0\.?0*)$/, "$1")
        .replace("-", "−");
const percent = (share, digits = 2) => (share === null ? MISSING : `${fixed(100 * share, digits)} %`);
const ms = (value, digits = value !== null && value < 10 ? 2 : 1) =>
  value === null ? MISSING : `${fixed(value, digits)} ms`;
const millions = (value, digits = 0) => `${fixed(value / 1e6, digits)} M`;
const count = (value) => value.toLocaleString("en-US");
const signed = (value, digits) => (Number(value.toFixed(digits)) > 0 ? "+" : "") + fixed(value, digits);
const plural = (number, word) => `${count(number)} ${word}${number === 1 ? "" : "s"}`;

/** Definition list entries of [term, text] pairs, without those that have no text. */
const terms = (pairs) =>
  pairs
    .filter(([, text]) => text !== null && text !== undefined && text !== "")
    .map(([term, text]) => [el("dt", {}, term), el("dd", {}, text)])
    .flat();

/** Head of a table of `steps`; `isText(index)` tells columns of text from those of numbers. */
const tableHead = (heads, isText) =>
  el(
    "thead",
    {},
    el(
      "tr",
      {},
      heads.map((head, index) => el("th", { class: isText(index) ? "text" : "" }, head)),
    ),
  );

/** Small picture of a mark, for legends. */
function swatch(name, colour) {
  const marks = {
    dot: () => svg("circle", { cx: 7, cy: 7, r: 3.5, fill: colour }),
    ring: () => svg("circle", { cx: 7, cy: 7, r: 4.5, fill: "none", stroke: colour, "stroke-width": 2 }),
    steps: () => [
      svg("path", { d: "M0 11H7V4H14", fill: "none", stroke: colour, "stroke-width": 1.6 }),
      svg("circle", { cx: 7, cy: 4, r: 3, fill: colour }),
    ],
    line: () => svg("path", { d: "M0 7H14", stroke: colour, "stroke-width": 2 }),
    dash: () => svg("path", { d: "M7 0V14", stroke: colour, "stroke-width": 2, "stroke-dasharray": "4 3" }),
    star: () => svg("path", { d: star(7, 7, 7), fill: colour }),
    diamond: () => svg("path", { d: diamond(7, 7, 5), fill: "none", stroke: colour, "stroke-width": 1.5 }),
    gem: () => svg("path", { d: diamond(7, 7, 5), fill: colour }),
    square: () => svg("rect", { x: 2, y: 2, width: 10, height: 10, rx: 2, fill: colour }),
  };
  return svg("svg", { width: 14, height: 14, "aria-hidden": "true" }, marks[name]());
}

const key = (mark, colour, text) => el("span", {}, swatch(mark, `var(--${colour})`), text);

function star(x, y, radius) {
  const corners = Array.from({ length: 10 }, (_, i) => {
    const r = i % 2 ? radius * 0.42 : radius,
      turn = (Math.PI * i) / 5 - Math.PI / 2;
    return `${(x + r * Math.cos(turn)).toFixed(2)} ${(y + r * Math.sin(turn)).toFixed(2)}`;
  });
  return `M${corners.join("L")}Z`;
}

const diamond = (x, y, r) => `M${x} ${y - r}L${x + r} ${y}L${x} ${y + r}L${x - r} ${y}Z`;

/** Make one stop of the Tab key of many elements: the first is the stop, the keys up and down go on from there. */
function walkable(elements) {
  elements.forEach((element, index) => {
    element.setAttribute("tabindex", index ? -1 : 0);
    element.addEventListener("keydown", (event) => {
      const next = { ArrowDown: elements[index + 1], ArrowUp: elements[index - 1] }[event.key];
      if (!next) return;
      next.focus();
      event.preventDefault();
    });
  });
}

const tip = byId("tip");

/** Show a tooltip beside a place of the page (in client coordinates), inside the window. */
function showTip(x, y, ...children) {
  show(tip, ...children);
  tip.hidden = false;
  const box = tip.getBoundingClientRect(),
    room = document.documentElement.clientWidth;
  const left = x + 14 + box.width > room ? Math.max(4, x - 14 - box.width) : x + 14;
  const top = y - 10 - box.height < 4 ? y + 18 : y - 10 - box.height;
  tip.style.left = `${left + window.scrollX}px`;
  tip.style.top = `${top + window.scrollY}px`;
}

const hideTip = () => {
  tip.hidden = true;
};
