// What the page can do beyond being read: copy, show the rest of a list, change its colours, be steered by keys.

const KEYS = [
  ["/", "search"],
  ["n p", "next and previous object"],
  ["↑ ↓", "move in the tree"],
  ["→ ←", "open and close a unit"],
  ["Enter", "from the tree to what is chosen"],
  ["s", "side by side or unified"],
  ["t", "light or dark"],
  ["?", "this help"],
];

function isDark() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : window.matchMedia("(prefers-color-scheme: dark)").matches;
}

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  remembered("theme", theme);
}

function addCopyButtons() {
  for (const place of document.querySelectorAll("[data-copy]")) {
    const button = element("button", { type: "button", class: "copy" }, "Copy");
    button.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(place.textContent);
        button.textContent = "Copied";
      } catch {
        window.getSelection().selectAllChildren(place);
        button.textContent = "Selected";
      }
    });
    if (place.tagName === "PRE") place.previousElementSibling.append(button);
    else place.after(button);
  }
}

// The rest of a list waits in a <template> before a sentence that tells how long it is.
function addMoreButtons() {
  for (const sentence of document.querySelectorAll("[data-more]")) {
    const template = sentence.previousElementSibling;
    const button = element("button", { type: "button" }, sentence.dataset.more);
    button.addEventListener("click", () => {
      const first = template.content.firstElementChild;
      template.previousElementSibling.append(template.content);
      sentence.replaceChildren(sentence.dataset.left || "");
      first.setAttribute("tabindex", "-1");
      first.focus();
    });
    sentence.replaceChildren(button);
  }
}

// Names elsewhere on the page lead to the unit or object they are about.
function addLinks(explorer) {
  const places = new Map();
  explorer.units.forEach((unit, at) => {
    unit.objects.forEach((object, within) => {
      if (!places.has(object.name)) places.set(object.name, [at, within]);
    });
  });
  explorer.units.forEach((unit, at) => places.set(unit.name, [at, null]));
  for (const named of document.querySelectorAll("[data-find]")) {
    const place = places.get(named.dataset.find);
    if (!place) continue;
    const go = () => explorer.reveal(...place);
    if (named.tagName === "CODE") {
      const button = element("button", { type: "button", class: "link" }, named.textContent);
      button.addEventListener("click", go);
      named.replaceWith(button);
    } else {
      // For the mouse only: the tree has the same for everybody.
      named.setAttribute("data-go", "");
      named.addEventListener("click", go);
    }
  }
}

function buildHelp() {
  const box = element("input", { type: "checkbox", checked: remembered("keys") !== "off" });
  box.addEventListener("change", () => remembered("keys", box.checked ? "on" : "off"));
  const close = element("button", { type: "button" }, "Close");
  const dialog = element(
    "dialog", { "aria-labelledby": "help-title" },
    element("h2", { id: "help-title" }, "Keys"),
    element("dl", null, KEYS.flatMap(([keys, what]) => [
      element("dt", null, keys.split(" ").flatMap((key) => [element("kbd", null, key), " "])),
      element("dd", null, what),
    ])),
    element("label", null, box, "Use keys that are single characters"),
    close,
  );
  close.addEventListener("click", () => dialog.close());
  document.body.append(dialog);
  return { dialog, areOn: () => box.checked };
}

function addTools(help) {
  const tool = (title, onClick) => {
    const button = element("button", { type: "button" }, title);
    button.addEventListener("click", onClick);
    return button;
  };
  const theme = tool(isDark() ? "Light" : "Dark", () => toggleTheme(theme));
  document.querySelector("header").append(
    element("div", { class: "tools" }, theme, tool("Keys", () => help.dialog.showModal())),
  );
  return theme;
}

function toggleTheme(button) {
  setTheme(isDark() ? "light" : "dark");
  button.textContent = isDark() ? "Light" : "Dark";
}

function listen(explorer, help, theme) {
  const actions = {
    ...(explorer && {
      "/": () => explorer.search.focus(),
      n: () => explorer.step(1),
      p: () => explorer.step(-1),
      s: () => explorer.detail.setView(!explorer.detail.split),
    }),
    t: () => toggleTheme(theme),
    "?": () => help.dialog.showModal(),
  };
  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest("input, dialog");
    if (typing || !help.areOn() || event.ctrlKey || event.altKey || event.metaKey || !actions[event.key]) return;
    event.preventDefault();
    actions[event.key]();
  });
}

// On paper nothing can be opened or searched: there the plain list is in the place of the explorer, unfolded.
function preparePaper(explorer, plain) {
  let folded = [];
  window.addEventListener("beforeprint", () => {
    if (explorer) explorer.root.replaceWith(plain);
    folded = [...document.querySelectorAll("#plain details:not([open]), section > details:not([open])")];
    for (const details of folded) details.open = true;
  });
  window.addEventListener("afterprint", () => {
    for (const details of folded) details.open = false;
    if (explorer) plain.replaceWith(explorer.root);
  });
}

const theme = remembered("theme");
if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
const plain = document.getElementById("plain");
const explorer = plain && new Explorer(JSON.parse(document.getElementById("data").textContent), plain);
const help = buildHelp();
if (explorer) addLinks(explorer);
addCopyButtons();
addMoreButtons();
listen(explorer, help, addTools(help));
preparePaper(explorer, plain);
