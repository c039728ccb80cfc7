// Where everything comes from, and the commands that make it again.

const plain = (value) =>
  value === null || value === undefined ? null : typeof value === "object" ? JSON.stringify(value) : String(value);
const facts = (pairs) => el("dl", { class: "facts" }, ...terms(pairs));
const entries = (values) => Object.entries(values || {}).map(([name, value]) => [name, plain(value)]);

function copyable(text) {
  const button = el("button", { type: "button" }, "Copy");
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(code);
      button.textContent = "Selected";
    }
  });
  const code = el("pre", {}, text);
  return [code, button];
}

function studyCard(study) {
  return [
    el("h3", {}, `Study ${study.name}`),
    study.command ? copyable(study.command) : null,
    facts([
      ["begun", study.created],
      ["last trial", study.ended],
      [
        "trials",
        Object.entries(study.states)
          .map(([name, number]) => `${number} ${name}`)
          .join(", "),
      ],
      ["started from", study.fork_of && `${study.inherited} trials of ${study.fork_of}`],
      ["fidelity", study.fidelity],
      ["latency table", study.latency_versions.join(", ")],
      [
        "rests on",
        study.basis &&
          entries(study.basis)
            .map((pair) => pair.join(" "))
            .join(", "),
      ],
      [
        "software",
        entries(study.versions)
          .map((pair) => pair.join(" "))
          .join(", "),
      ],
    ]),
    el("details", {}, el("summary", {}, "Settings"), facts(entries(study.settings))),
  ].flat();
}

function deviceCard(target, about) {
  if (about.absent) return [el("h3", {}, `Latency on ${target}`), el("p", {}, about.absent)];
  return [
    el("h3", {}, `Latency on ${target}`),
    facts([
      ["device", about.device],
      ["runtime", about.runtime],
      ["threads", `${about.threads}, ${about.core}`],
      ["values", about.dtype],
      ["date", about.date],
      ["table", about.version],
      ["interval", `± ${fixed(100 * about.interval, 1)} % holds ${Math.round(100 * about.coverage)} % of networks`],
      [
        "error",
        entries(about.error)
          .map((pair) => pair.join(" "))
          .join(", "),
      ],
      ...about.provenance.flatMap((entry) => [
        [
          "source",
          entries(entry)
            .map((pair) => pair.join(": "))
            .join("; "),
        ],
      ]),
    ]),
  ];
}

function drawProvenance() {
  show(
    byId("provenance-body"),
    content.studies.flatMap(studyCard).filter(Boolean),
    Object.entries(content.devices).flatMap(([target, about]) => deviceCard(target, about)),
  );
  show(byId("made"), `Made by nas ${content.nas} at ${content.made}.`);
}
