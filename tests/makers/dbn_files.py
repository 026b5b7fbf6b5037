"""Files of Databento DBN, with the dtypes and the metadata of databento_dbn."""

import databento_dbn as dbn
import numpy as np
import zstandard


def records(cls, n, rtype, **fields):
    out = np.zeros(n, np.dtype(cls._dtypes))
    out["length"], out["rtype"], out["publisher_id"], out["instrument_id"] = out.itemsize // 4, rtype, 1, 77
    out["ts_event"] = 1_700_000_000_000_000_000 + np.arange(n, dtype=np.uint64) * 1000
    if "ts_recv" in out.dtype.names:
        out["ts_recv"] = out["ts_event"] + 500
    for name, values in fields.items():
        out[name] = values
    return out


def mbo(actions, sides, prices, sizes, ids, flags=128, **more):
    actions, sides = [list(x) for x in (actions, sides)]
    return records(dbn.MBOMsg, len(actions), 160, action=np.array(actions, "S1"), side=np.array(sides, "S1"), price=prices,
                   size=sizes, order_id=ids, flags=flags, sequence=np.arange(len(actions)) + 5, **more)  # fmt: skip


def write(path, *parts, schema=dbn.Schema.MBO, version=3, ts_out=False):
    metadata = dbn.Metadata("XNAS.ITCH", 0, dbn.SType.RAW_SYMBOL, dbn.SType.INSTRUMENT_ID, schema, version=version, ts_out=ts_out)
    data = bytes(metadata) + b"".join(p.tobytes() for p in parts)
    path.write_bytes(zstandard.compress(data) if path.suffix == ".zst" else data)
    return path
