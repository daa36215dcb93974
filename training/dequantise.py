"""The weights that an int8 model of ours computes with, as float32, by NeMo's names.

usage: dequantise.py MODEL.conure[.gz] OUT.npz

Matrices lie in panels of 16 rows: [rows / 16][columns / 4][16][4], int8, with one scale a row (docs/model.md).  train.py --init begins
with them; golden.py makes a .nemo and NeMo's golden data of them; conure computes with the same values where it is told --precision f32.
"""
import gzip, json, struct, sys
import numpy as np

TYPES = dict(F32=np.float32, F16=np.float16, I8=np.int8, I32=np.int32)


def read(path):
    """Weights (matrices as [rows][columns]) and the file's metadata."""
    with (gzip.open if path.endswith('.gz') else open)(path, 'rb') as f:
        data = f.read()
    (header_bytes,) = struct.unpack_from('<Q', data)
    header = json.loads(data[8:8 + header_bytes])
    metadata, tensors, out = header.pop('__metadata__'), {}, {}
    for name, entry in header.items():
        begin, end = entry['data_offsets']
        if entry['dtype'] in TYPES:
            tensors[name] = np.frombuffer(data[8 + header_bytes + begin:8 + header_bytes + end], TYPES[entry['dtype']]).reshape(entry['shape'])
    for name, x in tensors.items():
        if x.dtype == np.int8 and name + '.scales' in tensors:
            scale = tensors[name + '.scales']
            x = x.transpose(0, 2, 1, 3).reshape(x.shape[0] * 16, -1)[:len(scale)].astype(np.float32) * scale[:, None]
        if x.dtype == np.float32 and not name.endswith('.scales'):
            out[name] = x
    return out, metadata


if __name__ == '__main__':
    weights, _ = read(sys.argv[1])
    np.savez(sys.argv[2], **weights)
    print(len(weights), 'tensors,', sum(x.size for x in weights.values()), 'values')
