"""The one error of the package."""


class InputError(ValueError):
    """Something that was passed cannot be used: where, what was expected, what was found, what to do."""

    def __init__(self, kind: str, place: str, expected: str, found: str, remedy: str = "", message: str = "") -> None:
        super().__init__(message or f"{place}: expected {expected}, found {found}" + (f". {remedy}" if remedy else ""))
        #: The class of the mistake: "shape", "dtype", "value", "notFinite", "missing", "unknown", …
        self.kind = kind
        #: The operand, file or option.
        self.place = place
        self.expected = expected
        self.found = found
        self.remedy = remedy
