#!/usr/bin/env python3
"""figures_stream.py REPORT.json FOLDER: the figures of docs/streaming.md, drawn from what `conure bench --stream --json` printed.

The same report gives the same bytes.  Python's standard library only.
"""
import json
import pathlib
import sys
from xml.sax.saxutils import escape

INK, GREY, LINE = "#1f2933", "#6b7785", "#d5dbe1"
LEFT, CHUNK, RIGHT = "#c3d3e3", "#2f6690", "#f0b95a"
WIDTH = 760


class Figure:
    def __init__(self, height, title):
        self.height, self.items = height, []
        self.title = title
        self.text(20, 28, title, size=15, weight="600")

    def text(self, x, y, text, size=12, anchor="start", colour=INK, weight="400"):
        self.items.append('<text x="%.1f" y="%.1f" font-size="%d" text-anchor="%s" fill="%s" font-weight="%s">%s</text>' % (
            x, y, size, anchor, colour, weight, escape(text)))

    def box(self, x, y, width, height, colour, stroke="none"):
        self.items.append('<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="%s" stroke="%s"/>' % (x, y, width, height, colour, stroke))

    def line(self, x1, y1, x2, y2, colour=LINE, width=1.0, dash=""):
        self.items.append('<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="%s" stroke-width="%.1f"%s/>' % (
            x1, y1, x2, y2, colour, width, ' stroke-dasharray="%s"' % dash if dash else ""))

    def key(self, x, y, entries):
        for colour, text in entries:
            self.box(x, y - 10, 12, 12, colour)
            self.text(x + 18, y, text, colour=GREY)
            x += 34 + 6.5 * len(text)

    def save(self, path):
        head = ('<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img" '
                'font-family="Helvetica, Arial, sans-serif">\n<title>%s</title>\n<rect width="%d" height="%d" fill="#ffffff"/>\n' % (
                    WIDTH, self.height, WIDTH, self.height, escape(self.title), WIDTH, self.height))
        path.write_text(head + "\n".join(self.items) + "\n</svg>\n", encoding="utf-8")


def find(rows, name, mode):
    for row in rows:
        if (row["name"], row["mode"]) == (name, mode):
            return row
    sys.exit("figures_stream.py: the report has no row '%s' of mode %s" % (name, mode))


def label(row):
    return "%s, %s" % (row["name"], row["mode"])


def windows(rows, path):
    """What each step encodes, in both modes, over the time of the audio."""
    buffered, cache = find(rows, "live", "buffered"), find(rows, "live", "cache")
    n, top, step = 8, 84, 15
    left, chunk, right = buffered["left_s"], buffered["chunk_s"], buffered["right_s"]
    end = n * chunk + right
    x0, scale = 150, (WIDTH - 180) / end
    fig = Figure(2 * (n * step + 62) + 84, "What each step encodes: left %g s, chunk %g s, right %g s" % (left, chunk, right))
    fig.key(20, 54, ((LEFT, "left: encoded again, dropped"), (CHUNK, "chunk: becomes final"), (RIGHT, "right: waited for, tentative")))
    for name, row, y in (("buffered", buffered, top), ("cache", cache, top + n * step + 62)):
        fig.text(20, y + 12, name, weight="600")
        fig.text(20, y + 30, "encodes %.1f times" % row["amplification"], colour=GREY)
        fig.text(20, y + 46, "what it hears", colour=GREY)
        for second in range(0, int(end) + 1, 2):
            x = x0 + second * scale
            fig.line(x, y - 4, x, y + n * step + 2)
            fig.text(x, y + n * step + 16, "%d s" % second, size=11, anchor="middle", colour=GREY)
        for i in range(n):
            begin, at = i * row["chunk_s"], y + i * step
            if name == "buffered":
                old = min(begin, left)
                fig.box(x0 + (begin - old) * scale, at, old * scale, step - 4, LEFT)
            else:  # keys and values of the left context are kept, not computed
                old = min(begin, left)
                if old:
                    fig.line(x0 + (begin - old) * scale, at + 5.5, x0 + begin * scale, at + 5.5, LEFT, 2, "3 3")
            fig.box(x0 + begin * scale, at, row["chunk_s"] * scale, step - 4, CHUNK)
            fig.box(x0 + (begin + row["chunk_s"]) * scale, at, row["right_s"] * scale, step - 4, RIGHT)
    fig.text(20, fig.height - 14, "A row is a step. Dashed: keys and values kept from earlier steps. The last step of a stream takes what is left.",
             size=11, colour=GREY)
    fig.save(path)


def axis(fig, x0, width, y0, y1, top, unit):
    """Round ticks, at most seven, up to `top`; returns pixels a unit."""
    step = next(s * 10.0 ** e for e in range(-3, 5) for s in (1, 2, 5) if s * 10.0 ** e * 6.5 >= top)
    scale = width / top
    for i in range(int(top / step) + 1):
        x = x0 + i * step * scale
        fig.line(x, y0, x, y1)
        fig.text(x, y1 + 15, "%g%s" % (i * step, unit), size=11, anchor="middle", colour=GREY)
    return scale


def delays(rows, path):
    """Audio heard from the end of a word to its final text: half of the words, 95 of 100, and what the session promises."""
    height, y0, x0 = 26, 70, 150
    fig = Figure(y0 + height * len(rows) + 30, "Audio heard from the end of a word to its final text")
    fig.key(20, 54, ((CHUNK, "half of the words"), (RIGHT, "95 of 100"), (INK, "what the session tells: chunk and right context")))
    scale = axis(fig, x0, WIDTH - x0 - 110, y0 - 4, y0 + height * len(rows), max(r["latency_s"] for r in rows), " s")
    for i, row in enumerate(rows):
        y, word = y0 + i * height, row["word_to_text_audio"]
        fig.text(20, y + 15, label(row))
        fig.box(x0, y + 3, word["p95_s"] * scale, 16, RIGHT)
        fig.box(x0, y + 3, word["p50_s"] * scale, 16, CHUNK)
        fig.line(x0 + row["latency_s"] * scale, y, x0 + row["latency_s"] * scale, y + 22, INK, 2)
        fig.text(x0 + row["latency_s"] * scale + 8, y + 15, "%.2f, %.2f s" % (word["p50_s"], word["p95_s"]), size=11, colour=GREY)
    fig.save(path)


def sessions(rows, path):
    """Live sessions that a core's time does for."""
    height, y0, x0 = 34, 70, 150
    fig = Figure(y0 + height * len(rows) + 30, "Live sessions per core, by processor time")
    fig.key(20, 54, ((CHUNK, "each alone"), (RIGHT, "in batches of the scheduler")))
    scale = axis(fig, x0, WIDTH - x0 - 60, y0 - 4, y0 + height * len(rows),
                 max(max(r[k]["sessions_per_core"] for k in ("alone", "batched")) for r in rows), "")
    for i, row in enumerate(rows):
        y = y0 + i * height
        fig.text(20, y + 19, label(row))
        for key, colour, at in (("alone", CHUNK, 2), ("batched", RIGHT, 15)):
            value = row[key]["sessions_per_core"]
            fig.box(x0, y + at, value * scale, 11, colour)
            fig.text(x0 + value * scale + 6, y + at + 10, "%.1f" % value, size=11, colour=GREY)
    fig.save(path)


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__.splitlines()[0])
    rows = json.loads(pathlib.Path(sys.argv[1]).read_text(encoding="utf-8"))["stream"]["rows"]
    folder = pathlib.Path(sys.argv[2])
    windows(rows, folder / "stream-windows.svg")
    delays(rows, folder / "stream-delays.svg")
    sessions(rows, folder / "stream-sessions.svg")


if __name__ == "__main__":
    main()
