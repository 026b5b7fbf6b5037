"""What goes wrong with the bytes of a capture."""


def damaged(data, choose):
    """Flip, cut, repeat, splice, blow up, nest: the ways in which a capture goes bad."""
    data = bytearray(data)
    for _ in range(choose.randrange(1, 20)):
        at = choose.randrange(len(data))
        match choose.randrange(8):
            case 0:
                data[at] ^= 1 << choose.randrange(8)
            case 1:
                data[at] = choose.choice(b'"[]{},:0.\n\\ -er')
            case 2:
                del data[at : at + choose.randrange(1, 200)]
            case 3:
                data[at:at] = data[at : at + choose.randrange(1, 200)]
            case 4:
                data[at:at] = b"9" * choose.randrange(1, 60)
            case 5:
                data[at:at] = choose.choice([b"[", b'{"b":']) * choose.randrange(1, 200)
            case 6:
                data[at:at] = choose.choice([b"null", b"true", b"1e9", b'"x"', b"{}", b"[]", b'"\\u0041"'])
            case 7:
                del data[max(at, len(data) - 100) :]
        if not data:
            data = bytearray(b"\0")
    return bytes(data)
