"""A writer of OLE compound files, the containers of TXRM scans."""

import numpy as np


def ole_file(streams: dict[str, bytes]) -> bytes:
    """Return an OLE compound file (version 3) of streams ``storage/name``.

    Each is padded to at least 4096 bytes, so that no ministream is needed.
    """
    sector, free, end = 512, 0xFFFFFFFF, 0xFFFFFFFE
    storages = sorted({name.split("/")[0] for name in streams}, key=lambda n: (len(n), n.upper()))
    entries: list[tuple[str, int, int, int, int, int]] = []  # name, kind, right, child, first sector, size
    names = {storage: 1 + k for k, storage in enumerate(storages)}
    chains: list[int] = []  # FAT
    body = b""

    def store(data: bytes) -> int:
        nonlocal body
        data += bytes(-len(data) % sector)
        first, count = len(chains), len(data) // sector
        chains.extend([*range(first + 1, first + count), end])
        body += data
        return first

    following = 1 + len(storages)
    children: list[tuple[str, int, int, int, int, int]] = []
    inside = {
        s: sorted((n for n in streams if n.startswith(s + "/")), key=lambda n: (len(n), n.upper()))
        for s in storages
    }
    first_child = {}
    for storage in storages:
        first_child[storage] = following + len(children)
        for k, name in enumerate(inside[storage]):
            data = streams[name] + bytes(max(0, 4096 - len(streams[name])))
            index = following + len(children)
            right = index + 1 if k + 1 < len(inside[storage]) else free
            children.append((name.split("/")[1], 2, right, free, store(data), len(data)))
    entries.append(("Root Entry", 5, free, 1, end, 0))
    for k, storage in enumerate(storages):
        right = names[storage] + 1 if k + 1 < len(storages) else free
        entries.append((storage, 1, right, first_child[storage], 0, 0))
    directory = b""
    for name, kind, right, child, start, size in entries + children:
        text = name.encode("utf-16-le") + b"\x00\x00"
        directory += text + bytes(64 - len(text)) + len(text).to_bytes(2, "little") + bytes([kind, 1])
        directory += np.array([free, right, child], "<u4").tobytes() + bytes(16 + 4 + 16)
        directory += np.array([start, size, 0], "<u4").tobytes()
    while len(directory) % sector:
        directory += bytes(68) + np.array([free, free, free], "<u4").tobytes() + bytes(48)
    directory_start = store(directory)
    fat_start, tables = len(chains), 1
    while len(chains) + tables > 128 * tables:
        tables += 1
    chains.extend([0xFFFFFFFD] * tables)
    fat = np.array(chains + [free] * (128 * tables - len(chains)), "<u4").tobytes()
    difat = [fat_start + k for k in range(tables)] + [free] * (109 - tables)
    header = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(16)
    header += np.array([0x3E, 3, 0xFFFE, 9, 6, 0, 0, 0], "<u2").tobytes()
    header += np.array([0, tables, directory_start, 0, 4096, end, 0, end, 0], "<u4").tobytes()
    return header + np.array(difat, "<u4").tobytes() + body + fat
