"""The last replay of a CUDA graph in a file of bench/kernels.c: what took how long.  kernels.py TRACE [FIRST COUNT]

Kernels of one name, with numbers of their own taken out, are counted together; FIRST and COUNT also list so many in order.
"""
import collections
import re
import sys

records = []
for line in open(sys.argv[1]):
    kind, start, length, node, rest = line.rstrip("\n").split(" ", 4)
    records.append((int(start), int(length), int(node), re.sub(r"_(warpsize|execute)\w*|__myl_bb\d+_\d+_", "", rest)[:140]))
replays, seen = [], set()
inside = False
for record in sorted(records):
    if record[2] and (not inside or record[2] in seen):  # after what is of no graph, or a node for the second time: another replay
        replays.append([])
        seen = set()
    inside = record[2] != 0
    if inside:
        seen.add(record[2])
        replays[-1].append(record)
if not replays:
    sys.exit("kernels: no replay of a CUDA graph is in it")
last = replays[-1]
print(f"{len(last)} nodes, {(last[-1][0] + last[-1][1] - last[0][0]) / 1e6:.3f} ms from first to last, {sum(r[1] for r in last) / 1e6:.3f} ms in all")
total, count = collections.Counter(), collections.Counter()
for _, length, _, name in last:
    name = name.split(" ", 2)[-1]
    total[name] += length
    count[name] += 1
for name, length in total.most_common(30):
    print(f"{length / 1e3:10.1f} us  {count[name]:5} x {length / 1e3 / count[name]:8.2f}  {name}")
if len(sys.argv) > 3:
    for start, length, _, name in last[int(sys.argv[2]):int(sys.argv[2]) + int(sys.argv[3])]:
        print(f"{(start - last[0][0]) / 1e3:10.1f} {length / 1e3:8.2f}  {name}")
