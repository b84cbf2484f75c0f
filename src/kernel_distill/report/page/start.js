/* The slider, and all that follows it. Its places are the saved steps of all runs of the page; of
   each run the last step that it had saved by then is shown. */

function stepName(story, step) {
  if (story.unit === "block") return step === 0 ? "Before" : "Labels learned";
  return step === 0 ? "Before" : `Step ${step.toLocaleString("en")}`;
}

function start() {
  const byId = (id) => document.getElementById(id);
  const steps = stories.flatMap((story) => story.sprites.frames.map((frame) => frame.step));
  const places = [...new Set(steps)].sort((a, b) => a - b);
  const detail = new Detail(byId("detail"));
  const panels = [...document.querySelectorAll(".panel")].map((figure) => {
    const story = stories[figure.closest(".run").dataset.story];
    const panel = new Panel(figure, story, figure.dataset.when);
    const beside = stories.length === 1 && story.sprites.rows.length > 12;
    figure.parentElement.classList.toggle("beside", beside);
    detail.watch(panel);
    return panel;
  });
  const charts = makeCharts();
  const slider = byId("step");
  slider.max = places.length - 1;
  slider.disabled = places.length < 2;

  const resultOf = (story) => story.sprites.frames[story.result].step;
  const results = stories.map(resultOf);
  // the results of several runs may be of different steps: all of them are shown at once
  let atResults = true;

  function frameOf(story) {
    return atResults ? story.result : frameAt(story, places[slider.value]);
  }

  function text(story, frame) {
    const { frames } = story.sprites;
    const { step } = frames[frame];
    const total = story.unit === "step" && step > 0 ? ` of ${story.steps.toLocaleString("en")}` : "";
    const result = frame === story.result ? ", the result" : "";
    return `${stepName(story, step)}${total}${result}`;
  }

  function measured(story, frame) {
    const [at, values] = story.series.validation_accuracy ?? [[], []];
    const place = at.indexOf(story.sprites.frames[frame].step);
    return place < 0 ? "" : ` · ${(100 * values[place]).toFixed(1)} % validation accuracy`;
  }

  function update() {
    for (const panel of panels) {
      const frame = panel.when === "before" ? 0 : frameOf(panel.story);
      panel.show(frame);
      if (panel.when === "now") {
        const caption = text(panel.story, frame) + measured(panel.story, frame);
        panel.figure.querySelector("figcaption").textContent = caption;
        panel.figure.setAttribute("aria-label", caption);
      }
    }
    const said = stories.length === 1
      ? text(stories[0], frameOf(stories[0]))
      : atResults
        ? "The result of each"
        : `Step ${places[slider.value].toLocaleString("en")}`;
    byId("at").textContent = said;
    slider.setAttribute("aria-valuetext", said);
    charts.forEach((chart) => chart.mark(places[slider.value]));
    detail.fill();
  }

  function go(place, results) {
    slider.value = place;
    atResults = results || (stories.length === 1 && places[place] === resultOf(stories[0]));
    update();
  }

  const toResults = () => go(places.indexOf(Math.max(...results)), true);
  let playing = 0;

  function stop() {
    clearInterval(playing);
    playing = 0;
    byId("play").textContent = "Play";
  }

  function play() {
    if (playing) return stop();
    byId("play").textContent = "Stop";
    if (Number(slider.value) === places.length - 1 || atResults) go(0, false);
    playing = setInterval(() => {
      const next = Number(slider.value) + 1;
      if (next < places.length) return go(next, false);
      stop();
    }, 400);
  }

  slider.addEventListener("input", () => {
    stop();
    go(Number(slider.value), false);
  });
  byId("to-start").addEventListener("click", () => {
    stop();
    go(0, false);
  });
  byId("to-result").addEventListener("click", () => {
    stop();
    toResults();
  });
  byId("play").addEventListener("click", play);
  byId("play").disabled = slider.disabled;
  const only = byId("only-differing");
  const table = document.querySelector("#configuration table");
  const filter = () => table.classList.toggle("only-differing", only.checked);
  only?.addEventListener("change", filter);
  if (only) filter();
  toResults();
}

start();
