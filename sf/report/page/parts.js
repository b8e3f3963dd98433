// What every part of the page is made of.

const SYMBOLS = { add: "+", change: "~", remove: "-", unchanged: "=", unknown: "?", noted: "!" };

// An element with attributes (true for one without a value; false, null and undefined leave it out) and children.
// Text becomes text, whatever it says.
function element(tag, attributes, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === true) made.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(name, value);
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== ""));
  return made;
}

// What a reader chose is kept for the next page, where the browser allows that for a file opened from a disk.
function remembered(key, value) {
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
