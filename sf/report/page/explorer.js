// The tree of units and objects beside what is known about the one that is chosen.
//
// The tree holds no more rows than were asked for, however many there are.

const PAGE = 80;

class Explorer {
  constructor(data, plain) {
    this.units = data.units;
    this.left = data.left;
    this.open = new Set();
    this.limit = PAGE;
    this.query = [];
    this.chosen = null;
    for (const unit of this.units) {
      unit.kind = this.kindOf(unit);
      for (const about of [unit, ...unit.objects]) {
        about.words = [about.name, ...(about.reasons || []), ...(about.remarks || [])].join("\n").toLowerCase();
      }
    }
    const kinds = new Set(this.units.map((unit) => unit.kind));
    this.kinds = new Set([...kinds].filter((kind) => kind !== "unchanged" || kinds.size === 1));
    this.root = this.build(kinds);
    plain.replaceWith(this.root);
    this.refresh();
    if (this.units.length) this.choose(data.first, null);
  }

  kindOf(unit) {
    if (unit.quiet) return "unchanged";
    return unit.change === "unchanged" ? "noted" : unit.change;
  }

  build(kinds) {
    this.search = element("input", {
      type: "search", id: "search", autocomplete: "off", spellcheck: "false",
      placeholder: "Search units and objects",
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
    this.detail = new Detail(() => this.focusRow(this.rowOf(this.chosen.unit, null)));
    const finder = element(
      "div", { class: "finder" },
      element("label", { for: "search", class: "unseen" }, "Search units and objects"),
      this.search, this.buildKinds(kinds), this.status,
      element("div", { class: "rows" }, this.tree, this.more),
    );
    return element("div", { class: "explorer" }, finder, this.detail.root);
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
      const row = { unit, object: null, level: 1, at: at + 1, of: found.length };
      this.rows.push({ ...row, open: objects.length ? open : null });
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
      row.object === null && unit.objects.length ? this.count(unit) : null,
    );
  }

  count(unit) {
    const number = unit.objects.length.toLocaleString("en");
    return element("span", { class: "count" }, number, element("span", { class: "unseen" }, " objects"));
  }

  badge(row, unit, about) {
    if (row.object === null && unit.outcome === "failed") {
      return element("span", { class: "badge is-failed" }, "failed");
    }
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
    this.show();
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
    const at = this.rowOf(unit, object);
    this.limit = Math.max(this.limit, at + 1);
    this.choose(unit, object);
    this.root.scrollIntoView({ block: "start" });
    this.focusRow(at);
  }

  show() {
    const unit = this.units[this.chosen.unit];
    this.detail.show(unit, this.chosen.object === null ? null : unit.objects[this.chosen.object]);
  }

  rowOf(unit, object) {
    return this.rows.findIndex((row) => row.unit === unit && row.object === object);
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
      this.show();
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
    this.focusRow(this.rowOf(row.unit, row.object));
  }

  onKey(event) {
    const at = this.positionOf(event.target.closest("li"));
    if (at < 0 || event.ctrlKey || event.altKey || event.metaKey) return;
    const row = this.rows[at];
    const parent = this.rowOf(row.unit, null);
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
      Enter: () => this.detail.root.focus(),
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
    const { unit, object } = this.chosen;
    // A unit stands before its first object.
    const order = ([one, other]) => one - unit || other - (object === null ? -0.5 : object);
    const after = all.findIndex((pair) => order(pair) > 0);
    const before = all.filter((pair) => order(pair) < 0).length - 1;
    const next = all[direction > 0 ? after : before];
    if (!next) return;
    this.toggle(next[0], true);
    this.focusRow(this.rowOf(...next));
  }
}
