"""dlib's shape predictors in fewer bytes: leaves rounded to eight binary digits.

dlib writes a float as two integers, mantissa and exponent, each as a byte that says how many
follow, and those bytes, the lowest first. A mantissa of eight digits takes one byte where a whole
one takes three, so half as many trees again fit into a file. Hundreds of leaves are added up for a
landmark: their rounding is lost among what the trees do not know.
"""

from __future__ import annotations

from facetrack.errors import FacetrackError

DIGITS = 8
NEGATIVE = 0x80


def round_leaves(data: bytes, digits: int = DIGITS) -> bytes:
    """A shape predictor's file with its leaves' numbers rounded to `digits` binary digits.

    All else is copied: first shape, splits, and where each cascade looks.

    Raises:
        FacetrackError: the bytes are not a shape predictor's, as dlib writes it.
    """
    try:
        return _Copy(data, digits).made()
    except (IndexError, ValueError) as error:
        raise FacetrackError(f"This is not a file of dlib's shape predictor: {error}.") from error


class _Copy:
    def __init__(self, data: bytes, digits: int) -> None:
        self.data, self.digits = data, digits
        self.at = 0
        self.out = bytearray()

    def made(self) -> bytes:
        if self.integer() != 1:
            raise ValueError("its version is not 1")
        self.numbers(rounded=False)  # the first shape
        for _ in range(self.count()):  # cascades
            for _ in range(self.count()):  # trees
                for _ in range(self.count()):  # splits
                    self.integer()  # the two pixels that it compares
                    self.integer()
                    self.real(rounded=False)
                for _ in range(self.count()):
                    self.numbers(rounded=True)
        self.out += self.data[self.at :]
        return bytes(self.out)

    def read(self) -> int:
        head = self.data[self.at]
        end = self.at + 1 + (head & 0x0F)
        if end > len(self.data):
            raise ValueError("it ends too early")
        value = int.from_bytes(self.data[self.at + 1 : end], "little")
        self.at = end
        return -value if head & NEGATIVE else value

    def write(self, value: int) -> None:
        size = max(1, (abs(value).bit_length() + 7) // 8)
        self.out.append(size | (NEGATIVE if value < 0 else 0))
        self.out += abs(value).to_bytes(size, "little")

    def integer(self) -> int:
        value = self.read()
        self.write(value)
        return value

    def count(self) -> int:
        value = self.integer()
        if not 0 <= value <= len(self.data):
            raise ValueError(f"it counts {value} parts")
        return value

    def numbers(self, rounded: bool) -> None:
        """A matrix: its height and width, negative as dlib marks them, and its numbers."""
        size = abs(self.integer() * self.integer())
        if size > len(self.data):
            raise ValueError(f"it has a matrix of {size} numbers")
        for _ in range(size):
            self.real(rounded)

    def real(self, rounded: bool) -> None:
        mantissa, exponent = self.read(), self.read()
        more = abs(mantissa).bit_length() - self.digits
        if rounded and more > 0:
            kept = (abs(mantissa) + (1 << (more - 1))) >> more
            exponent += more
            if kept >> self.digits:  # rounded up to one digit more, which ends in zeros
                kept, exponent = kept >> 1, exponent + 1
            mantissa = -kept if mantissa < 0 else kept
        self.write(mantissa)
        self.write(exponent)
