/* The slider, and all that follows it. Its places are the saved steps of all runs of the page; of
   each run the last step that it had saved by then is shown. What has no steps, Label Solve or a set
   alone, is at the start or done. */

function frameName(story, frame) {
  if (!story.has_start) return "As distilled";
  if (frame === 0) return "Before";
  if (story.unit === "block") return "Labels learned";
  return `Step ${story.sprites.frames[frame].step.toLocaleString("en")}`;
}

function placesOf(runs) {
  const steps = runs.flatMap((story) => story.sprites.frames.map((frame) => frame.step));
  return [...new Set(steps)].sort((a, b) => a - b);
}

function start() {
  const byId = (id) => document.getElementById(id);
  const several = stories.length > 1;
  const started = stories.filter((story) => story.has_start);
  const stepping = started.filter((story) => story.unit === "step");
  const places = stepping.length ? placesOf(stepping) : started.length ? [0, 1] : [0];
  const detail = new Detail(byId("detail"), document.querySelector(".control"));
  const panels = [...document.querySelectorAll(".panel")].map((figure) => {
    const story = stories[figure.closest(".run").dataset.story];
    const panel = new Panel(figure, story, figure.dataset.when);
    const beside = !several && story.has_start && story.sprites.rows.length > 12;
    figure.parentElement.classList.toggle("beside", beside);
    detail.watch(panel);
    return panel;
  });
  const charts = makeCharts();
  const slider = byId("step");
  slider.max = places.length - 1;
  slider.disabled = places.length < 2;

  // the results of several runs may be of different steps: all of them are shown at once
  let atResults = true;

  function frameIn(story, place) {
    if (!stepping.includes(story)) return place === 0 ? 0 : story.result;
    return frameAt(story, places[place]);
  }

  function frameOf(story) {
    return atResults ? story.result : frameIn(story, Number(slider.value));
  }

  function text(story, frame) {
    if (!story.has_start) return frameName(story, frame);
    const counted = story.unit === "step" && frame > 0 && story.steps !== null;
    const total = counted ? ` of ${story.steps.toLocaleString("en")}` : "";
    const result = frame === story.result ? ", the result" : "";
    return `${frameName(story, frame)}${total}${result}`;
  }

  function measured(story, frame) {
    const [at, values] = story.series.validation_accuracy ?? [[], []];
    const place = at.indexOf(story.sprites.frames[frame].step);
    return place < 0 ? "" : ` · ${(100 * values[place]).toFixed(1)} % validation accuracy`;
  }

  function saidOfAll() {
    const place = Number(slider.value);
    if (atResults) return "The result of each";
    return place === 0 ? "Before" : `Step ${places[place].toLocaleString("en")}`;
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
    const said = several ? saidOfAll() : text(stories[0], frameOf(stories[0]));
    byId("at").textContent = said;
    slider.setAttribute("aria-valuetext", said);
    // where each run is at its own result, no line can say where all are
    const now = several && atResults ? null : places[slider.value];
    charts.forEach((chart) => chart.mark(now));
    detail.fill();
  }

  function go(place, toResults = false) {
    slider.value = place;
    atResults = toResults || stories.every((story) => frameIn(story, place) === story.result);
    update();
  }

  function goToResults() {
    const last = Math.max(...stepping.map((story) => story.sprites.frames[story.result].step));
    go(stepping.length ? places.indexOf(last) : places.length - 1, true);
  }

  let playing = 0;

  function stop() {
    clearInterval(playing);
    playing = 0;
    byId("play").textContent = "Play";
    byId("at").removeAttribute("aria-live");
  }

  function play() {
    if (playing) return stop();
    byId("play").textContent = "Stop";
    byId("at").setAttribute("aria-live", "off"); // two and a half steps a second
    if (Number(slider.value) === places.length - 1 || atResults) go(0);
    playing = setInterval(() => {
      const next = Number(slider.value) + 1;
      if (next < places.length) return go(next);
      stop();
    }, 400);
  }

  slider.addEventListener("input", () => {
    stop();
    go(Number(slider.value));
  });
  byId("to-start").addEventListener("click", () => {
    stop();
    go(0);
  });
  byId("to-result").addEventListener("click", () => {
    stop();
    goToResults();
  });
  byId("play").addEventListener("click", play);
  byId("play").disabled = slider.disabled;
  const only = byId("only-differing");
  const table = document.querySelector("#configuration table");
  const filter = () => table.classList.toggle("only-differing", only.checked);
  only?.addEventListener("change", filter);
  if (only) filter();
  goToResults();
}

start();
