// The head of the page, the choice of what is compared, light and dark; then everything is drawn once.

/** What judged: predictions, trainings by an evaluator, or those of NetAdapt's proposals. */
function judgeName(k) {
  const { settings } = content.studies[k.studies[0]];
  return k.predicted ? "predicted accuracy" : settings.rule ? `${settings.data} by NetAdapt` : k.judge;
}

function kindName(k) {
  return `${judgeName(k)} on ${k.target}${content.kinds.filter((other) => judgeName(other) === judgeName(k) && other.target === k.target).length > 1 ? `: ${content.studies[k.studies[0]].name}` : ""}`;
}

function drawHead() {
  const k = kind(),
    names = k.studies.map((place) => content.studies[place].name),
    title = names.length > 3 ? `${names.length} studies` : names.join(", ");
  byId("title").textContent = title;
  document.title = `${title} – nas report`;
  const limit = k.budget === null ? "" : ` within ${k.budget} ms`;
  if (k.best === null) show(byId("lead"), `No network${limit}${onTarget()} was judged yet.`);
  else {
    show(
      byId("lead"),
      `Best network${limit}${onTarget()}: `,
      el("b", {}, trialName(k.best)),
      `, ${accuracyWord()} `,
      el("b", {}, accuracyText(k.best)),
      " at ",
      el("b", {}, ms(T.latency[k.best])),
      k.predicted ? ". Nothing was trained: both figures are predictions." : ". The latency is a prediction.",
    );
  }
  const { all, points } = members(state.kind),
    tile = (name, value, small) =>
      el("div", {}, el("dt", {}, name), el("dd", {}, value, small ? el("small", {}, small) : null));
  show(
    byId("tiles"),
    k.best === null
      ? null
      : [
          tile(
            k.predicted ? "predicted accuracy" : "accuracy",
            percent(T.accuracy[k.best]),
            T.high[k.best] === null ? null : `${percent(T.low[k.best], 1)} to ${percent(T.high[k.best], 1)}`,
          ),
          tile("latency", ms(T.latency[k.best]), k.budget === null ? null : `budget ${k.budget} ms`),
          tile("MAdds", millions(T.macs[k.best])),
          tile("params", millions(T.params[k.best], 2)),
        ],
    tile("trials", count(all.length), points.length < all.length ? `${count(points.length)} judged` : "all judged"),
    tile("front", String(k.front.length), "networks"),
  );
}

function drawKinds() {
  show(
    byId("kinds"),
    content.kinds.length < 2
      ? []
      : content.kinds.map((k, index) =>
          el(
            "button",
            { type: "button", "aria-pressed": String(index === state.kind), onclick: () => open(index) },
            kindName(k),
          ),
        ),
  );
}

function open(index) {
  state.kind = index;
  change({ kind: index, selected: kind().best, beside: nearestReference() });
}

onChange(({ kind: changed }) => {
  if (changed === undefined) return;
  drawHead();
  drawKinds();
});

const root = document.documentElement,
  darkly = matchMedia("(prefers-color-scheme: dark)");

function setTheme(dark, remember) {
  root.dataset.theme = dark ? "dark" : "light";
  byId("theme").textContent = dark ? "Light" : "Dark";
  byId("theme").setAttribute("aria-pressed", String(dark));
  if (remember) stored("setItem", "nas-report-theme", dark ? "dark" : "light");
  Plot.redrawAll();
}

/** The browser's storage, which a file opened from the disk may not have. */
function stored(method, ...parameters) {
  try {
    return localStorage[method](...parameters);
  } catch {
    return null;
  }
}

const kept = stored("getItem", "nas-report-theme");
root.dataset.theme = (kept ? kept === "dark" : darkly.matches) ? "dark" : "light";
open(0);
drawProvenance();
setTheme(root.dataset.theme === "dark", false);
darkly.addEventListener("change", (event) => stored("getItem", "nas-report-theme") || setTheme(event.matches, false));
byId("theme").addEventListener("click", () => setTheme(root.dataset.theme !== "dark", true));
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") hideTip();
});
requestAnimationFrame(() =>
  setTimeout(() => {
    root.dataset.drawn = performance.now().toFixed(1);
  }),
);
