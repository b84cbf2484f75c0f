/* What appears beside an image that is pointed at, focused or tapped: it, before and now, and its
   labels as bars. */

const MOST_BARS = 12;

class Detail {
  constructor(box, control) {
    this.box = box;
    this.control = control;
    this.panel = null;
    this.place = null;
    this.hiding = 0;
    box.addEventListener("pointerenter", () => clearTimeout(this.hiding));
    // a finger leaves whenever it is lifted
    box.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && this.hideSoon());
    addEventListener("keydown", (event) => event.key === "Escape" && this.hide());
    addEventListener("pointerdown", (event) => {
      if (!event.target.closest?.(".tile button, #detail")) this.hide();
    });
    addEventListener("resize", () => this.hide());
    addEventListener("scroll", () => this.position(), { passive: true });
  }

  watch(panel) {
    const place = (event) => event.target.closest(".tile button")?.dataset.place;
    const on = (name, act) =>
      panel.figure.addEventListener(name, (event) => {
        const at = place(event);
        if (at !== undefined) act(Number(at), event);
      });
    on("pointerover", (at, event) => event.pointerType === "mouse" && this.show(panel, at, false));
    on("pointerout", (_, event) => event.pointerType === "mouse" && this.hideSoon());
    on("focusin", (at) => this.show(panel, at, true));
    // what is clicked in the box takes the focus from its image
    on("focusout", () => this.box.matches(":hover") || this.hideSoon());
    on("click", (at) => this.show(panel, at, true)); // not every browser focuses what is tapped
  }

  /* A box that is not held lets the pointer through, to the images that it lies over. */
  show(panel, place, held) {
    clearTimeout(this.hiding);
    this.unmark();
    [this.panel, this.place] = [panel, place];
    const button = panel.buttons[place];
    button.classList.add("shown");
    button.setAttribute("aria-describedby", this.box.id);
    this.fill();
    this.box.classList.toggle("held", held);
    this.box.hidden = false;
    this.position();
  }

  hideSoon() {
    clearTimeout(this.hiding);
    this.hiding = setTimeout(() => this.hide(), 150);
  }

  hide() {
    this.unmark();
    this.panel = null;
    this.box.hidden = true;
  }

  unmark() {
    const button = this.panel?.buttons[this.place];
    button?.classList.remove("shown");
    button?.removeAttribute("aria-describedby");
  }

  fill() {
    if (!this.panel) return;
    const { story, frame } = this.panel;
    const { sprites, class_names: names } = story;
    const own = sprites.classes[this.place];
    const row = sprites.rows[this.place] + 1;
    const now = Math.max(frame ?? 0, 0);
    const before = story.has_start ? sprites.frames[0].label(this.place) : null;
    const line = before ? " Line: before." : "";
    this.box.replaceChildren(
      element("p", "title", `Image ${row}, class ${names[own]}`),
      this.pair(story, now),
      ...this.bars(before, sprites.frames[now].label(this.place), own),
      element("p", "note", `Labels are what the image teaches of each class.${line}`),
    );
  }

  pair(story, now) {
    const pair = element("div", "pair");
    for (const frame of new Set([0, now])) {
      const text = frameName(story, frame);
      const half = pair.appendChild(element("div"));
      const canvas = half.appendChild(newCanvas(story));
      canvas.setAttribute("role", "img");
      canvas.setAttribute("aria-label", text);
      half.append(element("span", "", text));
      const place = this.place;
      picture(story, frame).then((image) => drawTile(canvas, story, image, place));
    }
    return pair;
  }

  /* A bar a class, with a line where it was, unless `before` is null. */
  bars(before, now, own) {
    const names = this.panel.story.class_names;
    let shown = [...now.keys()];
    if (shown.length > MOST_BARS) {
      const largest = [...shown].sort((a, b) => Math.abs(now[b]) - Math.abs(now[a]));
      shown = [...new Set([own, ...largest])].slice(0, MOST_BARS).sort((a, b) => a - b);
    }
    const values = shown.flatMap((label) => [before?.[label] ?? 0, now[label]]);
    const least = Math.min(0, ...values);
    const span = Math.max(0, ...values) - least || 1;
    const percent = (value) => `${(100 * (value - least)) / span}%`;
    const list = element("ul");
    const longest = Math.max(...shown.map((label) => names[label].length));
    list.style.setProperty("--names", `${Math.min(1 + 0.5 * longest, 8)}rem`);
    for (const label of shown) {
      const value = now[label];
      const item = list.appendChild(element("li", label === own ? "own" : ""));
      item.append(element("span", "class-name", names[label]));
      const track = item.appendChild(element("span", "track"));
      track.setAttribute("aria-hidden", "true");
      const bar = track.appendChild(element("span", value < 0 ? "bar negative" : "bar"));
      bar.style.left = percent(Math.min(value, 0));
      bar.style.width = `${(100 * Math.abs(value)) / span}%`;
      track.appendChild(element("span", "zero")).style.left = percent(0);
      if (before) track.appendChild(element("span", "was")).style.left = percent(before[label]);
      item.append(element("span", "value", value.toFixed(3).replace("-", "\u2212")));
    }
    if (shown.length === now.length) return [list];
    return [list, element("p", "note", `The ${shown.length} largest of ${now.length} classes.`)];
  }

  /* Beside the image where there is room, else above or below it: never over it, and over the
     control only where the box has no room but there. */
  position() {
    if (!this.panel) return;
    const image = this.panel.buttons[this.place].getBoundingClientRect();
    const { clientWidth: width, clientHeight: height } = document.documentElement;
    const [gap, edge] = [10, 8];
    const ceiling = Math.max(0, this.control.getBoundingClientRect().bottom) + edge;
    this.box.style.maxHeight = `${height - 2 * edge}px`;
    const box = this.box.getBoundingClientRect();
    const within = (value, size, most) => Math.max(edge, Math.min(value, most - size - edge));
    const middle = image.top + image.height / 2 - box.height / 2;
    let left = image.right + gap;
    let top = within(Math.max(middle, ceiling), box.height, height);
    if (left + box.width > width) left = image.left - gap - box.width;
    if (left < 0) {
      left = within(image.left + image.width / 2 - box.width / 2, box.width, width);
      const above = image.top - gap - ceiling;
      const below = height - image.bottom - gap - edge;
      const under = below >= Math.min(box.height, above);
      const room = Math.max(under ? below : above, 120);
      this.box.style.maxHeight = `${room}px`;
      top = under ? image.bottom + gap : image.top - gap - Math.min(box.height, room);
    }
    this.box.style.left = `${left}px`;
    this.box.style.top = `${top}px`;
  }
}
