/* Accuracy and loss against steps, of one run or of several. */

const SVG = "http://www.w3.org/2000/svg";
const MARGIN = { top: 12, right: 12, bottom: 30, left: 46 };
const HEIGHT = 260;

function svg(name, attributes, text) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

/* Round numbers between two limits, some `count` of them. */
function ticks(least, most, count) {
  const rough = (most - least) / count || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((each) => each * power).find((each) => each >= rough);
  const found = [];
  for (let at = Math.ceil(least / step - 1e-9); at * step <= most + 1e-9 * step; at++) {
    found.push(Number((at * step).toPrecision(12)));
  }
  return found;
}

function powers(least, most, factors) {
  const found = [];
  for (let power = Math.floor(Math.log10(least)); power <= Math.log10(most); power++) {
    for (const factor of factors) found.push(Number((factor * 10 ** power).toPrecision(12)));
  }
  return found.filter((value) => value >= least && value <= most);
}

function lines(name, heldOut, several) {
  return stories.flatMap((story, index) => {
    const made = (series, text, colour, thin) => {
      const [steps, values] = story.series[series] ?? [[], []];
      return { story, name: text, colour, thin, steps, values, heldOut: series === heldOut };
    };
    const own = [made(name, "target batch", 1, true), made(heldOut, "validation", 0, false)];
    const ofRun = heldOut in story.series
      ? made(heldOut, story.name, index % 6, false)
      : made(name, `${story.name} (target batch)`, index % 6, true);
    const found = several ? [ofRun] : own;
    return found.filter((line) => line.steps.length);
  });
}

class Chart {
  constructor(title, lines, percent) {
    Object.assign(this, { title, lines, percent });
    this.figure = element("figure", "chart");
    this.figure.setAttribute("aria-label", title);
    this.figure.append(element("figcaption", "", title), this.legend());
    this.drawing = this.figure.appendChild(svg("svg", { role: "img", height: HEIGHT }));
    this.drawing.setAttribute("aria-label", this.described());
    this.step = 0;
  }

  legend() {
    const list = element("ul", "legend");
    for (const line of this.lines) {
      const item = list.appendChild(element("li"));
      const mark = item.appendChild(element("span", `mark series-${line.colour}`));
      mark.setAttribute("aria-hidden", "true");
      item.append(line.name);
    }
    return list;
  }

  described() {
    const parts = this.lines.map(
      (line) =>
        `${line.name}: ${this.shown(line.values[0])} at step ${line.steps[0]}, ` +
        `${this.shown(line.values.at(-1))} at step ${line.steps.at(-1)}`,
    );
    return `${this.title}. ${parts.join("; ")}`;
  }

  shown(value) {
    return this.percent ? `${(100 * value).toFixed(1)} %` : value.toPrecision(3);
  }

  scales(width) {
    const steps = this.lines.flatMap((line) => line.steps);
    const last = Math.max(...steps, 1);
    // validations are at steps that grow by a factor: evenly, most would be at the left edge
    const logarithmic = last >= 30;
    const across = (step) => (logarithmic ? Math.log1p(step) / Math.log1p(last) : step / last);
    const right = width - MARGIN.left - MARGIN.right;
    this.x = (step) => MARGIN.left + right * across(step);
    this.stepTicks = logarithmic ? [0, ...powers(1, last, [1])] : ticks(0, last, 5);
    if (logarithmic && across(last) - across(this.stepTicks.at(-1)) > 0.12) {
      this.stepTicks.push(last);
    }
    const values = this.lines.flatMap((line) => line.values);
    const [least, most] = [Math.min(...values), Math.max(...values)];
    const down = HEIGHT - MARGIN.top - MARGIN.bottom;
    const level = !this.percent && least > 0 && most > 3 * least ? Math.log : (value) => value;
    const room = 0.04 * (level(most) - level(least)) || 0.01;
    let [low, high] = [level(least) - room, level(most) + room];
    if (this.percent) [low, high] = [Math.max(low, -0.005), Math.min(high, 1.005)];
    this.y = (value) => MARGIN.top + down * (1 - (level(value) - low) / (high - low));
    if (level === Math.log) {
      const coarse = powers(least, most, [1]);
      this.valueTicks = coarse.length > 3 ? coarse : powers(least, most, [1, 2, 5]);
      if (this.valueTicks.length < 2) this.valueTicks = [least, most];
    } else {
      const factor = this.percent ? 100 : 1;
      this.valueTicks = ticks(factor * low, factor * high, 5).map((value) => value / factor);
    }
  }

  draw() {
    const width = this.figure.clientWidth;
    if (!width) return;
    this.scales(width);
    this.drawing.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
    this.drawing.replaceChildren();
    const put = (...given) => this.drawing.appendChild(svg(...given));
    for (const value of this.valueTicks) {
      const y = this.y(value);
      put("line", { class: "grid", x1: MARGIN.left, x2: width - MARGIN.right, y1: y, y2: y });
      const text = this.percent ? Math.round(1000 * value) / 10 : Number(value.toPrecision(2));
      put("text", { x: MARGIN.left - 8, y: y + 4, "text-anchor": "end" }, String(text));
    }
    for (const step of this.stepTicks) {
      const text = step.toLocaleString("en");
      put("text", { x: this.x(step), y: HEIGHT - 10, "text-anchor": "middle" }, text);
    }
    for (const line of this.lines) this.drawLine(put, line);
    this.now = put("line", { class: "now", y1: MARGIN.top, y2: HEIGHT - MARGIN.bottom });
    this.mark(this.step);
  }

  drawLine(put, { steps, values, colour, thin, heldOut, story }) {
    const points = steps.map((step, at) => [this.x(step), this.y(values[at])]);
    const path = points.map(([x, y]) => `${x.toFixed(1)},${y.toFixed(1)}`).join(" ");
    const group = `series-${colour}`;
    put("polyline", { class: `line ${group} ${thin ? "thin" : ""}`, points: path });
    if (thin && points.length > 1) return;
    const chosen = story.sprites.frames[story.result].step;
    points.forEach(([cx, cy], at) => {
      const isResult = heldOut && steps[at] === chosen;
      const kind = isResult ? "result" : "point";
      put("circle", { class: `${kind} ${group}`, cx, cy, r: isResult ? 5 : 2.2 });
    });
  }

  mark(step) {
    this.step = step;
    this.now?.setAttribute("visibility", step === null ? "hidden" : "visible");
    const x = this.x?.(Math.min(step, Math.max(...this.lines.flatMap((line) => line.steps))));
    this.now?.setAttribute("x1", x);
    this.now?.setAttribute("x2", x);
  }
}

function makeCharts() {
  const several = stories.length > 1;
  const charts = [
    new Chart("Accuracy (%)", lines("batch_accuracy", "validation_accuracy", several), true),
    new Chart("Loss", lines("loss", "validation_loss", several), false),
  ].filter((chart) => chart.lines.length);
  const section = document.getElementById("curves");
  section.hidden = !charts.length;
  document.querySelector(".to-curves").hidden = !charts.length;
  section.querySelector(".charts").append(...charts.map((chart) => chart.figure));
  const observer = new ResizeObserver(() => charts.forEach((chart) => chart.draw()));
  if (charts.length) observer.observe(section);
  return charts;
}
