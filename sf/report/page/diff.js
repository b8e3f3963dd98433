// A unified diff as a table: its lines numbered, those that replace each other beside each other, and in them
// the words that differ.

// Beyond these products of two lengths comparing costs more than it shows.
const MOST_LINE_PAIRS = 4000;
const MOST_WORD_PAIRS = 40000;
const LEAST_ALIKE = 0.35;

// -> [{kind: "hunk" | "same" | "removed" | "added", before, after, text}], line numbers 0 where unknown.
function parseDiff(text) {
  const rows = [];
  let before = 0;
  let after = 0;
  for (const line of text.replace(/\n$/, "").split("\n")) {
    const hunk = /^@@ -(\d+)(?:,\d+)? \+(\d+)(?:,\d+)? @@/.exec(line);
    if (hunk) {
      before = Number(hunk[1]);
      after = Number(hunk[2]);
      rows.push({ kind: "hunk", text: line });
    } else if (line.startsWith("-")) {
      rows.push({ kind: "removed", before: before && before++, text: line.slice(1) });
    } else if (line.startsWith("+")) {
      rows.push({ kind: "added", after: after && after++, text: line.slice(1) });
    } else if (line.startsWith("\\")) {
      rows.push({ kind: "hunk", text: line });
    } else {
      const text = line.replace(/^ /, "");
      rows.push({ kind: "same", before: before && before++, after: after && after++, text });
    }
  }
  return rows;
}

// -> [[left, right]]: a row of each side, or null where it has none. A hunk's title is on both.
function pairRows(rows) {
  const pairs = [];
  for (let at = 0; at < rows.length; ) {
    if (rows[at].kind === "hunk" || rows[at].kind === "same") {
      pairs.push([rows[at], rows[at]]);
      at += 1;
      continue;
    }
    const removed = [];
    const added = [];
    for (; at < rows.length && rows[at].kind === "removed"; at += 1) removed.push(rows[at]);
    for (; at < rows.length && rows[at].kind === "added"; at += 1) added.push(rows[at]);
    pairs.push(...align(removed, added));
  }
  return pairs;
}

function align(removed, added) {
  if (removed.length * added.length > MOST_LINE_PAIRS) {
    const longer = Math.max(removed.length, added.length);
    return Array.from({ length: longer }, (_, at) => [removed[at] || null, added[at] || null]);
  }
  // best[i][j]: the most likeness that removed[i..] and added[j..] can have in this order.
  const best = Array.from({ length: removed.length + 1 }, () => new Float64Array(added.length + 1));
  const alike = removed.map((one) => added.map((other) => likeness(one.text, other.text)));
  for (let i = removed.length - 1; i >= 0; i -= 1) {
    for (let j = added.length - 1; j >= 0; j -= 1) {
      const paired = alike[i][j] >= LEAST_ALIKE ? alike[i][j] + best[i + 1][j + 1] : 0;
      best[i][j] = Math.max(paired, best[i + 1][j], best[i][j + 1]);
    }
  }
  const pairs = [];
  let i = 0;
  let j = 0;
  while (i < removed.length || j < added.length) {
    const together = i < removed.length && j < added.length && alike[i][j] >= LEAST_ALIKE;
    if (together && best[i][j] === alike[i][j] + best[i + 1][j + 1]) pairs.push([removed[i++], added[j++]]);
    else if (i < removed.length && best[i][j] === best[i + 1][j]) pairs.push([removed[i++], null]);
    else pairs.push([null, added[j++]]);
  }
  return pairs;
}

function words(text) {
  return text.match(/[\p{L}\p{N}_]+|\s+|[^\p{L}\p{N}_\s]/gu) || [];
}

// The share of words, blanks apart, that two lines have in common: 0 to 1.
function likeness(one, other) {
  const left = words(one).filter((word) => word.trim());
  const right = words(other).filter((word) => word.trim());
  if (!left.length || !right.length) return 0;
  const counts = new Map();
  for (const word of left) counts.set(word, (counts.get(word) || 0) + 1);
  let shared = 0;
  for (const word of right) {
    if (counts.get(word)) {
      counts.set(word, counts.get(word) - 1);
      shared += 1;
    }
  }
  return (2 * shared) / (left.length + right.length);
}

// -> [parts of one, parts of other]; a part is [text, whether it differs].
function compareWords(one, other) {
  const left = words(one);
  const right = words(other);
  let start = 0;
  while (start < left.length && start < right.length && left[start] === right[start]) start += 1;
  let end = 0;
  while (
    end < left.length - start &&
    end < right.length - start &&
    left[left.length - 1 - end] === right[right.length - 1 - end]
  ) {
    end += 1;
  }
  const middle = (all) => all.slice(start, all.length - end);
  const [keptLeft, keptRight] = commonWords(middle(left), middle(right));
  const parts = (all, kept) => {
    const merged = [];
    all.forEach((word, at) => {
      const differs = at >= start && at < all.length - end && !kept.has(at - start);
      const last = merged[merged.length - 1];
      if (last && last[1] === differs) last[0] += word;
      else merged.push([word, differs]);
    });
    return merged;
  };
  return [parts(left, keptLeft), parts(right, keptRight)];
}

// The positions in each of two lists of words that belong to a longest common subsequence.
function commonWords(left, right) {
  const kept = [new Set(), new Set()];
  if (!left.length || !right.length || left.length * right.length > MOST_WORD_PAIRS) return kept;
  const length = Array.from({ length: left.length + 1 }, () => new Uint16Array(right.length + 1));
  for (let i = left.length - 1; i >= 0; i -= 1) {
    for (let j = right.length - 1; j >= 0; j -= 1) {
      const longer = Math.max(length[i + 1][j], length[i][j + 1]);
      length[i][j] = left[i] === right[j] ? length[i + 1][j + 1] + 1 : longer;
    }
  }
  for (let i = 0, j = 0; i < left.length && j < right.length; ) {
    if (left[i] === right[j]) {
      kept[0].add(i++);
      kept[1].add(j++);
    } else if (length[i + 1][j] >= length[i][j + 1]) i += 1;
    else j += 1;
  }
  return kept;
}

const SIGNS = { removed: "−", added: "+", same: "" };
const MEANINGS = { removed: "del", added: "ins" };

function textCell(row, parts) {
  if (!row) return element("td", { class: "void" });
  const shown = parts || [[row.text, false]];
  const tag = MEANINGS[row.kind];
  return element(
    "td",
    { class: row.kind },
    shown.map(([text, differs]) => (differs && tag ? element(tag, null, text) : text)),
  );
}

function side(row, number, parts, first) {
  const shade = row ? row.kind : "void";
  return [
    element("td", { class: `number ${shade} ${first}` }, row && row[number] ? String(row[number]) : ""),
    element("td", { class: `sign ${shade}` }, row ? SIGNS[row.kind] : ""),
    textCell(row, parts),
  ];
}

function hunkRow(row, columns) {
  return element("tr", null, element("td", { class: "hunk", colspan: columns }, row.text));
}

function splitRows(pairs) {
  return pairs.map(([left, right]) => {
    if (left && left.kind === "hunk") return hunkRow(left, 6);
    const replaced = left && right && left.kind === "removed";
    const [one, other] = replaced ? compareWords(left.text, right.text) : [];
    return element("tr", null, side(left, "before", one, ""), side(right, "after", other, "split"));
  });
}

function unifiedRow(row, parts) {
  return element(
    "tr",
    null,
    element("td", { class: `number ${row.kind}` }, row.before ? String(row.before) : ""),
    element("td", { class: `number ${row.kind}` }, row.after ? String(row.after) : ""),
    element("td", { class: `sign ${row.kind}` }, SIGNS[row.kind]),
    textCell(row, parts),
  );
}

function unifiedRows(pairs) {
  const rows = [];
  let added = [];
  const flush = () => {
    rows.push(...added);
    added = [];
  };
  for (const [left, right] of pairs) {
    if (left && left.kind === "hunk") {
      flush();
      rows.push(hunkRow(left, 4));
    } else if (left && left === right) {
      flush();
      rows.push(unifiedRow(left));
    } else {
      const [one, other] = left && right ? compareWords(left.text, right.text) : [];
      if (left) rows.push(unifiedRow(left, one));
      if (right) added.push(unifiedRow(right, other));
    }
  }
  flush();
  return rows;
}

function diffTable(pairs, split, label) {
  const columns = split ? ["number", "sign", "", "number", "sign", ""] : ["number", "number", "sign", ""];
  const titles = split
    ? ["Line before", "Removed", "Text before", "Line after", "Added", "Text after"]
    : ["Line before", "Line after", "Removed or added", "Text"];
  const heads = titles.map((title) => element("th", { scope: "col" }, title));
  return element(
    "table",
    { class: "diff" },
    element("caption", { class: "unseen" }, label),
    element("colgroup", null, columns.map((name) => element("col", { class: name || null }))),
    element("thead", { class: "unseen" }, element("tr", null, heads)),
    element("tbody", null, split ? splitRows(pairs) : unifiedRows(pairs)),
  );
}
