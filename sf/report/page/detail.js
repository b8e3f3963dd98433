// What is known about the unit or object that is chosen in the tree.

const MOST_LINES = 400;
const MOST_OBJECTS = 25;
const GLANCE_LINES = 20;
const MOST_GLANCE_LINES = 60;
const WIDE = window.matchMedia("(min-width: 75rem)");

class Detail {
  // `goToUnit` is called to show the unit of the object that is shown.
  constructor(goToUnit) {
    this.goToUnit = goToUnit;
    this.split = remembered("view") !== "unified";
    this.root = element("div", {
      class: "detail", role: "region", "aria-label": "Chosen unit or object", tabindex: "-1",
    });
    WIDE.addEventListener("change", () => this.draw());
  }

  show(unit, object) {
    this.unit = unit;
    this.object = object;
    this.draw();
  }

  setView(split) {
    this.split = split;
    remembered("view", split ? "split" : "unified");
    this.draw();
  }

  draw() {
    if (!this.unit) return;
    this.root.replaceChildren(...(this.object ? this.objectDetail(this.object) : this.unitDetail(this.unit)));
  }

  detailBar(about, kind) {
    const view = (split, title) => {
      const input = element("input", { type: "radio", name: "view", checked: this.split === split });
      input.addEventListener("change", () => {
        this.setView(split);
        this.root.querySelector(".views :checked").focus();
      });
      return element("label", null, input, title);
    };
    const views = element(
      "fieldset", { class: "views" },
      element("legend", { class: "unseen" }, "Diffs"), view(true, "Side by side"), view(false, "Unified"),
    );
    const title = element("h3", null, mark(kind), ` ${kind} `, element("code", null, about.name));
    return element("div", { class: "detailbar" }, title, WIDE.matches ? views : null);
  }

  unitDetail(unit) {
    const facts = [unit.tally, unit.wave === null ? "" : `wave ${unit.wave}`, unit.ending].filter(Boolean);
    const before = (unit.after || []).flatMap((name, at) => [at ? ", " : "", element("code", null, name)]);
    const list = element("div");
    const fill = (from) => {
      list.append(...unit.objects.slice(from, from + MOST_OBJECTS).map((object) => this.objectCard(object)));
      const left = unit.objects.length - from - MOST_OBJECTS;
      if (left <= 0) return;
      const title = `Show ${Math.min(left, MOST_OBJECTS)} more of ${plural(left, "object")}`;
      list.append(this.moreButton(title, () => fill(from + MOST_OBJECTS)));
    };
    this.glances = MOST_GLANCE_LINES;
    fill(0);
    return [
      this.detailBar(unit, unit.kind), element("p", { class: "quiet" }, facts.join(" · ")), this.alarms(unit),
      unit.message ? element("p", null, unit.message) : null, this.reasons(unit),
      before.length ? element("p", null, "Waits for ", before) : null, list,
    ].filter(Boolean);
  }

  objectCard(object) {
    const lines = object.diff ? object.diff.split("\n").length : 0;
    const glance = (object.alarms || lines <= GLANCE_LINES) && lines <= this.glances;
    if (glance) this.glances -= lines;
    const card = element(
      "details", { open: Boolean(glance) },
      element(
        "summary", null,
        mark(object.change), ` ${object.change} `, element("code", null, object.name),
        object.running ? " as it runs" : "",
      ),
    );
    const fill = () => card.childElementCount === 1 && card.append(...this.about(object));
    if (glance) fill();
    card.addEventListener("toggle", fill);
    return card;
  }

  objectDetail(object) {
    const up = element("button", { type: "button", class: "link" }, this.unit.name);
    up.addEventListener("click", this.goToUnit);
    return [
      this.detailBar(object, object.change),
      element("p", { class: "quiet" }, "In ", up, object.running ? ", as it runs" : ""),
      ...this.about(object),
    ];
  }

  about(object) {
    return [this.alarms(object), this.reasons(object), ...this.diff(object)].filter(Boolean);
  }

  alarms(about) {
    if (!about.alarms) return null;
    const cards = about.alarms.map(([level, message]) => {
      const label = element("span", { class: "label" }, level[0].toUpperCase() + level.slice(1));
      return element("li", { class: `card is-${level}` }, element("p", null, label, ` ${message}`));
    });
    return element("ul", { class: "cards" }, cards);
  }

  reasons(about) {
    const told = [...(about.reasons || []), ...(about.remarks || [])];
    const items = told.map((sentence) => element("li", null, sentence));
    return items.length ? element("ul", { class: "reasons" }, items) : null;
  }

  diff(object) {
    const say = (sentence) => [element("p", { class: "quiet" }, sentence)];
    if (object.left) return say("The diff was left out, so that this page stays small: see plan.json.");
    if (!object.diff) return object.reasons ? [] : say("There is no diff to show.");
    const pairs = pairRows(parseDiff(object.diff));
    const changed = (kind) => pairs.some((pair) => pair.some((row) => row && row.kind === kind));
    // Half of the room would be empty.
    const oneSided = !changed("removed") || !changed("added");
    const split = this.split && WIDE.matches && !oneSided;
    const label = `What changes in ${object.name}`;
    const shown = [diffTable(pairs.slice(0, MOST_LINES), split, label)];
    const left = pairs.length - MOST_LINES;
    if (left > 0) {
      shown.push(this.moreButton(`Show ${plural(left, "more line")}`, (button) => {
        button.before(diffTable(pairs.slice(MOST_LINES), split, `${label}, continued`));
      }));
    }
    return shown;
  }

  moreButton(title, onClick) {
    const button = element("button", { type: "button" }, title);
    button.addEventListener("click", () => {
      onClick(button);
      const next = button.nextElementSibling || button.previousElementSibling;
      button.remove();
      next.setAttribute("tabindex", "-1");
      next.focus();
    });
    return button;
  }
}
