#!/usr/bin/env python3
"""report.py PROGRAM: the pages of report.c through readers of XML, HTML, Markdown's tables and CSV."""
import csv
import html.parser
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree as ET

H = {"cleared": "Yes: cleared", "not_cleared": "No: not cleared", "not_proven": "Not yet: not proven"}


class Tags(html.parser.HTMLParser):
    """Start and end tags as a browser sees them, and the text of the page."""

    def __init__(self, page):
        super().__init__()
        self.open, self.seen, self.wrong, self.words = [], [], [], []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.seen.append((tag, dict(attributes)))
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.seen.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)

    def handle_data(self, words):
        self.words.append(words)


class Pages(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory()
        cls.folder = pathlib.Path(cls.temporary.name)
        subprocess.run([sys.argv[1], str(cls.folder)], check=True, timeout=120, stderr=subprocess.DEVNULL)
        cls.html = {p.stem: p.read_text(encoding="utf-8") for p in cls.folder.glob("*.html")}
        cls.md = {p.stem: p.read_text(encoding="utf-8") for p in cls.folder.glob("*.md")}

    @classmethod
    def tearDownClass(cls):
        cls.temporary.cleanup()

    def test_well_formed(self):
        self.assertEqual(sorted(self.html), ["cleared", "hostile", "not_cleared", "not_proven", "nothing"])
        for name, page in self.html.items():
            root = ET.fromstring(page)
            self.assertEqual((root.tag, root.get("lang")), ("html", "en"), name)
            tags = Tags(page)
            self.assertEqual((tags.open, tags.wrong), ([], []), name)
            self.assertEqual([t for t, _ in tags.seen].count("h1"), 1, name)
            ids = [a["id"] for _, a in tags.seen if "id" in a]
            self.assertEqual(len(ids), len(set(ids)), name)
            self.assertLessEqual({a["href"][1:] for t, a in tags.seen if t == "a"}, set(ids), name)
            levels = [int(t[1]) for t, _ in tags.seen if re.fullmatch("h[1-6]", t)]
            self.assertTrue(all(b <= a + 1 for a, b in zip(levels, levels[1:])), name)

    def test_rows_are_as_wide_as_their_heads(self):
        for name, page in self.html.items():
            for table in ET.fromstring(page).iter("table"):
                heads = table.findall("thead/tr/th")
                self.assertTrue(table.findtext("caption") and all(h.get("scope") == "col" for h in heads), name)
                for row in table.findall("tbody/tr"):
                    self.assertEqual(len(list(row)), len(heads), (name, table.findtext("caption")))

    def test_alone_and_without_scripts(self):
        for name, page in self.html.items():
            tags = Tags(page)
            self.assertFalse({"script", "link", "img", "iframe", "object", "base", "form"} & {t for t, _ in tags.seen}, name)
            for tag, attributes in tags.seen:
                self.assertFalse([a for a in attributes if a.startswith("on") or a in ("src", "srcdoc")], (name, tag))
                self.assertTrue(attributes.get("href", "#").startswith("#"), name)
            self.assertNotIn("url(", page, name)
            policy = [a["content"] for t, a in tags.seen if t == "meta" and "http-equiv" in a]
            self.assertEqual(policy, ["default-src 'none'; style-src 'unsafe-inline'"], name)

    def test_verdict_comes_first(self):
        for name, words in H.items():
            heading = next(ET.fromstring(self.html[name]).iter("h1"))
            self.assertIn(words, "".join(heading.itertext()))
            self.assertIn(words, self.md[name].splitlines()[0])
            self.assertLess(self.html[name].index("<h1>"), self.html[name].index("<table"))

    def test_hostile_texts_are_text(self):
        page = self.html["hostile"]
        self.assertIn("<script>alert(1)</script>", "".join(Tags(page).words))
        for control in "\x1b\u202e":
            self.assertFalse([n for n in (page, self.md["hostile"]) if control in n])

    def test_markdown_tables(self):
        for name, page in self.md.items():
            width = 0
            for line in page.splitlines():
                cells = len(re.findall(r"(?<!\\)\|", line)) if line.startswith("|") else 0
                self.assertTrue(cells == 0 or width in (0, cells), (name, line))
                width = cells

    def test_same_numbers_in_both(self):
        for name in H:
            for row in ET.fromstring(self.html[name]).find(".//h2[@id='gates']/../div/table/tbody"):
                gate, _, verdict = ["".join(c.itertext()).strip() for c in list(row)[:3]]
                self.assertTrue(re.search(rf"^\| {gate} \|.*\| {re.escape(verdict)} \|", self.md[name], re.M), (name, gate))

    def test_csv(self):
        for name, part, rows in (("cleared", "closed_loop", 300), ("cleared", "functional", 50), ("cleared", "latency", 200), ("hostile", "audio", 4),
                                 ("nothing", "audio", 0)):
            with open(self.folder / f"{name}.{part}.csv", newline="", encoding="utf-8") as file:
                head, *lines = csv.reader(file, strict=True)
            self.assertEqual((len(lines), {len(line) for line in lines} - {len(head)}), (rows, set()), (name, part))
            if part == "closed_loop":
                self.assertTrue(8e-7 <= float(lines[299][head.index("encoder_output")]) <= 1.6e-6)


unittest.main(argv=sys.argv[:1])
