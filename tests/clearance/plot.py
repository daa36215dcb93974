#!/usr/bin/env python3
"""plot.py PROGRAM: the plots of plot.c through a reader of XML, and whether each can be read on a phone."""
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree as ET

SVG = "{http://www.w3.org/2000/svg}"


class Plots(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        subprocess.run([sys.argv[1], cls.folder.name], check=True, timeout=60, stderr=subprocess.DEVNULL)
        cls.plots = {p.stem: ET.parse(p).getroot() for p in pathlib.Path(cls.folder.name).glob("*.svg")}

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def test_well_formed_and_fits(self):
        self.assertEqual(len(self.plots), 14)
        for name, root in self.plots.items():
            self.assertEqual((root.tag, root.get("role"), root.get("width")), (SVG + "svg", "img", "100%"), name)
            self.assertTrue(root.get("aria-label") and root.find(SVG + "title").text, name)
            left, top, width, height = map(float, root.get("viewBox").split())
            self.assertEqual((left, top, width), (0, 0, 360), name)
            self.assertLess(height, 800, name)
            sizes = [float(e.get("font-size")) for e in root.iter() if e.get("font-size")]
            self.assertGreaterEqual(min(sizes), 12, name)
            for text in root.iter(SVG + "text"):
                x, y, n = float(text.get("x")), float(text.get("y")), 6.2 * len(text.text or "")
                begin = x - {"start": 0, "middle": n / 2, "end": n}[text.get("text-anchor")]
                self.assertTrue(0 < y < height and begin > -2 and begin + n < width + 2, (name, text.text, x, y))
            for path in root.iter(SVG + "path"):
                for x, y in re.findall(r"[ML](-?[\d.]+) (-?[\d.]+)", path.get("d")):
                    self.assertTrue(0 <= float(x) <= width and 0 <= float(y) <= height, (name, x, y))

    def test_decimal_comma(self):
        """plot.c compares the bytes with those under a locale that writes 1,5; hosts seldom have one ready."""
        if not shutil.which("localedef"):
            self.skipTest("no localedef here")
        folder = os.path.join(self.folder.name, "locales")
        os.mkdir(folder)
        if subprocess.run(["localedef", "-i", "de_DE", "-f", "UTF-8", f"{folder}/de_DE.UTF-8"], capture_output=True).returncode > 1:
            self.skipTest("no sources of locales here")
        run = subprocess.run([sys.argv[1]], env=os.environ | {"LOCPATH": folder}, capture_output=True, text=True, timeout=60)
        self.assertEqual(run.returncode, 0, run.stderr)
        self.assertIn("decimal comma: yes", run.stderr)

    def test_nothing_but_drawing(self):
        for name, root in self.plots.items():
            self.assertLessEqual({e.tag.removeprefix(SVG) for e in root.iter()}, {"svg", "g", "path", "text", "title"}, name)
            attributes = {a for e in root.iter() for a in e.attrib}
            self.assertFalse([a for a in attributes if a.startswith("on") or "href" in a], name)

    def test_hostile_names_are_text(self):
        words = "".join(self.plots["lines_hostile"].itertext())
        self.assertIn("</title><script>", words)
        self.assertNotIn("\u202e", words)
        self.assertNotIn("\x1b", words)

    def test_thinning_keeps_the_largest(self):
        lines = [p.get("d") for p in self.plots["lines_many"].iter(SVG + "path") if p.get("fill") == "none"]
        points = re.findall(r"[ML]([\d.]+) ([\d.]+)", lines[0])[:-1]
        self.assertLess(len(points), 2001)
        x, y = min(points, key=lambda p: float(p[1]))
        self.assertAlmostEqual(float(x), 58 + 290 * 7777 / 12344, delta=0.2)

    def test_gaps(self):
        line = next(p.get("d") for p in self.plots["lines_holes"].iter(SVG + "path") if p.get("fill") == "none")
        self.assertEqual(line.count("M") - 1, 12)  # 6 x (0 .. 19, 21 .. 30), and the legend's
        for name, n in (("lines_holes", 6), ("lines_extreme", 1), ("bars_holes", 2), ("heat_table", 1)):
            self.assertIn(f"not finite: {n}", [t.text for t in self.plots[name].iter(SVG + "text")])


unittest.main(argv=sys.argv[:1])
