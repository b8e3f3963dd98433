"""Pictures of pages: made small, and compared by the browser that made them."""

from __future__ import annotations

import base64
import struct
import zlib
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from toolchain.chromium import Page

_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_PALETTE: Final = 3
# A channel (0 to 255) that is off by no more is the same color, drawn with another edge.
_SAME_COLOR: Final = 40
_PIXELS: Final = """
  const pixels = async (text) => {
    const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
    const bitmap = await createImageBitmap(new Blob([bytes], { type: "image/png" }));
    const context = new OffscreenCanvas(bitmap.width, bitmap.height).getContext("2d");
    context.drawImage(bitmap, 0, 0);
    return context.getImageData(0, 0, bitmap.width, bitmap.height);
  };
"""
_COMPARE: Final = """
(async (one, other, same) => {
  %s
  const [left, right] = [await pixels(one), await pixels(other)];
  let differing = 0;
  for (let at = 0; at < Math.min(left.data.length, right.data.length); at += 4) {
    const off = [0, 1, 2].some((channel) => Math.abs(left.data[at + channel] - right.data[at + channel]) > same);
    if (off) differing += 1;
  }
  return [[left.width, left.height], [right.width, right.height], differing];
})
"""
# The most frequent colors stay as they are; then the one that is farthest from all of those, until there are 256.
# Each other one becomes the nearest of them.
_REDUCE: Final = """
(async (picture) => {
  %s
  const { width, height, data } = await pixels(picture);
  const colors = new Uint32Array(data.buffer);
  const counts = new Map();
  for (const color of colors) counts.set(color, (counts.get(color) || 0) + 1);
  const sorted = [...counts].sort((one, other) => other[1] - one[1] || one[0] - other[0]).map(([color]) => color);
  const channels = (color) => [color & 255, (color >> 8) & 255, (color >> 16) & 255];
  const shades = sorted.map(channels);
  const nearest = sorted.map(() => [Infinity, 0]);
  const palette = [];
  while (palette.length < Math.min(256, sorted.length)) {
    const farthest = nearest.reduce((best, [off], at) => (off > nearest[best][0] ? at : best), 0);
    const added = palette.length < 100 ? palette.length : farthest;
    shades.forEach((shade, at) => {
      const off = shade.reduce((sum, value, channel) => sum + (value - shades[added][channel]) ** 2, 0);
      if (off < nearest[at][0]) nearest[at] = [off, palette.length];
    });
    palette.push(shades[added]);
  }
  const places = new Map(sorted.map((color, at) => [color, nearest[at][1]]));
  let indexes = "";
  for (const color of colors) indexes += String.fromCharCode(places.get(color));
  return [width, height, palette.flat(), btoa(indexes)];
})
"""


class Comparison(NamedTuple):
    """The sizes of two pictures, (width, height), and how many of their pixels differ."""

    one: list[int]
    other: list[int]
    differing: int


def compare(page: Page, one: bytes, other: bytes) -> Comparison:
    """Compare two PNG files. `page` is any page: nothing is shown on it."""
    texts = ", ".join(f'"{base64.b64encode(picture).decode()}"' for picture in (one, other))
    return Comparison(*page.evaluate(f"{_COMPARE % _PIXELS}({texts}, {_SAME_COLOR})"))


def reduced(page: Page, picture: bytes) -> bytes:
    """A PNG file that looks the same in a fraction of the bytes, with a palette of 256 colors."""
    text = base64.b64encode(picture).decode()
    width, height, palette, indexes = page.evaluate(f'{_REDUCE % _PIXELS}("{text}")')
    points = base64.b64decode(indexes)
    # Every row begins with the number of its filter: 0 for none, which suits areas of one color.
    rows = b"".join(b"\0" + points[at : at + width] for at in range(0, len(points), width))
    header = struct.pack(">IIBBBBB", width, height, 8, _PALETTE, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"PLTE", bytes(palette)), (b"IDAT", zlib.compress(rows, 9)), (b"IEND", b"")]
    return _SIGNATURE + b"".join(_chunk(*chunk) for chunk in chunks)


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
