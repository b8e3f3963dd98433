// The tree of units and objects beside what is known about the one that is chosen.
//
// The tree holds no more rows than were asked for, however many there are.

const PAGE = 100;
const MOST_LINES = 400;
const MOST_OBJECTS = 40;
const GLANCE_LINES = 20;
const SYMBOLS = { add: "+", change: "~", remove: "-", unchanged: "=", unknown: "?", noted: "!" };
const WIDE = window.matchMedia("(min-width: 75rem)");

function remembered(key, value) {
  // A browser may keep nothing for a file that was opened from a disk.
  try {
    if (value !== undefined) localStorage.setItem(`sf.${key}`, value);
    return localStorage.getItem(`sf.${key}`);
  } catch {
    return null;
  }
}

function plural(number, noun) {
  return `${number.toLocaleString("en")} ${noun}${number === 1 ? "" : "s"}`;
}

function mark(kind) {
  return element("span", { class: `mark is-${kind}` }, SYMBOLS[kind]);
}

class Explorer {
  constructor(data, plain) {
    this.units = data.units;
    this.left = data.left;
    this.open = new Set();
    this.limit = PAGE;
    this.query = [];
    this.chosen = null;
    this.split = remembered("view") !== "unified";
    for (const unit of this.units) {
      unit.kind = this.kindOf(unit);
      unit.words = [unit.name, ...(unit.reasons || []), ...(unit.remarks || [])].join("\n").toLowerCase();
      for (const object of unit.objects) object.words = `${object.name}\n${(object.reasons || []).join("\n")}`.toLowerCase();
    }
    const kinds = new Set(this.units.map((unit) => unit.kind));
    this.kinds = new Set([...kinds].filter((kind) => kind !== "unchanged" || kinds.size === 1));
    this.root = this.build(kinds);
    plain.replaceWith(this.root);
    this.refresh();
    if (this.units.length) this.choose(data.first, null);
    WIDE.addEventListener("change", () => this.showDetail());
  }

  kindOf(unit) {
    if (unit.quiet) return "unchanged";
    return unit.change === "unchanged" ? "noted" : unit.change;
  }

  build(kinds) {
    this.search = element("input", {
      type: "search", id: "search", autocomplete: "off", spellcheck: "false", placeholder: "Search units and objects",
    });
    this.search.addEventListener("input", () => {
      this.query = this.search.value.toLowerCase().split(/\s+/).filter(Boolean);
      this.limit = PAGE;
      this.refresh();
    });
    this.search.addEventListener("keydown", (event) => {
      if (event.key === "ArrowDown") {
        event.preventDefault();
        this.focusRow(0);
      }
    });
    this.status = element("p", { role: "status", class: "quiet" });
    this.tree = element("ul", { role: "tree", "aria-label": "Units and objects" });
    this.tree.addEventListener("keydown", (event) => this.onKey(event));
    this.tree.addEventListener("click", (event) => this.onClick(event));
    this.more = element("button", { type: "button", hidden: true });
    this.more.addEventListener("click", () => {
      const next = this.limit;
      this.limit += PAGE;
      this.refresh();
      this.focusRow(next);
    });
    this.detail = element("div", { class: "detail", role: "region", "aria-label": "Chosen unit or object", tabindex: "-1" });
    const finder = element(
      "div", { class: "finder" },
      element("label", { for: "search", class: "unseen" }, "Search units and objects"),
      this.search, this.buildKinds(kinds), this.status,
      element("div", { class: "rows" }, this.tree, this.more),
    );
    return element("div", { class: "explorer" }, finder, this.detail);
  }

  buildKinds(kinds) {
    const boxes = Object.keys(SYMBOLS).filter((kind) => kinds.has(kind)).map((kind) => {
      const box = element("input", { type: "checkbox", checked: this.kinds.has(kind) });
      box.addEventListener("change", () => {
        if (box.checked) this.kinds.add(kind);
        else this.kinds.delete(kind);
        this.limit = PAGE;
        this.refresh();
      });
      const number = this.units.filter((unit) => unit.kind === kind).length;
      return element("label", null, box, `${kind} (${number.toLocaleString("en")})`);
    });
    return element("fieldset", { class: "kinds" }, element("legend", { class: "unseen" }, "Units to show"), boxes);
  }

  // -> what the search and the boxes leave: [{unit, objects}], numbers into this.units and into their objects.
  matches() {
    const says = (words) => this.query.every((word) => words.includes(word));
    const found = [];
    this.units.forEach((unit, at) => {
      if (!this.kinds.has(unit.kind)) return;
      const all = unit.objects.map((_, object) => object);
      if (says(unit.words)) found.push({ unit: at, objects: all });
      else {
        const objects = all.filter((object) => says(`${unit.words}\n${unit.objects[object].words}`));
        if (objects.length) found.push({ unit: at, objects, because: true });
      }
    });
    return found;
  }

  refresh() {
    const found = this.matches();
    this.rows = [];
    found.forEach(({ unit, objects, because }, at) => {
      const open = this.open.has(unit) || Boolean(because && !this.open.has(~unit));
      this.rows.push({ unit, object: null, level: 1, at: at + 1, of: found.length, open: objects.length ? open : null });
      if (!open) return;
      objects.forEach((object, within) => {
        this.rows.push({ unit, object, level: 2, at: within + 1, of: objects.length, open: null });
      });
    });
    const objects = found.reduce((sum, match) => sum + match.objects.length, 0);
    this.status.textContent = found.length
      ? `${plural(found.length, "unit")}, ${plural(objects, "object")}${this.beyond()}`
      : `Nothing matches${this.beyond()}`;
    this.draw();
  }

  beyond() {
    return this.left.units ? `; ${plural(this.left.units, "more unit")} left out: see plan.json` : "";
  }

  draw() {
    const shown = this.rows.slice(0, this.limit);
    const active = Math.max(shown.findIndex((row) => this.isChosen(row)), 0);
    this.tree.replaceChildren(...shown.map((row, at) => this.drawRow(row, at === active)));
    const left = this.rows.length - shown.length;
    this.more.hidden = left <= 0;
    this.more.textContent = `Show ${Math.min(left, PAGE)} more of ${left.toLocaleString("en")}`;
  }

  drawRow(row, active) {
    const unit = this.units[row.unit];
    const about = row.object === null ? unit : unit.objects[row.object];
    const kind = row.object === null ? unit.kind : about.change;
    return element(
      "li",
      {
        role: "treeitem", tabindex: active ? "0" : "-1",
        "aria-level": row.level, "aria-posinset": row.at, "aria-setsize": row.of,
        "aria-expanded": row.open === null ? null : String(row.open),
        "aria-selected": String(this.isChosen(row)),
      },
      mark(kind), element("span", { class: "unseen" }, ` ${kind} `),
      element("code", null, about.name),
      this.badge(row, unit, about),
      row.object === null && unit.objects.length
        ? element("span", { class: "count" }, String(unit.objects.length), element("span", { class: "unseen" }, " objects"))
        : null,
    );
  }

  badge(row, unit, about) {
    if (row.object === null && unit.outcome === "failed") return element("span", { class: "badge is-failed" }, "failed");
    const inside = row.object === null ? unit.objects.flatMap((object) => object.alarms || []) : [];
    const [alarm] = [...(about.alarms || []), ...inside];
    return alarm ? element("span", { class: `badge is-${alarm[0]}` }, alarm[0]) : null;
  }

  isChosen(row) {
    return this.chosen !== null && row.unit === this.chosen.unit && row.object === this.chosen.object;
  }

  // Show a unit, or one object of it, in the tree and beside it.
  choose(unit, object) {
    this.chosen = { unit, object };
    if (object !== null) this.toggle(unit, true);
    else this.draw();
    this.showDetail();
  }

  // Have a row for what was chosen from elsewhere on the page, whatever is searched for.
  reveal(unit, object) {
    this.search.value = "";
    this.query = [];
    this.kinds.add(this.units[unit].kind);
    for (const box of this.root.querySelectorAll(".kinds label")) {
      if (box.textContent.startsWith(`${this.units[unit].kind} `)) box.firstChild.checked = true;
    }
    if (object !== null) this.open.add(unit);
    this.refresh();
    const at = this.rows.findIndex((row) => row.unit === unit && row.object === object);
    this.limit = Math.max(this.limit, at + 1);
    this.choose(unit, object);
    this.root.scrollIntoView({ block: "start" });
    this.focusRow(at);
  }

  toggle(unit, open) {
    this.open.delete(open ? ~unit : unit);
    this.open.add(open ? unit : ~unit);
    this.refresh();
  }

  focusRow(at) {
    if (at < 0 || at >= this.rows.length) return;
    if (at >= this.limit) {
      this.limit = at + PAGE;
      this.draw();
    }
    const row = this.rows[at];
    if (!this.isChosen(row)) {
      this.chosen = { unit: row.unit, object: row.object };
      this.draw();
      this.showDetail();
    }
    const item = this.tree.children[at];
    item.focus();
    item.scrollIntoView({ block: "nearest" });
  }

  positionOf(item) {
    return [...this.tree.children].indexOf(item);
  }

  onClick(event) {
    const item = event.target.closest("li");
    if (!item) return;
    const at = this.positionOf(item);
    const row = this.rows[at];
    const again = this.isChosen(row);
    if (row.open !== null && (again || !row.open)) this.toggle(row.unit, !row.open);
    this.focusRow(this.rows.findIndex((one) => one.unit === row.unit && one.object === row.object));
  }

  onKey(event) {
    const at = this.positionOf(event.target.closest("li"));
    if (at < 0 || event.ctrlKey || event.altKey || event.metaKey) return;
    const row = this.rows[at];
    const parent = this.rows.findIndex((one) => one.unit === row.unit && one.object === null);
    const moves = {
      ArrowDown: () => this.focusRow(at + 1),
      ArrowUp: () => this.focusRow(at - 1),
      Home: () => this.focusRow(0),
      End: () => this.focusRow(Math.min(this.rows.length, this.limit) - 1),
      ArrowRight: () => {
        if (row.open === false) this.expand(row, true, at);
        else if (row.open) this.focusRow(at + 1);
      },
      ArrowLeft: () => {
        if (row.open) this.expand(row, false, at);
        else if (row.object !== null) this.focusRow(parent);
      },
      Enter: () => this.detail.focus(),
      " ": () => {
        if (row.open !== null) this.expand(row, !row.open, at);
      },
    };
    const move = moves[event.key];
    if (!move) return;
    event.preventDefault();
    event.stopPropagation();
    move();
  }

  expand(row, open, at) {
    this.toggle(row.unit, open);
    this.focusRow(at);
  }

  // The next or the previous changed object of the whole tree, wherever its unit is.
  step(direction) {
    const all = this.matches().flatMap(({ unit, objects }) => objects.map((object) => [unit, object]));
    if (!all.length) return;
    const { unit, object } = this.chosen || { unit: -1, object: null };
    const here = object === null ? -0.5 : 0;
    const order = ([one, two]) => (one - unit) || (two - (object === null ? 0 : object) - here);
    const after = all.findIndex((pair) => order(pair) > 0);
    const before = all.filter((pair) => order(pair) < 0).length - 1;
    const next = all[direction > 0 ? after : before];
    if (!next) return;
    this.toggle(next[0], true);
    this.focusRow(this.rows.findIndex((row) => row.unit === next[0] && row.object === next[1]));
  }

  setView(split) {
    this.split = split;
    remembered("view", split ? "split" : "unified");
    this.showDetail();
  }

  showDetail() {
    if (!this.chosen) return;
    const unit = this.units[this.chosen.unit];
    const { object } = this.chosen;
    this.detail.replaceChildren(
      ...(object === null ? this.unitDetail(unit) : this.objectDetail(unit, unit.objects[object])),
    );
  }

  detailBar(about, kind) {
    const view = (split, title) => {
      const input = element("input", { type: "radio", name: "view", checked: this.split === split });
      input.addEventListener("change", () => {
        this.setView(split);
        this.detail.querySelector(".views :checked").focus();
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
    const facts = [unit.tally, unit.wave === null ? "" : `wave ${unit.wave}`, unit.ending].filter(Boolean).join(" · ");
    const waits = unit.after ? element("p", null, "Waits for ", unit.after.map((name, at) => [at ? ", " : "", element("code", null, name)]).flat()) : null;
    const list = element("div");
    const fill = (from) => {
      list.append(...unit.objects.slice(from, from + MOST_OBJECTS).map((object) => this.objectCard(object)));
      const left = unit.objects.length - from - MOST_OBJECTS;
      if (left > 0) list.append(this.moreButton(`Show ${Math.min(left, MOST_OBJECTS)} more of ${plural(left, "object")}`, () => fill(from + MOST_OBJECTS)));
    };
    this.glances = MOST_LINES / 4;
    fill(0);
    return [
      this.detailBar(unit, unit.kind), element("p", { class: "quiet" }, facts), this.alarms(unit),
      unit.message ? element("p", null, unit.message) : null, this.reasons(unit), waits, list,
    ].filter(Boolean);
  }

  objectCard(object) {
    const lines = object.diff ? object.diff.split("\n").length : 0;
    const glance = (object.alarms || lines <= GLANCE_LINES) && lines <= this.glances;
    if (glance) this.glances -= lines;
    const card = element(
      "details", { open: Boolean(glance) },
      element("summary", null, mark(object.change), ` ${object.change} `, element("code", null, object.name), object.running ? " as it runs" : ""),
    );
    const fill = () => card.childElementCount === 1 && card.append(...this.about(object));
    if (glance) fill();
    card.addEventListener("toggle", fill);
    return card;
  }

  objectDetail(unit, object) {
    const up = element("button", { type: "button", class: "link" }, unit.name);
    up.addEventListener("click", () => this.focusRow(this.rows.findIndex((row) => row.unit === this.chosen.unit && row.object === null)));
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
    return told.length ? element("ul", { class: "reasons" }, told.map((sentence) => element("li", null, sentence))) : null;
  }

  diff(object) {
    if (object.left) return [element("p", { class: "quiet" }, "The diff was left out, so that this page stays small: see plan.json.")];
    if (!object.diff) return object.reasons ? [] : [element("p", { class: "quiet" }, "There is no diff to show.")];
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
