"""The weights that an int8 model of ours computes with, as float32, by NeMo's names.  usage: dequantise.py MODEL.conure OUT.npz

Matrices lie in panels of 16 rows: [rows / 16][columns / 4][16][4], int8, with one scale a row (docs/model.md).  export.py
--replace OUT.npz makes a .nemo of them; conure computes with the same values where it is told --precision f32.
"""
import json, struct, sys
import numpy as np

TYPES = dict(F32=np.float32, F16=np.float16, I8=np.int8, I32=np.int32)

data = open(sys.argv[1], 'rb').read()
(header_bytes,) = struct.unpack_from('<Q', data)
header = json.loads(data[8:8 + header_bytes])
header.pop('__metadata__')
tensors = {}
for name, entry in header.items():
    begin, end = entry['data_offsets']
    if entry['dtype'] in TYPES:
        tensors[name] = np.frombuffer(data[8 + header_bytes + begin:8 + header_bytes + end], TYPES[entry['dtype']]).reshape(entry['shape'])
out = {}
for name, x in tensors.items():
    if x.dtype == np.int8 and name + '.scales' in tensors:
        scale = tensors[name + '.scales']
        x = x.transpose(0, 2, 1, 3).reshape(x.shape[0] * 16, -1)[:len(scale)].astype(np.float32) * scale[:, None]
    if x.dtype == np.float32 and not name.endswith('.scales'):
        out[name] = x
np.savez(sys.argv[2], **out)
print(len(out), 'tensors,', sum(x.size for x in out.values()), 'values')
