"use strict";

/* The images: frames are decoded when they are first wanted, and drawn one canvas an image. */

const stories = JSON.parse(document.getElementById("data").textContent).stories;

function decoded(base64) {
  return Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0)).buffer;
}

for (const story of stories) {
  story.pictures = story.sprites.frames.map(() => null);
  for (const frame of story.sprites.frames) {
    const view = new DataView(decoded(frame.labels));
    const classes = view.byteLength / 2 / story.sprites.rows.length;
    frame.label = (place) =>
      Array.from(
        { length: classes },
        (_, each) => frame.scale * view.getInt16(2 * (place * classes + each), true),
      );
  }
}

function picture(story, frame) {
  if (!story.pictures[frame]) {
    const image = new Image();
    image.src = "data:image/png;base64," + story.sprites.frames[frame].picture;
    story.pictures[frame] = image.decode().then(() => image);
  }
  return story.pictures[frame];
}

/* The last frame of a run that is not after `step`. */
function frameAt(story, step) {
  return Math.max(0, story.sprites.frames.findLastIndex((frame) => frame.step <= step));
}

function drawTile(canvas, story, image, place) {
  const { width, height, columns } = story.sprites;
  const x = (place % columns) * width;
  const y = Math.floor(place / columns) * height;
  canvas.getContext("2d").drawImage(image, x, y, width, height, 0, 0, width, height);
}

function newCanvas(story) {
  const canvas = document.createElement("canvas");
  canvas.width = story.sprites.width;
  canvas.height = story.sprites.height;
  // a row of a table, a pixel high
  if (canvas.height === 1) canvas.style.aspectRatio = Math.min(canvas.width, 6);
  return canvas;
}

function element(name, className, text) {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

class Panel {
  constructor(figure, story, when) {
    this.figure = figure;
    this.story = story;
    this.when = when;
    this.frame = null;
    this.buttons = [];
    this.canvases = [];
    this.build(figure.querySelector(".sheet"));
    this.buttons[0].tabIndex = 0;
    figure.addEventListener("keydown", (event) => this.move(event));
  }

  build(sheet) {
    const { classes, width, height } = this.story.sprites;
    const groups = grouped(classes);
    const most = Math.max(...[...groups.values()].map((places) => places.length));
    const few = most <= 2;
    const ratio = Math.min(Math.max(width / height, 1), 6);
    const least = classes.length <= 12 ? 5.5 : classes.length <= 120 ? 2.6 : 2;
    sheet.classList.toggle("few", few);
    sheet.classList.toggle("strips", ratio > 1.5);
    sheet.style.setProperty("--least", `min(100%, ${least * Math.sqrt(ratio)}rem)`);
    // rows of a class as even as may be
    const widest = few ? Math.min(classes.length, 12) : Math.max(4, Math.round(15 / ratio));
    const count = few ? classes.length : most;
    sheet.style.setProperty("--across", Math.ceil(count / Math.ceil(count / widest)));
    const names = [...groups.keys()].map((label) => this.story.class_names[label]);
    const longest = Math.max(...names.map((name) => name.length));
    sheet.style.setProperty("--names", `${Math.min(0.4 + 0.5 * longest, 5.2)}rem`);
    const all = few ? sheet.appendChild(element("div", "tiles")) : null;
    for (const [label, places] of groups) {
      const name = this.story.class_names[label];
      let tiles = all;
      if (!few) {
        const row = sheet.appendChild(element("div", "class"));
        row.classList.toggle("wide-gap", most > 15);
        row.append(element("span", "name", name));
        tiles = row.appendChild(element("div", "tiles"));
      }
      for (const place of places) tiles.append(this.tile(place, name, few));
    }
  }

  tile(place, name, named) {
    const tile = element("div", "tile");
    const button = tile.appendChild(element("button"));
    button.type = "button";
    button.tabIndex = -1;
    button.dataset.place = place;
    const row = this.story.sprites.rows[place] + 1;
    button.setAttribute("aria-label", `Image ${row}, class ${name}, ${this.when}`);
    this.canvases[place] = button.appendChild(newCanvas(this.story));
    this.buttons[place] = button;
    if (named) {
      const shown = tile.appendChild(element("span", "name", name));
      shown.setAttribute("aria-hidden", "true");
      shown.title = name;
    }
    return tile;
  }

  /* One image of a panel is in the order of tabs; arrows go on from there. */
  move(event) {
    const from = this.buttons.indexOf(document.activeElement);
    if (from < 0) return;
    const last = this.buttons.length - 1;
    const to = {
      ArrowRight: Math.min(from + 1, last),
      ArrowLeft: Math.max(from - 1, 0),
      ArrowDown: this.nearest(from, 1),
      ArrowUp: this.nearest(from, -1),
      Home: 0,
      End: last,
    }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    this.buttons[from].tabIndex = -1;
    this.buttons[to].tabIndex = 0;
    this.buttons[to].focus();
  }

  /* The image below (1) or above (-1): of the next row the one whose middle is nearest. */
  nearest(from, direction) {
    const own = this.buttons[from].getBoundingClientRect();
    let best = from;
    let least = Infinity;
    this.buttons.forEach((button, place) => {
      const box = button.getBoundingClientRect();
      const down = direction * (box.top - own.top);
      if (down < own.height / 2) return;
      const distance = 1000 * down + Math.abs(box.left + box.width / 2 - own.left - own.width / 2);
      if (distance < least) [best, least] = [place, distance];
    });
    return best;
  }

  async show(frame) {
    if (this.frame === frame) return;
    this.frame = frame;
    const image = await picture(this.story, frame);
    if (this.frame !== frame) return; // the slider has gone on meanwhile
    this.canvases.forEach((canvas, place) => drawTile(canvas, this.story, image, place));
    this.figure.dataset.step = this.story.sprites.frames[frame].step ?? "";
  }
}

function grouped(classes) {
  const groups = new Map();
  classes.forEach((label, place) => groups.set(label, [...(groups.get(label) ?? []), place]));
  return groups;
}
